"""Which candidate of a ROI is used: numbers in, numbers out."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from fractal_tasks.model import Status
from fractal_tasks.qc.vetoes import Objection
from fractal_tasks.qc.well import WellAgreement

MIN_AGREEING = 4
"""So many ROIs have to agree before one is judged by its distance from them."""

Confidences: TypeAlias = tuple[float | None, ...]
"""Of each candidate of a ROI, as measured; None if it is not known."""

Objections: TypeAlias = tuple[Objection | None, ...]
"""The strongest one to each candidate of a ROI."""


@dataclass(frozen=True)
class Others:
    """What the ROIs of a well, which agree, say about one of them."""

    posteriors: tuple[float, ...]
    """Probability of each candidate in view of all ROIs."""

    distance_um: float
    """From the first candidate to what the ROIs agree on."""

    tolerance_um: float
    """Up to here, a distance says nothing against a candidate."""

    agreeing: int
    """The number of ROIs that agree."""


@dataclass(frozen=True)
class Decision:
    """What is used for a ROI, and the numbers that led to it."""

    chosen: int
    """Index of the candidate that is used; of a rejected ROI the most probable one."""

    status: Status
    """``measured``, ``chosen`` or ``rejected``."""

    confidence: float | None
    """How probable the chosen candidate is; None if that is not known."""

    confidences: Confidences
    min_confidence: float

    others: Others | None
    """None if the ROI was judged alone."""

    favourite: int
    """The candidate that would be taken if nothing were objected."""

    objection: Objection | None
    """What made the favourite less probable; None if nothing did."""

    @property
    def is_outlier(self) -> bool:
        """Whether a confident ROI is rejected since it is far from the others."""
        return (
            self.status == "rejected"
            and self.others is not None
            and self.others.distance_um > self.others.tolerance_um
            and is_believed(self.confidences[0], self.min_confidence)
        )


def is_believed(
    confidence: float | None,
    min_confidence: float,
    objection: Objection | None = None,
) -> bool:
    """Whether a candidate is confident enough by itself.

    One without a confidence is, for want of any other rule, if nothing is objected.
    """
    limited = _limit(confidence, objection)
    return limited is None or limited >= min_confidence


def ask_others(
    agreement: WellAgreement | None,
    confidences: Sequence[Confidences],
    objections: Sequence[Objections],
    min_confidence: float,
) -> list[Others] | None:
    """Say what the well knows about each of its ROIs.

    Args:
        agreement: What the model found.
        confidences: Of all ROIs, in the order of the model.
        objections: In the same order.
        min_confidence: A candidate is believed from this probability on.

    Returns:
        In the same order; None if too few ROIs agree to judge others by them. Where
        most of the confident ROIs do not, something is wrong with the model.
    """
    if agreement is None:
        return None
    limits = np.full(agreement.posteriors.shape, math.inf)
    for index, of_roi in enumerate(objections):
        for rank, objection in enumerate(of_roi):
            if objection is not None:
                limits[index, rank] = objection.limit
    limited = replace(agreement, posteriors=np.minimum(agreement.posteriors, limits))
    agreeing = limited.count(min_confidence)
    confident = sum(
        is_believed(own[0], min_confidence, of_roi[0])
        for own, of_roi in zip(confidences, objections, strict=True)
    )
    if agreeing < MIN_AGREEING or 2 * agreeing <= confident:
        return None
    return [
        # Without the padding of the arrays.
        Others(
            tuple(posteriors[: len(own)]), distance_um, limited.tolerance_um, agreeing
        )
        for own, posteriors, distance_um in zip(
            confidences,
            agreement.posteriors.tolist(),
            agreement.distances_um[:, 0].tolist(),
            strict=True,
        )
    ]


def decide(
    confidences: Confidences,
    objections: Objections,
    others: Others | None,
    min_confidence: float,
) -> Decision:
    """Decide about one ROI.

    With others that agree, the first candidate is taken if it is probable enough, else
    the most probable one. Alone, only the first one can be taken: the others are less
    probable still, and an objection to the first one says nothing for them.

    Args:
        confidences: Of its candidates, best first, at least one.
        objections: To each of them.
        others: What the well says; None if it does not.
        min_confidence: A candidate is believed from this probability on. 0 trusts all,
            whatever is objected.

    Example:
        >>> decide((0.62,), (None,), None, min_confidence=0.9).status
        'rejected'
        >>> well = Others((0.97,), distance_um=0.4, tolerance_um=5.0, agreeing=12)
        >>> decide((0.62,), (None,), well, min_confidence=0.9).status
        'measured'
    """
    favourite = chosen = 0
    before: float | None = confidences[0]
    after = confidence = _limit(before, objections[0])
    if others is not None:
        limited = [
            posterior if objection is None else min(posterior, objection.limit)
            for posterior, objection in zip(others.posteriors, objections, strict=True)
        ]
        favourite = _choose(others.posteriors, min_confidence)
        before, after = others.posteriors[favourite], limited[favourite]
        chosen = _choose(limited, min_confidence)
        confidence = limited[chosen]
    status: Status = "rejected"
    if is_believed(confidence, min_confidence):
        status = "measured" if chosen == 0 else "chosen"
    return Decision(
        chosen=chosen,
        status=status,
        confidence=confidence,
        confidences=confidences,
        min_confidence=min_confidence,
        others=others,
        favourite=favourite,
        objection=objections[favourite] if after != before else None,
    )


def _limit(confidence: float | None, objection: Objection | None) -> float | None:
    if objection is None:
        return confidence
    return objection.limit if confidence is None else min(confidence, objection.limit)


def _choose(probabilities: Sequence[float], min_confidence: float) -> int:
    """Give the index of the first candidate if it is believed, else of the best."""
    if probabilities[0] >= min_confidence:
        return 0
    return max(range(len(probabilities)), key=probabilities.__getitem__)
