"""What stands for the default ROI table where it is missing."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.storage.plate.default_rois import find_roi_table
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.storage.plate.rois import roi_to_pixels
from fractal_tasks.transforms.boxes import PixelBox
from tests.conftest import MakePlate
from tests.plain_plates import opened, write_image
from tests.storage.tiny import TABLE, TINY, WELL


@pytest.fixture
def plate(make_plate: MakePlate) -> Path:
    return make_plate(**TINY)


@pytest.fixture
def bare(tmp_path: Path) -> OpenImage:
    """An image of 32 x 64 pixels without any table."""
    folder = tmp_path / "bare.zarr/A/1/1"
    return opened(write_image(folder, np.zeros((1, 32, 64), "uint8")))


def test_table_of_the_image_itself_is_read(plate: Path) -> None:
    image = opened(plate / WELL / "1")
    assert list(find_roi_table(image, TABLE).rois) == ["FOV_1", "FOV_2"]
    assert list(find_roi_table(image, "well_ROI_table").rois) == ["well_1"]


def test_without_a_table_the_whole_image_is_one_roi(bare: OpenImage) -> None:
    rois = find_roi_table(bare, TABLE).rois
    assert list(rois) == ["image"]
    box = PixelBox((0, 0, 0), (1, 32, 64))
    assert roi_to_pixels(rois["image"], bare, "here") == box
    assert find_roi_table(bare, TABLE, bare).rois == rois


def test_rois_of_the_reference_stand_for_those_of_the_acquisition(
    plate: Path, bare: OpenImage
) -> None:
    reference = opened(plate / WELL / "0")
    expected = find_roi_table(reference, TABLE).rois
    found = find_roi_table(bare, TABLE, reference).rois
    assert {name: roi.slices for name, roi in found.items()} == {
        name: roi.slices for name, roi in expected.items()
    }
    assert not any(roi.model_extra for roi in found.values())


def test_any_other_table_has_to_be_there(bare: OpenImage) -> None:
    with pytest.raises(InvalidDataError, match="table 'cells' is needed"):
        find_roi_table(bare, "cells")


@pytest.mark.parametrize("harm", ["list", "listed"])
def test_table_that_was_lost_is_not_taken_for_one_that_never_was(
    plate: Path, harm: str
) -> None:
    tables = plate / WELL / "1/tables"
    if harm == "list":
        (tables / ".zattrs").write_text("{}")
    else:
        shutil.rmtree(tables / TABLE)
    with pytest.raises(InvalidDataError, match=TABLE):
        find_roi_table(opened(plate / WELL / "1"), TABLE)
