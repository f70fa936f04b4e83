"""Calculate Registration on fields that are broken, empty or full of camera defects.

What is stored may be wrong where the images show nothing, but not with confidence.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from ngio import Roi, RoiTable, open_ome_zarr_container

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.model.precision import within_pixel
from fractal_tasks.synthetic import load_truth
from tests.conftest import MakePlate
from tests.tasks.plates import (
    TABLE,
    WELL,
    image_urls,
    read_pixels,
    read_table,
    run_calculate,
    tree_of,
)

PIXEL_UM = 0.325
FIELD_PX = 256
ACCEPTED = 0.9
"""Confidence from which on an estimate has to be right within 1 px."""

PLAIN: dict[str, Any] = {
    "fields_y": 2,
    "fields_x": 2,
    "acquisitions": 2,
    "channels": 1,
    "labels": False,
    "table_backend": "csv",
    "plate_shift_um": 8.0,
}

Pixels = npt.NDArray[Any]


def stored(zarr_url: str, table: str = TABLE) -> dict[str, tuple[Pixels, float]]:
    """Give translation in pixels (y, x) and confidence of every ROI."""
    found = {}
    for name, roi in read_table(zarr_url, table).rois.items():
        extra = roi.model_extra or {}
        vector = [extra[f"translation_{axis}"] for axis in "yx"]
        found[name] = np.divide(vector, PIXEL_UM), extra["registration_confidence"]
    return found


def truth_px(plate: Path, acquisition: int, name: str) -> Pixels:
    translation_um = load_truth(plate).field(WELL, acquisition, name).translation_um
    return np.divide(translation_um[1:], PIXEL_UM)


def set_field(
    zarr_url: str, name: str, change: Callable[[Pixels], Pixels | float]
) -> None:
    """Replace the pixels of one field in all levels."""
    roi = read_table(zarr_url).rois[name]
    rows, columns = (
        slice(first, first + FIELD_PX)
        for first in (round((roi[axis].start or 0) / PIXEL_UM) for axis in "yx")
    )
    pixels = read_pixels(zarr_url)
    pixels[..., rows, columns] = change(pixels[..., rows, columns])
    image = open_ome_zarr_container(zarr_url).get_image()
    image.set_array(pixels)
    image.consolidate(mode="numpy")


def set_rois(urls: list[str], boxes_px: dict[str, tuple[int, int, int, int]]) -> None:
    """Write a table of ROIs, given as y, x, height and width in pixels."""
    rois = [
        Roi.from_values(
            name=name,
            slices={
                "y": (y * PIXEL_UM, height * PIXEL_UM),
                "x": (x * PIXEL_UM, width * PIXEL_UM),
            },
        )
        for name, (y, x, height, width) in boxes_px.items()
    ]
    for url in urls:
        open_ome_zarr_container(url).add_table(
            TABLE, RoiTable(rois=rois), overwrite=True
        )


def half_saturated(pixels: Pixels) -> Pixels:
    return np.where(np.arange(FIELD_PX)[:, None] < FIELD_PX // 2, 65535, pixels)


def one_bright_pixel(pixels: Pixels) -> Pixels:
    single = np.full_like(pixels, 100)
    single[..., 100, 77] = 60000
    return single


def nearly_all_invalid(pixels: Pixels) -> Pixels:
    hidden = np.random.default_rng(0).random(pixels.shape) < 0.97
    return np.where(hidden, np.nan, pixels)


BROKEN = {
    "zero": ("uint16", lambda pixels: 0),
    "constant": ("uint16", lambda pixels: 1234),
    "saturated": ("uint16", lambda pixels: 65535),
    "half saturated": ("uint16", half_saturated),
    "one bright pixel": ("uint16", one_bright_pixel),
    "NaN": ("float32", lambda pixels: np.nan),
    "nearly all NaN": ("float32", nearly_all_invalid),
}


@pytest.mark.parametrize("sides", [(0,), (1,), (0, 1)], ids=["fixed", "moving", "both"])
@pytest.mark.parametrize(("dtype", "change"), BROKEN.values(), ids=BROKEN)
@pytest.mark.sampled(3)
def test_a_broken_field_is_rejected_and_harms_no_other(
    make_plate: MakePlate,
    dtype: str,
    change: Callable[[Pixels], Pixels | float],
    sides: tuple[int, ...],
) -> None:
    plate = make_plate(**PLAIN, dtype=dtype)
    urls = image_urls(plate, 2)
    for side in sides:
        set_field(urls[side], "FOV_2", change)
    run_calculate(urls)
    found = stored(urls[1])
    vector, confidence = found.pop("FOV_2")
    assert np.isfinite(vector).all()
    assert confidence < 0.5
    for name, (vector, confidence) in found.items():
        assert vector == pytest.approx(truth_px(plate, 1, name), abs=0.1)
        assert confidence >= ACCEPTED


def test_some_invalid_pixels_do_no_harm(make_plate: MakePlate) -> None:
    def spoil(pixels: Pixels) -> Pixels:
        hidden = np.random.default_rng(0).random(pixels.shape) < 0.05
        return np.where(hidden, np.nan, pixels)

    plate = make_plate(**PLAIN, dtype="float32")
    urls = image_urls(plate, 2)
    for url in urls:
        set_field(url, "FOV_2", spoil)
    run_calculate(urls)
    vector, confidence = stored(urls[1])["FOV_2"]
    assert vector == pytest.approx(truth_px(plate, 1, "FOV_2"), abs=0.3)
    assert confidence > 0.5


# Per field of 256 px, about 16 times as many as a camera of 1024 px would have.
FLAWED = {
    "many hot pixels": {"hot_pixels": 600},
    "hot clusters": {"hot_pixels": 300, "hot_clusters": 30, "empty_fields": 2},
    "dust": {"dust_specks": 8, "haze": 0.5, "empty_fields": 2},
    "dust, sparse": {
        "dust_specks": 8, "haze": 0.5, "empty_fields": 1, "nuclei_per_mm2": 300,
    },
    "all, dim": {
        "dust_specks": 8, "haze": 0.5, "empty_fields": 1, "hot_pixels": 300,
        "hot_clusters": 30, "vignetting": 0.6, "signal_counts": 150,
        "nuclei_per_mm2": 800,
    },
}  # fmt: skip


def assert_no_silent_failure(plate: Path) -> None:
    for name, (vector, confidence) in stored(image_urls(plate)[1]).items():
        if confidence >= ACCEPTED:
            assert vector == pytest.approx(truth_px(plate, 1, name), abs=1), name
            assert not load_truth(plate).field(WELL, 1, name).empty


@pytest.mark.parametrize("options", FLAWED.values(), ids=FLAWED)
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.sampled(4)
def test_what_the_camera_shows_is_not_taken_for_the_sample(
    make_plate: MakePlate, options: dict[str, object], seed: int
) -> None:
    plate = make_plate(**{**PLAIN, "fields_x": 3, "seed": seed, **options})
    run_calculate(image_urls(plate, 2))
    assert_no_silent_failure(plate)


@pytest.mark.xfail(
    raises=AssertionError,
    reason="two fields cannot tell what the camera shows if one of them is empty",
)
def test_two_fields_with_hot_clusters_do_not_fail_silently(
    make_plate: MakePlate,
) -> None:
    """One of them is empty, so that no pair of fields shows what is common."""
    plate = make_plate(
        **{**PLAIN, "fields_y": 1, "seed": 1}, hot_clusters=30, empty_fields=1,
        dust_specks=8, haze=0.5,
    )  # fmt: skip
    run_calculate(image_urls(plate, 2))
    assert_no_silent_failure(plate)


def test_hot_pixels_cost_no_accuracy(make_plate: MakePlate) -> None:
    plate = make_plate(**PLAIN, hot_pixels=600)
    run_calculate(image_urls(plate, 2))
    for name, (vector, confidence) in stored(image_urls(plate)[1]).items():
        assert vector == pytest.approx(truth_px(plate, 1, name), abs=0.1)
        assert confidence >= ACCEPTED


@pytest.mark.parametrize(
    ("options", "tolerance_px"),
    [
        ({"inverted": True}, 0.3),
        ({"rotation_deg": 1.0}, 0.15),
        ({"scale_change": 0.005}, 0.15),
    ],
    ids=["inverted", "rotated", "scaled"],
)
def test_what_differs_between_acquisitions_is_no_obstacle(
    make_plate: MakePlate, options: dict[str, object], tolerance_px: float
) -> None:
    """The translation is that of the ROI's centre; it differs between the ROIs."""
    plate = make_plate(**PLAIN, **options)
    run_calculate(image_urls(plate, 2))
    for name, (vector, confidence) in stored(image_urls(plate)[1]).items():
        assert vector == pytest.approx(truth_px(plate, 1, name), abs=tolerance_px)
        assert confidence >= ACCEPTED


