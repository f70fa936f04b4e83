"""Candidates, measurements and verdicts: what they say beyond their fields."""

import dataclasses

import pytest

from fractal_tasks.model import Candidate, Measurement, Verdict
from fractal_tasks.transforms import Translation
from tests.transforms.affine import turn_about

FIRST = Candidate(Translation((0.0, 1.0, 2.0)), 0.9, 0.1, {"ratio": 5.0})
TURN = Candidate(turn_about((0.0, 5.0, 5.0), degrees=180.0), None, None)


def test_best_candidate_is_the_first_one() -> None:
    measurement = Measurement((FIRST, TURN), (0.5, 20.0, 5.0), (1.0, 9.0, 9.0), 0.325)
    assert measurement.best is FIRST


def test_displacement_is_that_of_the_centre_of_the_roi() -> None:
    measurement = Measurement((FIRST, TURN), (0.5, 20.0, 5.0), (1.0, 9.0, 9.0), 0.325)
    assert measurement.displacement_um(FIRST) == (0.0, 1.0, 2.0)
    # Half a turn about y=5 um brings y=20 um to y=-10 um.
    assert measurement.displacement_um(TURN) == pytest.approx((0.0, -30.0, 0.0))


def test_candidate_has_evidence_only_if_it_is_told() -> None:
    assert dict(Candidate(FIRST.transform, None, None).evidence) == {}


def test_what_was_measured_and_decided_cannot_be_changed() -> None:
    verdict = Verdict(FIRST, "measured", "", 0.9)
    for item, name in [(FIRST, "confidence"), (verdict, "status")]:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(item, name, None)
