"""Registered rows: places of the reference, verdicts of the acquisition."""

from pathlib import Path

import pytest

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.records.registered_rows import (
    describe_registered,
    read_registered_rows,
)
from tests.records.plans import cropped_rois
from tests.records.plates import (
    PIXEL_UM,
    REGISTERED,
    TABLE,
    edit_rows,
    image_url,
    open_acquisition,
    read_rows,
    write_rows,
)

VERDICT = {
    "translation_z": 0.0,
    "translation_y": 0.65,
    "translation_x": 0.0,
    "registration_status": "imputed",
    "registration_kept": 0.9,
}


@pytest.fixture
def plate_with_verdicts(plate: Path) -> Path:
    for acquisition, first_px in ((0, 2), (1, 0)):
        rois = cropped_rois(plate, y_px=first_px, height_px=30)
        write_rows(image_url(plate, acquisition), rois, REGISTERED)
    edit_rows(image_url(plate, 1), VERDICT, REGISTERED)
    return plate


def test_rows_are_read_with_their_verdicts(plate_with_verdicts: Path) -> None:
    rows = read_registered_rows(open_acquisition(plate_with_verdicts, 1), REGISTERED)
    assert [row.key.roi for row in rows] == ["FOV_1", "FOV_2"]
    assert {(row.status, row.kept) for row in rows} == {("imputed", 0.9)}
    assert rows[0].displacement_um == (0.0, 0.65, 0.0)


def test_rows_of_another_package_have_no_verdicts(plate_with_verdicts: Path) -> None:
    rows = read_registered_rows(open_acquisition(plate_with_verdicts, 0), REGISTERED)
    assert {(row.status, row.kept, row.candidates) for row in rows} == {
        (None, None, ())
    }


def test_damaged_row_is_named_with_image_and_table(plate_with_verdicts: Path) -> None:
    edit_rows(image_url(plate_with_verdicts, 1), {"transform": "{"}, REGISTERED)
    with pytest.raises(InvalidDataError, match=rf"/1: table '{REGISTERED}', 'FOV_1'"):
        read_registered_rows(open_acquisition(plate_with_verdicts, 1), REGISTERED)


@pytest.mark.parametrize("is_frozen", [True, False])
def test_places_are_those_of_the_reference(
    plate_with_verdicts: Path, is_frozen: bool
) -> None:
    reference, own = (
        read_rows(open_acquisition(plate_with_verdicts, acquisition), REGISTERED)
        for acquisition in (0, 1)
    )
    image = open_acquisition(plate_with_verdicts, 1)
    tables = describe_registered(
        {REGISTERED: reference}, own, image, image.grid, is_frozen=is_frozen
    )
    for roi in tables[REGISTERED].rois.values():
        part = roi.get("y")
        assert part is not None
        assert part.start == pytest.approx(2 * PIXEL_UM)
        columns = roi.model_extra or {}
        assert columns["registration_status"] == "imputed"
        assert ("registration_kept" in columns) is is_frozen
    assert (own.rois["FOV_1"].model_extra or {})["registration_kept"] == 0.9


def test_other_tables_stay_as_they_are(plate_with_verdicts: Path) -> None:
    own = read_rows(open_acquisition(plate_with_verdicts, 1), REGISTERED)
    table = read_rows(open_acquisition(plate_with_verdicts, 0))
    image = open_acquisition(plate_with_verdicts, 1)
    tables = describe_registered({TABLE: table}, own, image, image.grid, is_frozen=True)
    assert tables == {TABLE: table}
