"""Plates that came back turned and larger: the three tasks undo it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from ngio import open_ome_zarr_container
from scipy import ndimage

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.registration.phase_cross_correlation import PhaseCrossCorrelation
from fractal_tasks.storage.plate.roi_tables import replace_roi_table
from fractal_tasks.storage.urls import parse_image_url
from fractal_tasks.synthetic import load_truth
from fractal_tasks.transforms import Affine, Transform, Translation
from tests.conftest import MakePlate
from tests.records.plates import PIXEL_UM, PIXELS
from tests.tasks.plates import (
    REGISTERED,
    WELL,
    data_of,
    image_urls,
    read_pixels,
    read_table,
    run_apply,
    run_calculate,
    run_consensus,
)

TURNED = {
    "fields_y": 2,
    "fields_x": 2,
    "field_size_px": 384,
    "acquisitions": 2,
    "channels": 1,
    "levels": 3,
    "labels": True,
    "plate_shift_um": 5.0,
    "stage_jitter_um": 0.5,
    "rotation_deg": 1.0,
    "scale_change": 0.005,
}


def calculate(plate: Path, motion: str = "similarity") -> None:
    method = PhaseCrossCorrelation(motion=motion)
    run_calculate(image_urls(plate, 2), method=method)


def calculate_shifts(plate: Path) -> None:
    calculate(plate, "shift")


def judge(plate: Path, **settings: Any) -> None:
    run_consensus(image_urls(plate, 2), **settings)


def apply(plate: Path, **settings: Any) -> None:
    for url in image_urls(plate, 2):
        run_apply([url], **settings)


def columns_of(url: str, name: str, table: str = REGISTERED) -> dict[str, Any]:
    return read_table(url, table).rois[name].model_extra or {}


def transforms_in(url: str, table: str = REGISTERED) -> dict[str, Any]:
    names = read_table(url, table).rois
    return {
        name: PIXELS.from_json(columns_of(url, name, table)["transform"])
        for name in names
    }


def errors_px(plate: Path, transforms: dict[str, Any]) -> dict[str, float]:
    """Give the largest error of each field, anywhere in it."""
    truth = load_truth(plate)
    size_um = 384 * PIXEL_UM
    found = {}
    for index, (name, transform) in enumerate(transforms.items()):
        first = np.array([0.0, *np.multiply(divmod(index, 2), size_um)])
        ends = [(0.5,), *((start, start + size_um) for start in first[1:])]
        points = np.stack(np.meshgrid(*ends), axis=-1).reshape(-1, 3)
        matrix = np.array(truth.field(WELL, 1, name).matrix)
        expected = points @ matrix[:, :3].T + matrix[:, 3]
        apart = (transform.map_points(points) - expected)[:, 1:] / PIXEL_UM
        found[name] = float(np.hypot(*apart.T).max())
    return found


def fields_of(url: str) -> Iterator[tuple[str, tuple[slice, slice]]]:
    """Give where the kept region of each field lies in the registered image."""
    for name, roi in read_table(url, REGISTERED).rois.items():
        yield (
            name,
            tuple(
                slice(round(one.start / PIXEL_UM), round(one.end / PIXEL_UM))
                for one in (roi["y"], roi["x"])
            ),
        )


def pull(
    image: npt.NDArray[Any],
    transform: Transform,
    place: tuple[slice, slice],
    order: int = 1,
) -> npt.NDArray[Any]:
    """Give what a place of the registered image shows, pixel by pixel."""
    rows, columns = (np.arange(side.start, side.stop) for side in place)
    y, x = np.meshgrid(rows, columns, indexing="ij")
    centres = np.stack([0 * y + 0.5, (y + 0.5) * PIXEL_UM, (x + 0.5) * PIXEL_UM])
    pulled = transform.pull_points(centres.reshape(3, -1).T)[:, 1:] / PIXEL_UM - 0.5
    values = ndimage.map_coordinates(
        image.astype(float), pulled.T, order=order, mode="mirror"
    )
    return np.asarray(values.reshape(y.shape))


def likeness(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """Give the correlation of the images without their noise."""
    smooth = [ndimage.gaussian_filter(a.astype(float), 2).ravel() for a in (one, other)]
    return float(np.corrcoef(*smooth)[0, 1])


def test_turned_plate_is_registered_pixel_by_pixel(make_plate: MakePlate) -> None:
    plate = make_plate(**TURNED, then=[calculate, judge])
    urls = image_urls(plate, 2)
    before = [read_pixels(url)[0, 0] for url in urls]
    apply(plate)
    transforms = transforms_in(urls[1])
    assert {type(one) for one in transforms.values()} == {Affine}
    assert max(errors_px(plate, transforms).values()) < 0.3
    after = [read_pixels(url)[0, 0] for url in urls]
    for name, place in fields_of(urls[1]):
        columns = columns_of(urls[1], name)
        assert columns["registration_status"] == "measured"
        assert columns["registration_left_px"] < 0.2
        # The reference is copied; what comes onto it is what it shows.
        np.testing.assert_array_equal(after[0][place], before[0][place])
        found = after[1][place]
        expected = pull(before[1], transforms[name], place)
        np.testing.assert_allclose(found, expected, atol=0.51)
        was = likeness(before[1][place], before[0][place])
        assert likeness(found, after[0][place]) > max(was + 0.05, 0.9)
        assert 0.9 < columns["registration_kept"] < 1
    outside = np.ones_like(after[1], dtype=bool)
    for _, place in fields_of(urls[1]):
        outside[place] = False
    assert not after[1][outside].any()
    check_labels(urls)


@pytest.mark.parametrize(
    ("interpolation", "order"),
    [
        ("auto", 1),
        pytest.param("nearest", 0, marks=pytest.mark.e2e),
        pytest.param("cubic", 3, marks=pytest.mark.e2e),
    ],
)
def test_parts_of_a_pixel_are_undone_if_that_is_asked_for(
    make_plate: MakePlate, interpolation: str, order: int
) -> None:
    options = {**TURNED, "rotation_deg": 0.0, "scale_change": 0.0}
    plate = make_plate(**options, then=[calculate_shifts])
    judge(plate, subpixel=True)
    url = image_urls(plate, 2)[1]
    transforms = transforms_in(url)
    assert {type(one) for one in transforms.values()} == {Translation}
    before = read_pixels(url)[0, 0]
    apply(plate, interpolation=interpolation, overwrite_input=False)
    after = read_pixels(f"{url}_registered")[0, 0]
    for name, place in fields_of(f"{url}_registered"):
        # Of the field beside it a spline would know, here, and there it does not.
        inner = tuple(slice(side.start + 12, side.stop - 12) for side in place)
        expected = pull(before, transforms[name], inner, order).clip(min=0)
        np.testing.assert_allclose(after[inner], expected, atol=0.51)
    check_labels([image_urls(plate, 2)[0] + "_registered", f"{url}_registered"])


def test_changed_boxes_say_nothing_of_parts_of_a_pixel(make_plate: MakePlate) -> None:
    options = {**TURNED, "rotation_deg": 0.0, "scale_change": 0.0}
    plate = make_plate(**options, then=[calculate_shifts])
    judge(plate, subpixel=True)
    url = image_urls(plate, 2)[1]
    move_boxes(url)
    with pytest.raises(InvalidDataError, match="by what part of a pixel"):
        apply(plate)


def move_boxes(url: str, *, keeps_plan: bool = True) -> None:
    """Move the ROIs of a registered table, as a user might."""
    table = read_table(url, REGISTERED)
    replace_roi_table(
        parse_image_url(url),
        REGISTERED,
        rois=[
            roi.update_slice(name="x", new_slice=(roi["x"].start + 3, roi["x"].length))
            for roi in table.rois.values()
        ],
        meta=table.meta,
        record=dict(table.record or {}) if keeps_plan else {},
        unit_um=table.unit_um,
    )


def check_labels(urls: list[str]) -> None:
    """Nuclei have the same ids in all acquisitions, and lie at the same places now."""
    ids = [
        open_ome_zarr_container(url, mode="r").get_label("nuclei").get_as_numpy()[0]
        for url in urls
    ]
    for _, place in fields_of(urls[1]):
        inner = [one[place] for one in ids]
        largest, counts = np.unique(inner[0], return_counts=True)
        seen = [one for one, n in zip(largest, counts, strict=True) if one and n > 150]
        assert len(seen) > 5
        both = np.isin(inner[0], seen) & (inner[0] == inner[1])
        assert both.sum() > 0.85 * np.isin(inner[0], seen).sum()


@pytest.mark.e2e
def test_run_beside_the_input_keeps_the_whole_reference(make_plate: MakePlate) -> None:
    plate = make_plate(**TURNED, then=[calculate])
    judge(plate, keep="reference", fill_value=7)
    apply(plate, overwrite_input=False)
    url = f"{image_urls(plate, 2)[1]}_registered"
    pixels = read_pixels(url)[0, 0]
    assert pixels.shape == (768, 768)
    # Corners of fields come from beyond their borders.
    assert 0 < (pixels == 7).mean() < 0.1
    for name, place in fields_of(url):
        assert place[0].stop - place[0].start == 384
        assert columns_of(url, name)["registration_kept"] == 1
    again = data_of(plate)
    judge(plate, keep="reference", fill_value=7)
    apply(plate, overwrite_input=False)
    assert data_of(plate) == again


@pytest.mark.e2e
def test_field_without_a_sample_turns_as_the_others_do(make_plate: MakePlate) -> None:
    plate = make_plate(**TURNED, empty_fields=1, then=[calculate, judge])
    url = image_urls(plate, 2)[1]
    (empty,) = [
        name
        for name in read_table(url, REGISTERED).rois
        if columns_of(url, name)["registration_status"] != "measured"
    ]
    assert columns_of(url, empty)["registration_status"] == "imputed"
    transform = transforms_in(url)[empty]
    assert isinstance(transform, Affine)
    # Where its well expects it, to within the jitter of 0.5 um; and turned alike,
    # to 0.1 px at its corners: where fields lie tells as well how the sample turned.
    assert errors_px(plate, transforms_in(url))[empty] < 2 * 0.5 * 1.5 / PIXEL_UM
    others = [one.matrix for name, one in transforms_in(url).items() if name != empty]
    np.testing.assert_allclose(transform.matrix, np.median(others, axis=0), atol=3e-4)


@pytest.mark.parametrize("motion", ["rigid", "similarity"])
@pytest.mark.sampled(2)
def test_plate_that_only_moved_is_copied(make_plate: MakePlate, motion: str) -> None:
    straight = {**TURNED, "rotation_deg": 0.0, "scale_change": 0.0, "labels": False}
    plate = make_plate(**straight)
    calculate(plate, motion)
    judge(plate)
    url = image_urls(plate, 2)[1]
    assert {type(one) for one in transforms_in(url).values()} == {Translation}
    before = read_pixels(url)
    apply(plate)
    assert set(np.unique(read_pixels(url))) <= {0, *np.unique(before)}


def test_rigid_keeps_distances(make_plate: MakePlate) -> None:
    plate = make_plate(**{**TURNED, "scale_change": 0.0, "labels": False})
    calculate(plate, "rigid")
    transforms = transforms_in(image_urls(plate, 2)[1], "FOV_ROI_table")
    assert all(one.is_rigid for one in transforms.values())
    assert max(errors_px(plate, transforms).values()) < 0.3


@pytest.mark.parametrize("keeps_plan", [True, False])
def test_changed_table_of_a_turned_plate_is_not_followed(
    make_plate: MakePlate, keeps_plan: bool
) -> None:
    """Boxes say where ROIs lie, and not how they turned."""
    plate = make_plate(**TURNED, then=[calculate, judge])
    url = image_urls(plate, 2)[1]
    move_boxes(url, keeps_plan=keeps_plan)
    before = data_of(plate)
    with pytest.raises(InvalidDataError, match="Run 'Find Registration Consensus'"):
        run_apply([url])
    assert data_of(plate) == before
