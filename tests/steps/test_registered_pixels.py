"""Which pixels go where, against a loop over single pixels."""

import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fractal_tasks.model import Placement, RowKey
from fractal_tasks.steps.registered_pixels import (
    registered_label,
    registered_pixels,
    warn_of_overlaps,
)
from fractal_tasks.storage.pixels.box_source import BoxSource
from fractal_tasks.storage.pixels.grid import full_box
from fractal_tasks.storage.plate.open_image import OpenImage, open_image
from fractal_tasks.transforms import Translation
from fractal_tasks.transforms.boxes import PixelBox
from tests.records.plans import FIRST, OF_FIRST, SECOND, make_plan
from tests.records.plates import open_acquisition
from tests.steps.wells import read_level

HEIGHT, WIDTH = 32, 64


def read_all(source: BoxSource, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    pixels = source.read_block(full_box(shape))
    assert pixels is not None
    return np.asarray(pixels)


def placement(
    y: tuple[int, int], x: tuple[int, int], shift: tuple[int, int]
) -> Placement:
    """Place rows `y` and columns `x` of the registered grid, that moved by `shift`."""
    region = PixelBox((0, y[0], x[0]), (1, y[1], x[1]))
    moved = (0, *shift)
    exact = Translation((0.0, 0.0, 0.0))
    return Placement.of(region, region, moved, exact)


def test_pixels_of_each_roi_are_moved_and_the_rest_is_the_fill_value(
    plate: Path,
) -> None:
    image = open_acquisition(plate, 1)
    plan = make_plan(plate, fill_value=9.0)
    pixels = read_level(image.url.path)
    expected = np.full_like(pixels, 9)
    expected[..., 2:32, :] = pixels[..., 0:30, :]
    found = read_all(registered_pixels(image, plan, "linear"), pixels.shape)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("fill_value", [0.0, 9.0])
def test_of_overlapping_rois_the_later_one_is_kept(
    plate: Path, fill_value: float, caplog: pytest.LogCaptureFixture
) -> None:
    image = open_acquisition(plate, 1)
    placements = {
        FIRST: placement((0, 20), (0, 40), (0, 0)),
        SECOND: placement((10, 30), (30, 60), (3, -4)),
    }
    plan = make_plan(plate, placements=placements, fill_value=fill_value)
    pixels = read_level(image.url.path)
    expected = np.full_like(pixels, fill_value)
    expected[..., 0:20, 0:40] = pixels[..., 0:20, 0:40]
    expected[..., 10:30, 30:60] = pixels[..., 7:27, 34:64]
    found = read_all(registered_pixels(image, plan, "linear"), pixels.shape)
    np.testing.assert_array_equal(found, expected)
    with caplog.at_level(logging.WARNING):
        warn_of_overlaps(image, plan)
    assert "the later one is kept: 'FOV_1' and 'FOV_2'" in caplog.text


def test_rois_side_by_side_are_no_overlap(
    plate: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        warn_of_overlaps(open_acquisition(plate, 1), make_plan(plate))
    assert not caplog.messages


def add_label(image: OpenImage, pixel_px: float) -> OpenImage:
    """Add a label of other pixels to an image, with different ids everywhere."""
    shape = (1, math.ceil(HEIGHT / pixel_px), math.ceil(WIDTH / pixel_px))
    label = image.container.derive_label(
        "other", shape=shape, pixelsize=pixel_px * image.spacing_um[1], dtype="uint32"
    )
    ids = np.arange(1, math.prod(shape) + 1, dtype=np.uint32).reshape(shape)
    label.set_array(ids)
    return open_image(image.url)


def brute_force(
    ids: npt.NDArray[np.uint32], placements: list[Placement], pixel_px: float
) -> npt.NDArray[np.uint32]:
    """Copy a label pixel by pixel: each belongs to the ROI that holds its centre."""
    moved = np.zeros_like(ids)
    _, rows, columns = ids.shape
    for one in placements:
        _, shift_y, shift_x = (
            math.floor(shift / pixel_px + 0.5) for shift in one.shift_px
        )
        (_, first_y, first_x), (_, last_y, last_x) = (
            one.destination.start,
            one.destination.stop,
        )
        for y in range(rows):
            for x in range(columns):
                centre = ((y + 0.5) * pixel_px, (x + 0.5) * pixel_px)
                inside = first_y <= centre[0] < last_y and first_x <= centre[1] < last_x
                source = (y - shift_y, x - shift_x)
                known = 0 <= source[0] < rows and 0 <= source[1] < columns
                if inside and known:
                    moved[0, y, x] = ids[0, source[0], source[1]]
    return moved


@pytest.mark.parametrize("pixel_px", [0.5, 1.0, 2.0, 3.0, 1.6])
@pytest.mark.sampled(2)
def test_label_moves_with_the_pixels_under_it(plate: Path, pixel_px: float) -> None:
    image = open_acquisition(plate, 1)
    writable = replace(image, container=_for_writing(image))
    image = add_label(writable, pixel_px)
    ids = read_level(image.url.path / "labels" / "other")
    rng = np.random.default_rng(0)
    for _ in range(10):
        shifts = rng.integers(-7, 8, (2, 2)).tolist()
        placements = [
            placement((8, 25), (8, 31), tuple(shifts[0])),
            placement((7, 24), (35, 56), tuple(shifts[1])),
        ]
        plan = make_plan(
            plate, placements={RowKey(str(i)): p for i, p in enumerate(placements)}
        )
        found = read_all(registered_label(image, "other", plan), ids.shape)
        np.testing.assert_array_equal(found, brute_force(ids, placements, pixel_px))


def test_label_without_a_pixel_in_any_roi_is_empty(plate: Path) -> None:
    image = open_acquisition(plate, 1)
    image = add_label(replace(image, container=_for_writing(image)), 16.0)
    tiny = placement((1, 3), (1, 3), (0, 0))
    plan = make_plan(plate, placements={FIRST: tiny})
    label = registered_label(image, "other", plan)
    assert label.read_block(full_box((1, 2, 4))) is None


def test_plan_of_one_roi_leaves_the_other_out(plate: Path) -> None:
    image = open_acquisition(plate, 1)
    plan = make_plan(plate, placements={FIRST: OF_FIRST})
    found = read_all(registered_pixels(image, plan, "linear"), image.level.shape)
    assert found[..., 2:, :32].any()
    assert not found[..., 32:].any()


def _for_writing(image: OpenImage) -> Any:
    from ngio import open_ome_zarr_container

    return open_ome_zarr_container(image.zarr_url, mode="r+")
