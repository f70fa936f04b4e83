"""Decisions in words, for the table and the log."""

from collections.abc import Sequence
from dataclasses import dataclass

from fractal_tasks.model import Measurement, WellMovement
from fractal_tasks.qc.decision import Decision, is_enough
from fractal_tasks.qc.vetoes import Objection
from fractal_tasks.transforms import FloatArray


@dataclass(frozen=True)
class Context:
    """What was found about the whole well."""

    min_confidence: float

    believed: int
    """The number of ROIs that are believed."""

    movement: WellMovement | None
    """What the plate says."""

    distances_um: FloatArray | None
    """From the best candidate of each ROI to what the well agrees on; None if it does
    not agree."""


def explain(
    measurement: Measurement,
    decision: Decision,
    objections: Sequence[Objection | None],
    context: Context,
    index: int,
) -> str:
    """Say why a ROI gets what it gets, with the numbers.

    Args:
        measurement: That of the ROI.
        decision: On it.
        objections: To each of its candidates.
        context: What was found about the well.
        index: Of the ROI in the context.
    """
    words = [_tell_candidate(measurement, decision, context)]
    if context.distances_um is not None:
        apart_um = float(context.distances_um[index])
        if decision.status not in ("measured", "unresolved") and apart_um >= 0.05:
            words.append(f"the first one is {apart_um:.1f} um away from the others")
    words += [
        f"the transform of candidate {number} {objection.reason}"
        for number, objection in enumerate(objections, start=1)
        if objection is not None and objection.limit < 1
    ]
    if decision.status in ("imputed", "unresolved"):
        words.append(_tell_place(decision, context))
    return "; ".join(words)


def _tell_candidate(
    measurement: Measurement, decision: Decision, context: Context
) -> str:
    own = measurement.candidates[decision.rank].confidence
    posterior, limit = decision.confidence, context.min_confidence
    enough = is_enough(posterior, limit)
    digits = 2 if enough else _digits_between(posterior, limit)
    known = "no confidence was recorded"
    if own is not None:
        known = f"confidence {own:.{digits}f}"
    if decision.rank > 0:
        known = f"candidate {decision.rank + 1}, {known}"
    others = context.believed - decision.status.startswith(("measured", "chosen"))
    if own is None or round(own, digits) != round(posterior, digits):
        known += f", {posterior:.{digits}f} in view of "
        known += f"{others} believed ROIs of the well," if others else "everything,"
    if not enough:
        known += f" is below {limit:.{digits}f}"
    return known.rstrip(",")


def _digits_between(one: float, other: float) -> int:
    """Give how many decimals, at least 2, show that two probabilities differ."""
    digits = 2
    while one != other and round(one, digits) == round(other, digits):
        digits += 1
    return digits


def _tell_place(decision: Decision, context: Context) -> str:
    if decision.source == "candidate":
        place = "moved by it all the same, since nothing better is known"
    elif decision.source == "nothing":
        place = "left where it is, since nothing is known"
    elif decision.source == "plate" and context.movement is not None:
        place = f"imputed from {context.movement.wells} other wells of the plate"
    elif context.believed:
        place = f"imputed from {context.believed} ROIs of the well"
    else:
        place = "put where the well is most probable"
    return f"{place}, expected error {decision.error_um:.2f} um"
