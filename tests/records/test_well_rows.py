"""The same ROI table in all acquisitions of a well."""

from pathlib import Path

import pytest

from fractal_tasks.errors import InvalidDataError, MissingStepError
from fractal_tasks.model import RowKey
from fractal_tasks.records.well_rows import WellRows, read_well_rows
from fractal_tasks.transforms import Translation
from fractal_tasks.transforms.boxes import PixelBox
from tests.records.plates import (
    FIELD_PX,
    TABLE,
    edit_rows,
    image_url,
    open_acquisition,
    read_rows,
    write_rows,
)

FIRST, SECOND = RowKey("FOV_1"), RowKey("FOV_2")
MOVED = {"translation_z": 0.0, "translation_y": 1.0, "translation_x": -2.0}


def read_well(plate: Path) -> WellRows:
    return read_well_rows({image_url(plate, 0): 0, image_url(plate, 1): 1}, TABLE)


def test_well_has_its_acquisitions_reference_first(plate: Path) -> None:
    well = read_well(plate)
    assert [rows.acquisition for rows in well.acquisitions] == [0, 1]
    assert well.reference.image.url == image_url(plate, 0)
    assert well.well_url == f"{plate}/A/01"
    assert well.reference.keys == [FIRST, SECOND]
    assert (
        well.others[0].where(SECOND) == f"ROI 'FOV_2', acquisition 1 ({plate}/A/01/1)"
    )


def test_boxes_are_the_rois_in_pixels(plate: Path) -> None:
    first = PixelBox((0, 0, 0), (1, FIELD_PX, FIELD_PX))
    boxes = read_well(plate).reference.boxes
    assert boxes == {FIRST: first, SECOND: first.shifted((0, 0, FIELD_PX))}


def test_roi_out_of_the_image_is_named_when_boxes_are_asked_for(plate: Path) -> None:
    image = open_acquisition(plate, 1)
    rois = list(read_rows(image).rois.values())
    rois[1] = rois[1].update_slice(name="x", new_slice=(500.0, 10.0))
    write_rows(image.url, rois)
    rows = read_well(plate).others[0]
    with pytest.raises(InvalidDataError, match=r"ROI 'FOV_2', acquisition 1.*pixels"):
        _ = rows.boxes


def test_rois_have_to_be_the_same_in_any_order(plate: Path) -> None:
    image = open_acquisition(plate, 1)
    first, second = read_rows(image).rois.values()
    write_rows(image.url, [second, first])
    assert read_well(plate).others[0].keys == [SECOND, FIRST]
    write_rows(image.url, [second])
    with pytest.raises(InvalidDataError, match=r"only in .*/0: \['FOV_1'\]"):
        read_well(plate)


def test_rows_are_left_out_of_all_acquisitions(plate: Path) -> None:
    left = read_well(plate).without({FIRST})
    assert [rows.keys for rows in left.acquisitions] == [[SECOND], [SECOND]]
    assert all(list(rows.boxes) == [SECOND] for rows in left.acquisitions)


def test_measurements_are_what_calculate_stored(plate: Path) -> None:
    edit_rows(image_url(plate, 1), MOVED)
    measurements = read_well(plate).others[0].read_measurements()
    assert list(measurements) == [FIRST, SECOND]
    assert measurements[SECOND].best.transform == Translation((0.0, 1.0, -2.0))


def test_measurements_that_are_not_there_are_a_missing_step(plate: Path) -> None:
    with pytest.raises(MissingStepError, match=r"ROI 'FOV_1', acquisition 1 \(.*/1\)"):
        read_well(plate).others[0].read_measurements()
