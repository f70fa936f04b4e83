"""An image is opened once, and known to be whole but for its pixels."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.storage.plate.open_image import open_image
from fractal_tasks.storage.urls import parse_image_url
from tests.conftest import MakePlate
from tests.storage.tiny import TINY, WELL


@pytest.fixture
def path(make_plate: MakePlate) -> Path:
    return make_plate(**TINY, pixel_size_um=0.5, z_spacing_um=2.0) / WELL / "1"


def edit_levels(image: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Change the metadata of each level of an image."""
    attributes = json.loads((image / ".zattrs").read_text())
    for level in attributes["multiscales"][0]["datasets"]:
        edit(level)
    (image / ".zattrs").write_text(json.dumps(attributes))


def test_size_and_spacing_are_those_of_level_0(path: Path) -> None:
    image = open_image(parse_image_url(str(path)))
    assert image.shape == (1, 32, 64)
    assert image.spacing_um == (2.0, 0.5, 0.5)
    assert image.level.path == "0"


@pytest.mark.parametrize(
    ("axes", "planes", "shape"),
    [("yx", 1, (1, 32, 64)), ("zyx", 3, (3, 32, 64)), ("tczyx", 2, (2, 32, 64))],
)
def test_axes_that_an_image_lacks_have_one_pixel(
    make_plate: MakePlate, axes: str, planes: int, shape: tuple[int, int, int]
) -> None:
    plate = make_plate(**TINY, axes=axes, planes=planes)
    assert open_image(parse_image_url(f"{plate}/{WELL}/1")).shape == shape


def test_image_names_itself_and_what_is_in_it(path: Path) -> None:
    image = open_image(parse_image_url(str(path)))
    assert image.where() == str(path)
    assert image.where("ROI 'FOV_1'") == f"{path}: ROI 'FOV_1'"


def test_place_without_an_image_is_an_error(path: Path) -> None:
    url = parse_image_url(f"{path}_nothing")
    with pytest.raises(InvalidDataError, match=r"1_nothing: found no OME-Zarr image"):
        open_image(url)


@pytest.mark.parametrize("level_path", ["../../B/03/0", "/0", "a/./b", ""])
def test_level_outside_the_image_is_refused(path: Path, level_path: str) -> None:
    edit_levels(path, lambda level: level.update(path=level_path))
    with pytest.raises(InvalidDataError, match="needed is a path inside the image"):
        open_image(parse_image_url(str(path)))


def test_level_that_is_listed_twice_is_refused(path: Path) -> None:
    edit_levels(path, lambda level: level.update(path="0"))
    with pytest.raises(InvalidDataError, match=r"level '0' has .*needed are fewer"):
        open_image(parse_image_url(str(path)))


@pytest.mark.parametrize("size_um", [1e-9, 1e9])
def test_pixels_of_an_impossible_size_are_refused(path: Path, size_um: float) -> None:

    def set_z(level: dict[str, Any]) -> None:
        level["coordinateTransformations"][0]["scale"][1] = size_um

    edit_levels(path, set_z)
    with pytest.raises(InvalidDataError, match="Correct the scale"):
        open_image(parse_image_url(str(path)))


def test_pixels_that_are_no_real_numbers_are_refused(path: Path) -> None:
    shape = zarr.open_array(path / "0", mode="r").shape
    zarr.create_array(
        path / "0",
        shape=shape,
        dtype=np.dtype("complex64"),
        zarr_format=2,
        overwrite=True,
    )
    with pytest.raises(InvalidDataError, match="needed are integers or real numbers"):
        open_image(parse_image_url(str(path)))
