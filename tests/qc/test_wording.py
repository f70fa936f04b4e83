"""The words of a decision; no other test asks for them."""

from dataclasses import replace

import pytest

from fractal_tasks.model import RowKey, WellMovement
from fractal_tasks.qc.decision import Others, decide
from fractal_tasks.qc.judgement import impute_rejected
from fractal_tasks.qc.vetoes import Objection
from fractal_tasks.qc.wording import explain
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

FOLDS = Objection(0.0, "folds the ROI")
OTHERS = Others((0.971, 0.01, 0.0), 0.4, 5.0, agreeing=12)


@pytest.mark.parametrize(
    ("confidences", "others", "words"),
    [
        ((0.95,), None, "confidence 0.95"),
        ((None,), None, "no confidence was recorded"),
        ((0.62,), None, "confidence 0.62 is below 0.90"),
        (
            (0.62, 0.2, 0.1),
            OTHERS,
            "confidence 0.62, 0.97 in view of what 12 ROIs of the well agree on",
        ),
        (
            (None, 0.2, 0.1),
            OTHERS,
            "no confidence was recorded, 0.97 in view of what 12 ROIs of the well "
            "agree on",
        ),
        (
            (0.62, 0.2, 0.1),
            replace(OTHERS, posteriors=(0.01, 0.02, 0.95), distance_um=157.0),
            "candidate 3, confidence 0.10, 0.95 in view of what 12 ROIs of the well "
            "agree on; the first one is 157.0 um away from that",
        ),
        (
            (0.95, 0.02, 0.01),
            replace(OTHERS, posteriors=(0.0, 0.02, 0.0), distance_um=30.04),
            "confidence 0.95, but 30.0 um away from what 12 ROIs of the well agree on; "
            "up to 5.0 um are tolerated",
        ),
        (
            (0.3, 0.2, 0.1),
            replace(OTHERS, posteriors=(0.5, 0.02, 0.0), distance_um=30.0),
            "confidence 0.30, 0.50 in view of what 12 ROIs of the well agree on, is "
            "below 0.90",
        ),
    ],
    ids=[
        "measured alone",
        "without a confidence",
        "rejected alone",
        "measured",
        "measured without a confidence",
        "chosen",
        "outlier",
        "improbable",
    ],
)
def test_decision_is_explained_with_its_numbers(
    confidences: tuple[float | None, ...], others: Others | None, words: str
) -> None:
    decision = decide(confidences, (None,) * len(confidences), others, 0.9)
    assert explain(decision) == words


@pytest.mark.parametrize(
    ("others", "words"),
    [
        (None, "confidence 0.95, but the transform of candidate 1 folds the ROI"),
        (
            Others((0.99, 0.005), 0.1, 5.0, agreeing=12),
            "confidence 0.95, but the transform of candidate 1 folds the ROI",
        ),
        (
            Others((0.93, 0.92), 0.1, 5.0, agreeing=12),
            "candidate 2, confidence 0.04, 0.92 in view of what 12 ROIs of the well "
            "agree on; the first one is 0.1 um away from that; the transform of "
            "candidate 1 folds the ROI",
        ),
    ],
    ids=["alone", "together", "chosen instead"],
)
def test_objection_is_told(others: Others | None, words: str) -> None:
    assert explain(decide((0.95, 0.04), (FOLDS, None), others, 0.9)) == words


def test_verdicts_of_a_well_are_worded() -> None:
    places_um = grid(3, 3)
    well = measured_well(places_um, moved_plate(places_um))
    well[fov(4)] = measured((0, 42, -30), places_um[3], confidence=0.99)
    well[fov(5)] = measured(
        (0, 100, 100), places_um[4], 0.6, [((0, -80, 5), 0.2), (SHIFT_UM, 0.1)]
    )
    well[fov(6)] = with_best(well[fov(6)], confidence=None)
    complete = impute_rejected(judge(well), None)
    assert complete is not None
    reasons = {key: verdict.reason for key, verdict in complete.items()}
    # 8 of 9 agree. Distances: 42 - 12, and hypot(100 - 12, 100 + 30).
    agreed = "what 8 ROIs of the well agree on"
    assert reasons[fov(4)] == (
        f"confidence 0.99, but 30.0 um away from {agreed}; up to 5.0 um are tolerated; "
        "imputed from 8 ROIs of the well"
    )
    assert reasons[fov(5)] == (
        f"candidate 3, confidence 0.10, 0.95 in view of {agreed}; the first one is "
        "157.0 um away from that"
    )
    assert reasons[fov(6)].startswith("no confidence was recorded, ")


def test_verdicts_from_the_plate_are_worded() -> None:
    well = {RowKey("FOV_1"): measured(SHIFT_UM, confidence=0.01)}
    plate = WellMovement(translation_um=(0.0, 7.0, 8.0), wells=11)
    complete = impute_rejected(judge(well), plate)
    assert complete is not None
    assert complete[RowKey("FOV_1")].reason == (
        "confidence 0.01 is below 0.50; imputed from 11 other wells of the plate"
    )
