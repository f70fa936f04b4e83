"""Plans made from the reference's table, as for a table of fractal-tasks-core."""

from pathlib import Path

import pytest

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.model import RowKey
from fractal_tasks.records.plans import RegistrationPlan
from fractal_tasks.records.reference_plan import find_reference, plan_from_reference
from fractal_tasks.transforms import Translation
from fractal_tasks.transforms.boxes import PixelBox
from tests.records.plans import FIRST, OF_FIRST, PLACEMENTS, cropped_rois
from tests.records.plates import (
    PIXEL_UM,
    PIXELS,
    REGISTERED,
    TABLE,
    edit_rows,
    image_url,
    open_acquisition,
    read_rows,
    write_rows,
)
from tests.transforms.affine import turn_about


def write_tables(
    plate: Path, *, y_px: tuple[float, float], height_px: tuple[float, float]
) -> None:
    """Write the registered tables of the reference and of the acquisition."""
    for index, (first, height) in enumerate(zip(y_px, height_px, strict=True)):
        rois = cropped_rois(plate, y_px=first, height_px=height)
        write_rows(image_url(plate, index), rois, REGISTERED)


def make(plate: Path) -> RegistrationPlan:
    reference = open_acquisition(plate, 0)
    return plan_from_reference(open_acquisition(plate, 1), reference, REGISTERED)


def test_plan_moves_each_roi_onto_that_of_the_reference(plate: Path) -> None:
    write_tables(plate, y_px=(2, 0), height_px=(30, 30))
    plan = make(plate)
    for key, expected in PLACEMENTS.items():
        placement = plan.placements[key]
        assert placement.source == expected.source
        assert placement.destination == placement.region == expected.region
        assert placement.transform.displacement_at((0, 0, 0)) == pytest.approx(
            (0.0, 2 * PIXEL_UM, 0.0)
        )
    assert plan.reference_tables.keys() >= {TABLE, REGISTERED}
    assert (plan.reference_image, plan.fill_value) == ("0", 0.0)
    assert plan.consensus is None


def test_registered_table_has_places_of_the_reference_and_own_columns(
    plate: Path,
) -> None:
    write_tables(plate, y_px=(2, 0), height_px=(30, 30))
    own = {"registration_status": "chosen", "colour": "red", "registration_kept": 0.5}
    edit_rows(image_url(plate, 1), own, REGISTERED)
    edit_rows(image_url(plate, 0), {"registration_status": "reference"}, REGISTERED)
    reference = read_rows(open_acquisition(plate, 0), REGISTERED).rois
    found = make(plate).reference_tables[REGISTERED]
    for name, roi in found.rois.items():
        assert roi.slices == reference[name].slices
        columns = roi.model_extra or {}
        assert columns["registration_status"] == "chosen"
        assert columns["colour"] == "red"
        # Nobody knows how large the ROI was.
        assert "registration_kept" not in columns


def test_columns_of_others_do_not_matter_but_a_turn_does(plate: Path) -> None:
    """Two boxes tell all of a translation, whatever else is in the table."""
    write_tables(plate, y_px=(2, 0), height_px=(30, 30))
    others = {"registration_confidence": 87.0, "translation_y": 0.3}
    edit_rows(image_url(plate, 1), others, REGISTERED)
    assert make(plate).placements.keys() == PLACEMENTS.keys()
    turn = PIXELS.to_json(turn_about((0.0, 5.0, 5.0), degrees=1.0))
    edit_rows(image_url(plate, 1), {"transform": turn}, REGISTERED)
    with pytest.raises(InvalidDataError, match="'FOV_1': found a transform of type"):
        make(plate)


def test_size_is_that_of_the_roi_of_the_reference(plate: Path) -> None:
    write_tables(plate, y_px=(2, 0), height_px=(30, 25))
    assert make(plate).placements[FIRST].source == OF_FIRST.source


def test_what_the_image_has_not_seen_is_left_out(plate: Path) -> None:
    write_tables(plate, y_px=(0, -2), height_px=(32, 32))
    placement = make(plate).placements[FIRST]
    assert placement.region == PixelBox((0, 0, 0), (1, 32, 32))
    assert placement.destination == OF_FIRST.destination
    assert placement.source == OF_FIRST.source
    assert isinstance(placement.transform, Translation)


def test_roi_without_pixels_is_a_table_that_is_lost(plate: Path) -> None:
    write_tables(plate, y_px=(0, 0), height_px=(30, 0))
    with pytest.raises(InvalidDataError, match=r"'FOV_1'.*A file of the table may be"):
        make(plate)


def test_roi_that_the_reference_has_not_is_refused(plate: Path) -> None:
    write_tables(plate, y_px=(0, 0), height_px=(30, 30))
    (first, _) = cropped_rois(plate, y_px=0, height_px=30)
    write_rows(image_url(plate, 0), [first], REGISTERED)
    with pytest.raises(InvalidDataError, match=r"has the ROIs \['FOV_2'\], which"):
        make(plate)


def test_roi_that_only_the_reference_has_gets_no_pixels(plate: Path) -> None:
    write_tables(plate, y_px=(0, 0), height_px=(30, 30))
    (first, _) = cropped_rois(plate, y_px=0, height_px=30)
    write_rows(image_url(plate, 1), [first], REGISTERED)
    plan = make(plate)
    assert list(plan.placements) == [RowKey("FOV_1")]
    assert list(plan.reference_tables[REGISTERED].rois) == ["FOV_1"]


def test_roi_that_leaves_the_image_is_refused(plate: Path) -> None:
    write_tables(plate, y_px=(0, 40), height_px=(30, 30))
    with pytest.raises(InvalidDataError, match="ROI 'FOV_1': the source pixels"):
        make(plate)


def test_reference_is_found_by_its_acquisition(plate: Path) -> None:
    write_tables(plate, y_px=(0, 0), height_px=(30, 30))
    image = open_acquisition(plate, 1)
    assert find_reference(image, REGISTERED, 0) == image_url(plate, 0)
    with pytest.raises(InvalidDataError, match="needed is reference_acquisition=7"):
        find_reference(image, REGISTERED, 7)
