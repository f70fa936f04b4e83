"""What is kept of a plate, and on which pixels: `keep` and `output_grid`."""

import shutil
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pytest

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.steps.point_map import read_placements, read_point_map
from fractal_tasks.storage.plate.open_image import open_image
from fractal_tasks.storage.urls import parse_image_url
from tests.conftest import MakePlate
from tests.tasks.foreign import multiscale_of, read_array, write_plate
from tests.tasks.plates import (
    REGISTERED,
    TABLE,
    data_of,
    image_urls,
    open_container,
    read_pixels,
    read_table,
    run_apply,
    run_calculate,
    run_consensus,
    set_translations,
    tree_of,
)

Ramp: TypeAlias = npt.NDArray[np.uint16]

PIXEL_UM = 0.325
SIZE = 64
OPTIONS = {
    "fields_y": 1,
    "fields_x": 2,
    "field_size_px": SIZE,
    "levels": 3,
    "acquisitions": 2,
    "channels": 2,
}
UP, RIGHT = 7, 5
"""How many pixels the acquisition has to go up and right, to lie on the reference."""


def move(plate: Path, y_px: float = -UP, x_px: float = RIGHT) -> list[str]:
    """Say that the acquisition lies elsewhere, surely."""
    urls = image_urls(plate, 2)
    shift = (0.0, y_px * PIXEL_UM, x_px * PIXEL_UM)
    sure = {"registration_confidence": 1.0, "registration_error": 0.01}
    set_translations(urls[1], dict.fromkeys(["FOV_1", "FOV_2"], shift), **sure)
    return urls


def roi_px(url: str, table: str, size_um: float = PIXEL_UM) -> dict[str, list[int]]:
    """Give where ROIs lie: first and last row, first and last column."""
    found = {}
    for name, roi in read_table(url, table).rois.items():
        y, x = (roi.get(axis) for axis in "yx")
        ends = (y.start, y.start + y.length, x.start, x.start + x.length)
        found[name] = [round(one / size_um) for one in ends]
    return found


def test_union_keeps_every_pixel_of_every_acquisition(make_plate: MakePlate) -> None:
    urls = move(make_plate(**OPTIONS))
    before = [read_pixels(url) for url in urls]
    run_consensus(urls, keep="union", fill_value=3)
    run_apply(urls)
    reference, moved = (read_pixels(url) for url in urls)
    shape = (SIZE + UP, 2 * SIZE + RIGHT)
    assert reference.shape[-2:] == moved.shape[-2:] == shape
    np.testing.assert_array_equal(reference[..., UP:, : 2 * SIZE], before[0])
    assert (reference[..., :UP, :] == 3).all()
    assert (reference[..., 2 * SIZE :] == 3).all()
    # All that the acquisition saw, also what of a field lies in the next one.
    np.testing.assert_array_equal(moved[..., :SIZE, RIGHT:], before[1])
    assert (moved[..., SIZE:, :] == 3).all()
    assert (moved[..., :RIGHT] == 3).all()


def test_union_moves_tables_labels_and_places_along(make_plate: MakePlate) -> None:
    urls = move(make_plate(**OPTIONS))
    labels = [
        np.asarray(open_container(u).get_label("nuclei").get_array()) for u in urls
    ]
    place = open_image(parse_image_url(urls[0])).grid.origin_um
    run_consensus(urls, keep="union")
    kept = [read_table(url, REGISTERED).rois["FOV_1"] for url in urls]
    run_apply(urls)
    for url, label, (y_px, x_px) in zip(
        urls, labels, ((UP, 0), (0, RIGHT)), strict=True
    ):
        image = open_image(parse_image_url(url))
        expected = np.subtract(place, (0, UP * PIXEL_UM, 0))
        np.testing.assert_allclose(image.grid.origin_um, expected)
        found = np.asarray(open_container(url).get_label("nuclei").get_array())
        assert found.shape[-2:] == image.shape[-2:]
        part = found[..., y_px : y_px + SIZE, x_px : x_px + 2 * SIZE]
        np.testing.assert_array_equal(part, label)
        assert np.count_nonzero(found) == np.count_nonzero(label)
        assert roi_px(url, TABLE) == {
            "FOV_1": [UP, UP + SIZE, 0, SIZE],
            "FOV_2": [UP, UP + SIZE, SIZE, 2 * SIZE],
        }
        assert roi_px(url, REGISTERED) == {
            "FOV_1": [0, UP + SIZE, 0, SIZE + RIGHT],
            "FOV_2": [0, UP + SIZE, SIZE, 2 * SIZE + RIGHT],
        }
    for roi in kept:
        assert roi.registration_kept == pytest.approx(1)


