"""The same ROI table in all acquisitions of a well."""

from pathlib import Path

import pytest
from ngio import Roi

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


def test_rows_may_have_any_order_and_some_may_be_missing(plate: Path) -> None:
    image = open_acquisition(plate, 1)
    first, second = read_rows(image).rois.values()
    write_rows(image.url, [second, first])
    assert read_well(plate).others[0].keys == [SECOND, FIRST]
    write_rows(image.url, [second])
    well = read_well(plate)
    assert well.others[0].keys == [SECOND]
    assert well.reference.keys == [FIRST, SECOND]


def test_rows_have_the_names_of_their_partners(plate: Path) -> None:
    """They lie at the same places."""
    image = open_acquisition(plate, 1)
    first, second = read_rows(image).rois.values()
    names = [
        roi.model_copy(update={"name": name})
        for roi, name in ((first, "x"), (second, "y"))
    ]
    write_rows(image.url, names[::-1])
    rows = read_well(plate).others[0]
    assert rows.keys == [SECOND, FIRST]
    assert rows.table.rois["FOV_2"].get("x") == second.get("x")
    assert rows.table.rois["FOV_2"].name == "FOV_2"
    assert not rows.unsure


def test_rows_without_name_or_place_in_common_are_paired_by_order_and_unsure(
    plate: Path,
) -> None:
    image = open_acquisition(plate, 1)
    places = {"x": 0.0, "y": 3.0}
    rois = [
        Roi.from_values(name=name, slices={"y": (start, 2.0), "x": (start, 2.0)})
        for name, start in places.items()
    ]
    write_rows(image.url, rois)
    rows = read_well(plate).others[0]
    assert rows.keys == [FIRST, SECOND]
    assert rows.unsure == {FIRST, SECOND}


def test_nothing_in_common_is_refused_with_what_there_is(plate: Path) -> None:
    image = open_acquisition(plate, 1)
    (_, second) = read_rows(image).rois.values()
    far = second.model_copy(update={"name": "far", "x_micrometer_original": 100.0})
    write_rows(image.url, [far.update_slice(name="x", new_slice=(5.0, 10.4))])
    with pytest.raises(InvalidDataError, match=r"/0 has 2, .*/1 has 1, \['far'\]"):
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