def test_four_levels_to_start_from_give_the_same_translation(
    make_plate: MakePlate,
) -> None:
    plate = make_plate(**PLAIN)
    urls = image_urls(plate, 2)
    found = []
    for level_path in ("0", "1", "2", "3"):
        run_calculate(urls, level_path=level_path)
        found.append([vector for vector, _ in stored(urls[1]).values()])
    assert np.ptp(found, axis=0).max() < 0.05


def test_reference_may_be_any_acquisition(make_plate: MakePlate) -> None:
    plate = make_plate(**{**PLAIN, "acquisitions": 3})
    urls = image_urls(plate, 3)
    run_calculate(urls, reference_acquisition=1)
    for acquisition in (0, 2):
        for name, (vector, _) in stored(urls[acquisition]).items():
            # x_0 = x_1 + t_1 and x_0 = x_2 + t_2, so x_1 = x_2 + t_2 - t_1.
            expected = truth_px(plate, acquisition, name) - truth_px(plate, 1, name)
            assert vector == pytest.approx(expected, abs=0.15)
    assert "translation_y" not in (read_table(urls[1]).rois["FOV_1"].model_extra or {})


def test_one_roi_in_the_well(make_plate: MakePlate) -> None:
    plate = make_plate(**{**PLAIN, "fields_x": 1, "fields_y": 1})
    urls = image_urls(plate, 2)
    run_calculate(urls)
    ((name, (vector, confidence)),) = stored(urls[1]).items()
    assert vector == pytest.approx(truth_px(plate, 1, name), abs=0.1)
    assert confidence >= ACCEPTED