def test_field_of_the_reference_comes_from_the_field_itself(
    make_plate: MakePlate,
) -> None:
    """Others fill of it what it has not seen."""
    plate = make_plate(**OPTIONS)
    urls = image_urls(plate, 2)
    before = read_pixels(urls[1])
    sure = {"registration_confidence": 1.0, "registration_error": 0.01}
    # The first field reaches into the second, which reaches into the first.
    ways = {"FOV_1": (0.0, 0.0, 4 * PIXEL_UM), "FOV_2": (0.0, 0.0, -6 * PIXEL_UM)}
    set_translations(urls[1], ways, **sure)
    run_consensus(urls, keep="union", rejected="error")
    run_apply(urls)
    after = read_pixels(urls[1])
    np.testing.assert_array_equal(after[..., 4:SIZE], before[..., : SIZE - 4])
    second = slice(SIZE, 2 * SIZE - 6)
    np.testing.assert_array_equal(after[..., second], before[..., SIZE + 6 :])
    # And points go where pixels come from.
    seen = np.argwhere(after[0, 0] > 0)
    point_map = read_point_map(parse_image_url(urls[1]), REGISTERED)
    places = point_map.to_acquisition((seen + 0.5) * PIXEL_UM).points_um
    y, x = np.floor(places / PIXEL_UM).astype(int).T
    np.testing.assert_array_equal(before[0, 0, y, x], after[0, 0][tuple(seen.T)])


@pytest.mark.parametrize("size_um", [0.325, 0.65])
@pytest.mark.sampled(2)
def test_union_of_turned_fields_holds_all_of_them(
    make_plate: MakePlate, size_um: float
) -> None:
    plate = make_plate(**{**OPTIONS, "rotation_deg": 2.0})
    urls = image_urls(plate, 2)
    run_calculate(urls, method={"type": "phase_cross_correlation", "motion": "rigid"})
    run_consensus(urls, keep="union", output_grid=str(size_um), fill_value=1)
    run_apply(urls)
    shapes = {read_pixels(url).shape for url in urls}
    assert len(shapes) == 1
    _, _, height, width = shapes.pop()
    assert height * size_um >= SIZE * PIXEL_UM
    assert width * size_um >= 2 * SIZE * PIXEL_UM


def ramp(height: int, width: int, size_um: float, first_um: float) -> Ramp:
    """Give pixels that say where their centres lie, in hundredths of a micrometre."""
    y, x = ((np.arange(n) + 0.5) * size_um + first_um for n in (height, width))
    return np.rint(1000 + 100 * (2 * y[:, None] + x))[None].astype(np.uint16)


FINE_UM, COARSE_UM = 0.5, 1.0
MOVED_UM = 3.0
"""What lies at the corner of the acquisition is there in the reference, y and x."""


def make_other_pixels(folder: Path, **coarse: Any) -> list[str]:
    """Make an acquisition of larger pixels than the reference's."""
    spacing = {"z": 1.0, "y": COARSE_UM, "x": COARSE_UM}
    pixels = ramp(28, 30, COARSE_UM, MOVED_UM)
    ids = np.zeros((28, 30), np.int32)
    ids[5:12, 8:20] = 7
    urls = write_plate(
        folder / "plate.zarr",
        [
            {"pixels": ramp(64, 72, FINE_UM, 0.0), "origins": ({"y": 10.0},) * 2},
            {"pixels": pixels, "spacing": spacing, "labels": {"nuclei": ids}, **coarse},
        ],
    )
    sure = {"registration_confidence": 1.0, "registration_error": 0.01}
    set_translations(urls[1], {"FOV_1": (0.0, MOVED_UM, MOVED_UM)}, **sure)
    return urls


