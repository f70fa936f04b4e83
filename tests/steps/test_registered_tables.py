"""The rows that *consensus* writes, from verdicts and placements made by hand."""

from pathlib import Path

import pytest

from fractal_tasks.model import Candidate, Canvas, Placement, RowKey, Verdict
from fractal_tasks.records.provenance import Record
from fractal_tasks.records.rows import RoiRecord
from fractal_tasks.records.stored_plan import ConsensusRecord, snapshot_roi_tables
from fractal_tasks.steps.registered_tables import (
    RegisteredAcquisition,
    RegisteredWell,
    write_registered_tables,
)
from fractal_tasks.transforms import Transform, Translation
from tests.records.plans import OF_FIRST, OF_SECOND, PLACEMENTS, SETTINGS
from tests.records.plates import (
    PIXEL_UM,
    REGISTERED,
    TABLE,
    edit_rows,
    image_url,
    open_acquisition,
    read_rows,
)
from tests.steps.wells import read_well

STAYS = Translation((0.0, 0.0, 0.0))
IN_REFERENCE = {
    key: Placement(one.region, one.region, one.region, STAYS)
    for key, one in PLACEMENTS.items()
}


def verdicts(status: str, transform: Transform) -> dict[RowKey, Verdict]:
    used = Candidate(transform, 0.8, 0.02, {"ratio": 2.0})
    verdict = Verdict(used, status, "as told", 0.8)  # type: ignore[arg-type]  # a text
    return dict.fromkeys(PLACEMENTS, verdict)


def write(plate: Path) -> None:
    well = read_well(plate)
    canvas = Canvas(well.reference.image.grid)
    stays, moved = verdicts("reference", STAYS), verdicts("chosen", OF_FIRST.transform)
    write_registered_tables(
        well,
        RegisteredWell(
            (
                RegisteredAcquisition(well.reference, stays, IN_REFERENCE, canvas),
                RegisteredAcquisition(well.others[0], moved, PLACEMENTS, canvas),
            ),
            canvas,
        ),
        snapshot_roi_tables(well.reference.image, skip=REGISTERED),
        Record.of("find_registration_consensus", {"a": "b"}, SETTINGS),
    )


def test_rows_lie_where_the_region_is_in_their_own_image(plate: Path) -> None:
    write(plate)
    for acquisition, first_px in ((0, 2), (1, 0)):
        table = read_rows(open_acquisition(plate, acquisition), REGISTERED)
        for name, x_px in (("FOV_1", 0), ("FOV_2", 32)):
            y, x = (table.rois[name].get(axis) for axis in "yx")
            assert y is not None
            assert x is not None
            found = (y.start, y.length, x.start, x.length)
            expected_px = (first_px, 30, x_px, 32)
            assert found == pytest.approx([PIXEL_UM * one for one in expected_px])


def test_rows_keep_columns_of_others_and_say_what_was_decided(plate: Path) -> None:
    edit_rows(image_url(plate, 1), {"colour": "red", "registration_chi2": 7.0})
    write(plate)
    image = open_acquisition(plate, 1)
    roi = read_rows(image, REGISTERED).rois["FOV_2"]
    extra = roi.model_extra or {}
    assert extra["colour"] == "red"
    assert "registration_chi2" not in extra
    record = RoiRecord.from_roi(roi, image, "here")
    assert (record.status, record.reason) == ("chosen", "as told")
    # Rows 0 to 30 of a field of 32.
    assert record.kept == 30 / 32
    assert record.candidates == (
        Candidate(OF_FIRST.transform, 0.8, 0.02, {"ratio": 2.0}),
    )


def test_table_and_plan_are_written_together(plate: Path) -> None:
    write(plate)
    stored = ConsensusRecord.read(
        read_rows(open_acquisition(plate, 1), REGISTERED).record
    )
    assert stored is not None
    assert {one.key: one.to_placement(None) for one in stored.placements} == PLACEMENTS
    assert stored.placements[1].to_placement(None) == OF_SECOND
    assert stored.reference_image == "0"
    assert stored.inputs == {"a": "b"}
    frozen = stored.reference_tables
    assert frozen.keys() >= {TABLE, REGISTERED}
    registered = read_rows(open_acquisition(plate, 0), REGISTERED)
    assert frozen[REGISTERED].to_table(REGISTERED).rois.keys() == registered.rois.keys()


def test_tables_of_before_stay_as_they_are(plate: Path) -> None:
    before = read_rows(open_acquisition(plate, 1)).rois
    write(plate)
    assert read_rows(open_acquisition(plate, 1)).rois == before