def test_rois_may_overlap(make_plate: MakePlate) -> None:
    plate = make_plate(**PLAIN, stage_jitter_um=0.0)
    urls = image_urls(plate, 2)
    boxes = {f"at {x}": (100, x, 250, 250) for x in (0, 60, 120, 180, 240)}
    set_rois(urls, boxes)
    run_calculate(urls)
    found = stored(urls[1])
    assert list(found) == list(boxes)
    for vector, confidence in found.values():
        assert vector == pytest.approx(truth_px(plate, 1, "FOV_1"), abs=0.1)
        assert confidence >= ACCEPTED


def test_rois_of_16_px_are_not_believed(make_plate: MakePlate) -> None:
    """At level 0 they show too little; at level 2 they have 4 x 4 pixels."""
    plate = make_plate(**PLAIN)
    urls = image_urls(plate, 2)
    set_rois(urls, {f"at {x}": (64, x, 16, 16) for x in range(0, 256, 16)})
    run_calculate(urls, level_path="0")
    for roi in read_table(urls[1]).rois.values():
        extra = roi.model_extra or {}
        assert np.isfinite([extra[f"translation_{axis}"] for axis in "zyx"]).all()
        # The right peak, and right within a pixel.
        precision = within_pixel(extra["registration_error"] / PIXEL_UM)
        assert extra["registration_confidence"] * precision < 0.5
    before = tree_of(plate)
    with pytest.raises(InvalidInputError, match=r"level 2 .* 8 in y and x"):
        run_calculate(urls, level_path="2")
    assert tree_of(plate) == before