@pytest.mark.parametrize("keep", ["intersection", "reference", "union"])
@pytest.mark.parametrize(
    ("output_grid", "size_um"), [("reference", FINE_UM), ("0.8", 0.8), ("1.0", 1.0)]
)
@pytest.mark.sampled(3)
def test_all_images_get_the_pixels_that_are_asked_for(
    tmp_path: Path, output_grid: str, size_um: float, keep: str
) -> None:
    urls = make_other_pixels(tmp_path)
    run_consensus(urls, output_grid=output_grid, keep=keep)
    run_apply(urls)
    # Where the first pixel lies, in what the ramp counts from.
    images = [open_image(parse_image_url(url)) for url in urls]
    first_um = [one.grid.origin_um[1] - 10.0 for one in images]
    assert first_um == pytest.approx([0.0, 0.0], abs=1e-6)
    reference, moved = map(read_array, urls)
    assert reference.shape == moved.shape
    expected = ramp(*reference.shape[-2:], size_um, 0.0)
    for pixels in (reference, moved):
        seen = pixels > 0
        # Between centres of the source: beyond these, the border is repeated.
        inside = np.abs(pixels.astype(int) - expected) <= 1
        assert inside[seen].mean() > 0.85
        assert seen.mean() > (0.5 if keep == "intersection" else 0.6)
    if keep == "intersection":
        np.testing.assert_array_equal(reference > 0, moved > 0)
    for url in urls:
        levels = multiscale_of(url)["datasets"]
        for index, level in enumerate(levels):
            (scale, _) = level["coordinateTransformations"]
            grown = size_um * 2**index
            assert scale["scale"] == pytest.approx([1.0, grown, grown])


def test_labels_and_tables_keep_their_places_in_micrometres(tmp_path: Path) -> None:
    urls = make_other_pixels(tmp_path)
    run_consensus(urls, output_grid="reference", keep="reference")
    run_apply(urls)
    ids = read_array(urls[1], "labels/nuclei/0")
    assert ids.shape == read_array(urls[0])[0].shape
    assert set(np.unique(ids)) == {0, 7}
    rows, columns = (np.flatnonzero(ids.any(axis=axis)) for axis in (1, 0))
    ends_um = [(one[0] * FINE_UM, (one[-1] + 1) * FINE_UM) for one in (rows, columns)]
    assert ends_um == [(8.0, 15.0), (11.0, 23.0)]
    (roi,) = read_table(urls[1]).rois.values()
    y, x = (roi.get(axis) for axis in "yx")
    assert (y.start, y.length, x.start, x.length) == (0, 32, 0, 36)
    (roi,) = read_table(urls[1], REGISTERED).rois.values()
    assert (roi.get("y").start, roi.get("y").length) == (0, 32)


def test_points_follow_onto_the_pixels_that_were_asked_for(tmp_path: Path) -> None:
    urls = make_other_pixels(tmp_path)
    run_consensus(urls, output_grid="0.8", keep="union")
    places = [[5.0, 6.0], [27.0, 29.0]]
    for _ in range(2):  # before and after
        point_map = read_point_map(parse_image_url(urls[1]), REGISTERED)
        mapped = point_map.to_reference(places).points_um
        np.testing.assert_allclose(mapped, np.add(places, MOVED_UM))
        back = point_map.to_acquisition(mapped).points_um
        np.testing.assert_allclose(back, places)
        run_apply(urls)


def test_before_their_pixels_move_places_are_those_of_the_reference_as_it_is(
    make_plate: MakePlate,
) -> None:
    urls = move(make_plate(**OPTIONS))
    run_consensus(urls, keep="union")
    acquisition = parse_image_url(urls[1])
    places = [[10.0, 10.0]]
    expected = np.add(places, np.multiply((-UP, RIGHT), PIXEL_UM))
    before = read_point_map(acquisition, REGISTERED).to_reference(places).points_um
    np.testing.assert_allclose(before, expected)
    for stored in read_placements(acquisition, REGISTERED):
        moved_um = stored.to_placement(None).transform.displacement_at(np.zeros(3))
        np.testing.assert_allclose(moved_um[1:], (-UP * PIXEL_UM, RIGHT * PIXEL_UM))
    run_apply(urls)
    after = read_point_map(acquisition, REGISTERED).to_reference(places).points_um
    np.testing.assert_allclose(after, np.add(expected, (UP * PIXEL_UM, 0)))


def test_pixels_too_large_for_the_levels_are_refused(tmp_path: Path) -> None:
    urls = make_other_pixels(tmp_path)
    before = data_of(tmp_path)
    for odd in ("30", "0.001"):
        with pytest.raises(InvalidInputError, match=rf"output_grid='{odd}'"):
            run_consensus(urls, output_grid=odd)
    assert data_of(tmp_path) == before


