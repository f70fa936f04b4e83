"""Micrometres of ROIs become whole pixels of level 0."""

import math
from typing import Any

import pytest
from ngio import Roi

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.storage.plate.open_image import OpenImage, open_image
from fractal_tasks.storage.plate.rois import (
    MAX_LENGTH_UM,
    is_length,
    roi_extent_um,
    roi_to_pixels,
)
from fractal_tasks.storage.urls import parse_image_url
from tests.conftest import MakePlate
from tests.storage.tiny import TINY, WELL


@pytest.fixture
def image(make_plate: MakePlate) -> OpenImage:
    """A stack of 2 x 32 x 64 pixels of 2.0, 0.5 and 0.5 um."""
    plate = make_plate(**TINY, planes=2, z_spacing_um=2.0, pixel_size_um=0.5)
    return open_image(parse_image_url(f"{plate}/{WELL}/1"))


def roi(**slices: Any) -> Roi:
    return Roi.from_values(name="a", slices=slices)


@pytest.mark.parametrize(
    ("slices", "expected"),
    [
        ({"z": (0, 4), "y": (1, 3), "x": (2, 10)}, [[0, 2], [2, 8], [4, 24]]),
        ({"z": (2, 2), "y": (0, 16), "x": (0, 32)}, [[1, 2], [0, 32], [0, 64]]),
        # Start and length are rounded by themselves: 0.2 um and 3.2 um.
        ({"z": (0, 4), "y": (0.2, 3.2), "x": (0.3, 3.2)}, [[0, 2], [0, 6], [1, 7]]),
        # No z: all planes. An open end reaches to the border.
        ({"y": (0, 16), "x": (30, None)}, [[0, 2], [0, 32], [60, 64]]),
    ],
    ids=["corner", "plane", "rounded", "open"],
)
def test_roi_gets_the_pixels_it_covers(
    image: OpenImage, slices: dict[str, Any], expected: list[list[int]]
) -> None:
    assert roi_to_pixels(roi(**slices), image, "here").to_lists() == expected


@pytest.mark.parametrize(
    "x", [(-1, 5), (30, 5), (40, 5), (5, 0.1)], ids=["before", "over", "after", "empty"]
)
def test_roi_that_the_image_does_not_hold_is_refused(
    image: OpenImage, x: tuple[float, float]
) -> None:
    outside = roi(z=(0, 4), y=(0, 5), x=x)
    with pytest.raises(InvalidDataError, match=r"^here: .*image of \(2, 32, 64\)"):
        roi_to_pixels(outside, image, "here")


def test_extent_of_an_axis_that_the_image_lacks_is_its_single_plane(
    make_plate: MakePlate,
) -> None:
    plate = make_plate(**TINY, axes="yx", pixel_size_um=0.5)
    image = open_image(parse_image_url(f"{plate}/{WELL}/1"))
    start_um, length_um = roi_extent_um(roi(z=(7, 9), y=(1, 2), x=(3, 4)), image)
    assert start_um.tolist() == [0, 1, 3]
    assert length_um.tolist() == [image.spacing_um[0], 2, 4]


@pytest.mark.parametrize("value", [math.nan, math.inf, -MAX_LENGTH_UM])
def test_what_is_out_of_this_world_is_no_length(value: float) -> None:
    assert not is_length(value)
    assert is_length(-1e6)
