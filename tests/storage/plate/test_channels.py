"""Channels are found by what a user knows of them, whatever the metadata lack."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.storage.plate.channels import Channel, find_channel, read_channels
from fractal_tasks.storage.plate.open_image import OpenImage
from tests.plain_plates import channels, opened, write_image

TWO = np.zeros((2, 16, 16), "uint8")


@pytest.fixture
def image_path(tmp_path: Path) -> Path:
    return tmp_path / "p.zarr/A/1/0"


def make(path: Path, *entries: Mapping[str, object]) -> OpenImage:
    return opened(write_image(path, TWO, omero=channels(*entries)))


def test_id_goes_before_label_and_label_before_index(image_path: Path) -> None:
    image = make(image_path, {"wavelength_id": "A01", "label": "1"}, {"label": "A01"})
    assert find_channel(image, "A01") == 0
    assert find_channel(image, "1") == 0
    assert find_channel(image, "0") == 0
    image = make(image_path, {"wavelength_id": "A01"}, {"wavelength_id": "A02"})
    assert find_channel(image, "A02") == 1
    assert find_channel(image, "1") == 1


@pytest.mark.parametrize(
    "omero",
    [None, {}, {"channels": []}, {"channels": None}, [], {"channels": [None, 5]}],
    ids=["missing", "empty", "no channels", "null", "a list", "no objects"],
)
def test_without_metadata_channels_are_found_by_index(
    image_path: Path, omero: object
) -> None:
    image = opened(write_image(image_path, TWO, omero=omero))
    assert read_channels(image) == [Channel(0, None, None), Channel(1, None, None)]
    assert find_channel(image, "1") == 1
    assert find_channel(image, "channel_1") == 1
    with pytest.raises(InvalidInputError, match=r"no channel.*index 1: id None"):
        find_channel(image, "A01_C01")


def test_channels_without_window_and_colour_are_enough(image_path: Path) -> None:
    image = make(image_path, {"label": "DAPI"}, {"label": 2, "wavelength_id": ""})
    assert read_channels(image) == [Channel(0, None, "DAPI"), Channel(1, None, "2")]


def test_what_fits_twice_is_an_error_that_lists_all_channels(image_path: Path) -> None:
    """An image that ngio would not open."""
    image = make(
        image_path,
        {"label": "DAPI", "wavelength_id": "A01"},
        {"label": "DAPI", "wavelength_id": "A02"},
    )
    with pytest.raises(InvalidInputError) as error:
        find_channel(image, "DAPI")
    assert "'DAPI' fits several channels" in str(error.value)
    assert "index 0: id 'A01', label 'DAPI'" in str(error.value)
    assert "index 1: id 'A02', label 'DAPI'" in str(error.value)
    assert find_channel(image, "A02") == 1


def test_only_channel_needs_no_name(image_path: Path) -> None:
    image = opened(write_image(image_path, TWO[0]))
    assert find_channel(image, "A01_C01") == 0
    named = opened(write_image(image_path, TWO[0], omero=channels({"label": "GFP"})))
    with pytest.raises(InvalidInputError, match="fits no channel"):
        find_channel(named, "A01_C01")