def test_what_is_exported_is_what_was_measured(tmp_path: Path) -> None:
    """Between the centres of the images as they are, whatever pixels are to come."""
    urls = make_other_pixels(tmp_path)
    run_consensus(urls, output_grid="0.8", keep="union")
    (stored,) = read_placements(parse_image_url(urls[1]), REGISTERED)
    assert stored.pixel_sizes.moving_um[1:] == (COARSE_UM, COARSE_UM)
    assert stored.pixel_sizes.fixed_um[1:] == (FINE_UM, FINE_UM)
    transform = stored.to_placement(None).transform
    moved_um = transform.displacement_at(np.zeros(3))
    np.testing.assert_allclose(moved_um, (0, MOVED_UM, MOVED_UM))


def test_own_pixels_are_copied(tmp_path: Path) -> None:
    urls = make_other_pixels(tmp_path)
    before = read_array(urls[1])
    run_consensus(urls, output_grid="own", keep="union")
    run_apply(urls)
    after = read_array(urls[1])
    np.testing.assert_array_equal(after[:, 3:31, 3:33], before)


@pytest.mark.parametrize("value", ["0", "-1", "fine", "1e-3", "0.0"])
def test_size_must_be_one(tmp_path: Path, value: str) -> None:
    with pytest.raises(ValueError, match="output_grid"):
        run_consensus(make_other_pixels(tmp_path), output_grid=value)


def read_seen(url: str, level: str = "0") -> npt.NDArray[np.uint8]:
    return read_array(url, f"labels/seen/{level}")


def test_label_says_which_pixels_were_seen(make_plate: MakePlate) -> None:
    urls = move(make_plate(**OPTIONS))
    run_consensus(urls, keep="union", fill_value=3)
    run_apply(urls, seen_label="seen")
    for url, (y_px, x_px) in zip(urls, ((UP, 0), (0, RIGHT)), strict=True):
        seen = read_seen(url)
        assert seen.dtype == np.uint8
        expected = np.zeros(read_pixels(url).shape[1:], np.uint8)
        expected[:, y_px : y_px + SIZE, x_px : x_px + 2 * SIZE] = 1
        np.testing.assert_array_equal(seen, expected)
        label = open_container(url).get_label("seen")
        assert label.pixel_size == open_container(url).get_image().pixel_size
        assert sorted(open_container(url).list_labels()) == ["nuclei", "seen"]
        of_image, of_label = (
            [
                level["coordinateTransformations"][1]["translation"][-2:]
                for level in multiscale_of(folder)["datasets"]
            ]
            for folder in (url, f"{url}/labels/seen")
        )
        np.testing.assert_allclose(of_image, of_label)


def test_what_turned_out_of_sight_was_not_seen(make_plate: MakePlate) -> None:
    plate = make_plate(**{**OPTIONS, "fields_x": 1, "rotation_deg": 3.0})
    urls = image_urls(plate, 2)
    run_calculate(urls, method={"type": "phase_cross_correlation", "motion": "rigid"})
    run_consensus(urls, keep="reference", fill_value=0, min_confidence=0)
    run_apply(urls, seen_label="seen")
    pixels, seen = read_pixels(urls[1]), read_seen(urls[1])
    assert 0 < (seen == 0).mean() < 0.5
    np.testing.assert_array_equal(seen > 0, pixels[0] > 0)


def test_label_of_seen_pixels_is_made_anew_and_no_other_is_lost(
    make_plate: MakePlate,
) -> None:
    urls = move(make_plate(**OPTIONS))
    run_consensus(urls, keep="reference")
    before = tree_of(Path(urls[1]))
    with pytest.raises(InvalidInputError, match="has a label of this name"):
        run_apply(urls, seen_label="nuclei")
    for odd in ("a/b", "zarr.json", ".zattrs", "", "x" * 101):
        with pytest.raises(InvalidInputError, match="seen_label="):
            run_apply(urls, seen_label=odd)
    assert tree_of(Path(urls[1])) == before
    for _ in range(2):
        run_apply(urls, seen_label="seen")
        move(Path(urls[0]).parents[2], y_px=-3, x_px=2)
        run_consensus(urls, keep="reference")
    run_apply(urls)
    assert open_container(urls[1]).list_labels() == ["nuclei"]


def test_image_without_its_label_of_seen_pixels_is_made_again(
    make_plate: MakePlate,
) -> None:
    urls = move(make_plate(**OPTIONS))
    run_consensus(urls, keep="reference")
    (update,) = run_apply(urls[1:], seen_label="seen", overwrite_input=False)
    target = update["zarr_url"]
    before = read_seen(target)
    shutil.rmtree(f"{target}/labels/seen")
    run_apply(urls[1:], seen_label="seen", overwrite_input=False)
    np.testing.assert_array_equal(read_seen(target), before)
