"""The words of a decision; no other test asks for them."""

import re

import pytest

from fractal_tasks.model import RowKey, WellMovement
from fractal_tasks.qc.vetoes import Objection
from tests.qc.wells import (
    SHIFT_UM,
    fov,
    grid,
    judge,
    measured,
    measured_well,
    moved_plate,
    with_best,
)

ALONE = RowKey("FOV_1")


@pytest.mark.parametrize(
    ("confidence", "words"),
    [
        (0.95, "confidence 0.95"),
        (None, "no confidence was recorded, 0.90 in view of everything"),
        (
            0.62,
            # The root of 0.38 / 2 of 10 px; the peak itself may be 0.5 px off.
            "confidence 0.62 is below 0.90; moved by it all the same, since nothing "
            "better is known, "
            "expected error 1.42 um",
        ),
        (
            0.8996,
            # As above, of 0.1004.
            "confidence 0.8996 is below 0.9000; moved by it all the same, since "
            "nothing better is known, "
            "expected error 0.74 um",
        ),
        (
            0.0,
            "confidence 0.00 is below 0.90; left where it is, since nothing is known, "
            "expected error 2.30 um",
        ),
    ],
)
def test_roi_alone_is_worded(confidence: float | None, words: str) -> None:
    well = {ALONE: measured(SHIFT_UM, confidence=confidence)}
    assert judge(well, min_confidence=0.9).verdicts[ALONE].reason == words


def test_verdicts_of_a_well_are_worded() -> None:
    places_um = grid(3, 3)
    well = measured_well(places_um, moved_plate(places_um))
    well[fov(4)] = measured((0, 42, -30), places_um[3], confidence=0.98)
    well[fov(5)] = measured(
        (0, 100, 100), places_um[4], 0.6, [((0, -80, 5), 0.2), (SHIFT_UM, 0.1)]
    )
    well[fov(6)] = with_best(well[fov(6)], confidence=None)
    reasons = {
        key: one.reason for key, one in judge(well, min_confidence=0.9).verdicts.items()
    }
    # Distances: 42 - 12, and hypot(100 - 12, 100 + 30).
    assert re.fullmatch(
        r"confidence 0\.98, 0\.13 in view of 8 believed ROIs of the well, is below "
        r"0\.90; the first one is 30\.0 um away from the others; imputed from 8 ROIs "
        r"of the well, expected error 0\.\d\d um",
        reasons[fov(4)],
    )
    assert reasons[fov(5)] == (
        "candidate 3, confidence 0.10, 1.00 in view of 7 believed ROIs of the well; "
        "the first one is 157.0 um away from the others"
    )
    assert reasons[fov(6)] == (
        "no confidence was recorded, 1.00 in view of 7 believed ROIs of the well"
    )


def test_verdict_from_the_plate_is_worded() -> None:
    plate = WellMovement(translation_um=(0.0, 7.0, 8.0), wells=11, scatter_um=1.0)
    well = {ALONE: measured((0, 300, 0), confidence=0.01)}
    reason = judge(well, min_confidence=0.9, movement=plate).verdicts[ALONE].reason
    assert "imputed from 11 other wells of the plate, expected error 1." in reason


def test_objection_is_told_with_the_candidate() -> None:
    well = {ALONE: measured(SHIFT_UM)}
    folding = judge(well, vetoes=(lambda *_: Objection(0.0, "folds the ROI"),))
    assert folding.verdicts[ALONE].reason == (
        "confidence 0.95, 0.00 in view of everything, is below 0.50; the transform of "
        "candidate 1 folds the ROI; left where it is, since nothing is known, expected "
        "error 2.30 um"
    )
