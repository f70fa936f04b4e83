"""Decisions about one ROI, from numbers alone."""

from dataclasses import replace

import numpy as np
import pytest

from fractal_tasks.qc.decision import (
    MIN_AGREEING,
    Decision,
    Others,
    ask_others,
    decide,
    is_believed,
)
from fractal_tasks.qc.stage import StageModel
from fractal_tasks.qc.vetoes import Objection
from fractal_tasks.qc.well import WellAgreement

NEAR = Others(posteriors=(0.97,), distance_um=0.4, tolerance_um=5.0, agreeing=12)
FAR = replace(NEAR, posteriors=(0.0,), distance_um=30.0)
VETO = Objection(0.0, "is disliked")


def decided(
    confidences: tuple[float | None, ...] = (0.95,),
    others: Others | None = None,
    objections: tuple[Objection | None, ...] | None = None,
    min_confidence: float = 0.9,
) -> Decision:
    return decide(
        confidences,
        (None,) * len(confidences) if objections is None else objections,
        others,
        min_confidence,
    )


@pytest.mark.parametrize(
    ("confidence", "status"),
    [(0.89, "rejected"), (0.9, "measured"), (None, "measured")],
)
def test_alone_the_own_confidence_decides(
    confidence: float | None, status: str
) -> None:
    decision = decided((confidence, 0.05))
    assert (decision.status, decision.chosen) == (status, 0)
    assert decision.confidence == confidence


@pytest.mark.parametrize(
    ("posteriors", "chosen", "status"),
    [
        ((0.9, 0.05, 0.02), 0, "measured"),
        ((0.05, 0.02, 0.92), 2, "chosen"),
        ((0.3, 0.6, 0.05), 1, "rejected"),
        ((0.0, 0.0, 0.0), 0, "rejected"),
    ],
)
def test_together_the_most_probable_candidate_is_taken(
    posteriors: tuple[float, ...], chosen: int, status: str
) -> None:
    others = replace(NEAR, posteriors=posteriors)
    decision = decided((0.5, 0.3, 0.1), others)
    assert (decision.chosen, decision.status) == (chosen, status)
    assert decision.confidence == posteriors[chosen]


def test_first_candidate_that_is_believed_wins_over_a_more_probable_one() -> None:
    others = replace(NEAR, posteriors=(0.1, 0.8))
    assert decided((0.5, 0.4), others, min_confidence=0.1).chosen == 0


@pytest.mark.parametrize(
    ("others", "confidence", "is_outlier"),
    [(FAR, 0.95, True), (FAR, None, True), (FAR, 0.5, False), (NEAR, 0.95, False)],
)
def test_outlier_is_a_confident_roi_that_is_far_away(
    others: Others, confidence: float | None, is_outlier: bool
) -> None:
    assert decided((confidence,), others).is_outlier == is_outlier


@pytest.mark.parametrize("others", [None, NEAR], ids=["alone", "together"])
@pytest.mark.parametrize("confidence", [0.95, None])
def test_objection_rejects_and_is_kept(
    others: Others | None, confidence: float | None
) -> None:
    decision = decided((confidence,), others, (VETO,))
    assert decision.status == "rejected"
    assert decision.confidence == 0
    assert decision.objection == VETO


def test_objection_that_changes_no_number_is_not_told() -> None:
    weak = Objection(0.99, "is disliked")
    assert decided((0.95,), None, (weak,)).objection is None
    assert decided((0.95,), FAR, (VETO,)).objection is None
    # It concerns a candidate that nobody wants.
    others = replace(NEAR, posteriors=(0.97, 0.01))
    assert decided((0.95, 0.02), others, (None, VETO)).objection is None


def test_objection_to_the_favourite_leads_to_the_next_one() -> None:
    others = replace(NEAR, posteriors=(0.01, 0.5, 0.45))
    decision = decided((0.4, 0.3, 0.2), others, (None, VETO, None), 0.4)
    assert (decision.favourite, decision.chosen) == (1, 2)
    assert decision.status == "chosen"
    assert decision.objection == VETO


def test_zero_min_confidence_trusts_whatever_is_objected() -> None:
    assert decided((0.95,), NEAR, (VETO,), min_confidence=0.0).status == "measured"


def test_no_objection_leaves_a_confidence_as_it_is() -> None:
    assert is_believed(None, 0.9)
    assert not is_believed(None, 0.9, Objection(0.5, "is disliked"))
    assert is_believed(0.95, 0.9, Objection(0.92, "is disliked"))


def agreement(posteriors: list[list[float]]) -> WellAgreement:
    return WellAgreement(
        model=StageModel((0, 0), (0, 0, 0)),
        tolerance_um=5.0,
        distances_um=np.full(np.shape(posteriors), 1.0),
        posteriors=np.array(posteriors),
    )


@pytest.mark.parametrize("agreeing", [MIN_AGREEING - 1, MIN_AGREEING])
def test_others_are_asked_only_if_enough_agree(agreeing: int) -> None:
    others = ask_others(
        agreement([[0.95]] * agreeing), [(0.95,)] * agreeing, [(None,)] * agreeing, 0.9
    )
    assert (others is not None) == (agreeing == MIN_AGREEING)
    assert others is None or {one.agreeing for one in others} == {agreeing}


@pytest.mark.parametrize("confident", [7, 8])
def test_others_are_not_asked_if_half_of_the_confident_do_not_agree(
    confident: int,
) -> None:
    posteriors = [[0.95]] * 4 + [[0.0]] * 4
    confidences = [(0.95 if index < confident else 0.5,) for index in range(8)]
    others = ask_others(agreement(posteriors), confidences, [(None,)] * 8, 0.9)
    assert (others is not None) == (confident == 7)


def test_others_tell_about_the_candidates_there_are() -> None:
    """Arrays are padded for the ROI with the most candidates."""
    found = agreement([[0.95, 0.0]] * 4 + [[0.02, 0.93]])
    others = ask_others(found, [(0.95,)] * 4 + [(0.5, 0.4)], [(None,)] * 5, 0.9)
    assert others is not None
    assert [len(one.posteriors) for one in others] == [1, 1, 1, 1, 2]
    assert others[4] == Others((0.02, 0.93), 1.0, 5.0, agreeing=5)


def test_without_any_model_nobody_is_asked() -> None:
    assert ask_others(None, [(0.95,)], [(None,)], 0.9) is None
