"""Verdicts on the rows of a well, and what happens to those that are rejected."""

import logging
from pathlib import Path
from typing import Any

import pytest

from fractal_tasks.errors import InvalidDataError, MissingStepError
from fractal_tasks.model import PlateEvidence, RowKey, Verdict, WellMovement
from fractal_tasks.records.well_rows import WellRows
from fractal_tasks.steps.well_verdicts import find_verdicts
from tests.records.plans import FIRST, SECOND, SETTINGS
from tests.records.plates import PIXEL_UM, TABLE, image_url
from tests.steps.wells import moved_by, read_well, store_estimates

BOTH = {"FOV_1": moved_by(2, 0), "FOV_2": moved_by(2, 0)}
UNSURE = {"FOV_1": moved_by(2, 0), "FOV_2": moved_by(9, 9, confidence=0.0)}
LOST = {"FOV_1": moved_by(7, 7, confidence=0.0), "FOV_2": moved_by(9, 9, 0.0)}
MOVEMENT = WellMovement(
    translation_um=(0.0, 2 * PIXEL_UM, 0.0), wells=3, scatter_um=0.5
)


def find(
    plate: Path,
    estimates: dict[str, Any],
    evidence: PlateEvidence | None = None,
    **settings: Any,
) -> tuple[WellRows, list[dict[RowKey, Verdict]]]:
    store_estimates(image_url(plate, 1), estimates)
    changed = SETTINGS.model_copy(update=settings)
    well, verdicts = find_verdicts(read_well(plate), evidence, changed)
    return well, [dict(own) for own in verdicts]


def test_reference_stays_where_it_is(plate: Path) -> None:
    _, (reference, _) = find(plate, BOTH)
    assert list(reference) == [FIRST, SECOND]
    for verdict in reference.values():
        assert verdict.status == "reference"
        assert verdict.candidate.transform.displacement_at((0, 9, 9)) == (0, 0, 0)


def test_estimates_that_are_believed_are_used(plate: Path) -> None:
    well, (_, own) = find(plate, BOTH)
    assert well.others[0].keys == list(own) == [FIRST, SECOND]
    for verdict in own.values():
        assert verdict.status == "measured"
        assert verdict.candidate.transform == BOTH["FOV_1"].transform
        # What is stored says how sure it is in view of all ROIs.
        assert verdict.candidate.confidence == verdict.confidence
        # And what is left of the doubt: two agree, on a chip of 10 um.
        assert verdict.candidate.error_um == pytest.approx(0.02, abs=0.02)


def test_rejected_roi_gets_the_movement_of_the_others(
    plate: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        _, (_, own) = find(plate, UNSURE)
    verdict = own[SECOND]
    assert verdict.status == "imputed"
    assert verdict.candidate.transform.displacement_at((0, 0, 0)) == pytest.approx(
        (0.0, 2 * PIXEL_UM, 0.0)
    )
    # Of the one field that it is taken from, nobody knows how the stage scatters.
    assert verdict.candidate.error_um is not None
    assert verdict.candidate.error_um > PIXEL_UM
    assert f"{SECOND}, acquisition 1 ({plate}/A/01/1): imputed, " in caplog.text
    assert (
        "1 ROIs measured, 0 chosen, 1 imputed, 0 unresolved, 0 excluded" in caplog.text
    )


def test_rejected_roi_stops_the_task_if_that_is_asked_for(plate: Path) -> None:
    with pytest.raises(InvalidDataError, match=r"1 ROIs.*ROI 'FOV_2', acquisition"):
        find(plate, UNSURE, rejected="error")
    find(plate, BOTH, rejected="error")


def test_rejected_roi_is_left_out_of_all_acquisitions(
    plate: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        well, verdicts = find(plate, UNSURE, rejected="exclude")
    assert [rows.keys for rows in well.acquisitions] == [[FIRST], [FIRST]]
    assert [list(own) for own in verdicts] == [[FIRST], [FIRST]]
    assert "ROI 'FOV_2', acquisition 1" in caplog.text
    assert "0 imputed, 0 unresolved, 1 excluded" in caplog.text


def test_well_of_which_nothing_is_left_is_refused(plate: Path) -> None:
    with pytest.raises(InvalidDataError, match="found no ROI that is believed"):
        find(plate, LOST, rejected="exclude")


def test_well_that_is_lost_gets_the_movement_of_the_plate(plate: Path) -> None:
    evidence = PlateEvidence(input_roi_table=TABLE, movements={1: MOVEMENT})
    _, (_, own) = find(plate, LOST, evidence)
    for verdict in own.values():
        assert verdict.status == "imputed"
        found = verdict.candidate.transform.displacement_at((0, 0, 0))
        assert found == pytest.approx(MOVEMENT.translation_um)


def test_well_that_is_lost_without_a_plate_is_unresolved_and_stops_nothing(
    plate: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        _, (_, own) = find(plate, LOST)
    for verdict in own.values():
        assert verdict.status == "unresolved"
        assert verdict.candidate.transform.displacement_at((0, 0, 0)) == (0, 0, 0)
    assert f"{SECOND}, acquisition 1 ({plate}/A/01/1): unresolved, " in caplog.text
    assert "0 imputed, 2 unresolved, 0 excluded" in caplog.text


@pytest.mark.parametrize(
    ("table", "acquisition"), [("another", 1), (TABLE, 2)], ids=["table", "acquisition"]
)
def test_plate_is_asked_only_for_the_same_table_and_acquisition(
    plate: Path, table: str, acquisition: int
) -> None:
    evidence = PlateEvidence(input_roi_table=table, movements={acquisition: MOVEMENT})
    _, (_, own) = find(plate, LOST, evidence)
    assert {verdict.status for verdict in own.values()} == {"unresolved"}


def test_well_that_was_not_measured_is_a_missing_step(plate: Path) -> None:
    with pytest.raises(MissingStepError, match="ROI 'FOV_1', acquisition 1"):
        find_verdicts(read_well(plate), None, SETTINGS)
