"""Decisions in words, for the table and the log."""

from fractal_tasks.qc.decision import Decision, Others


def explain(decision: Decision) -> str:
    """Say in one sentence why a ROI gets what it gets.

    Example:
        >>> from fractal_tasks.qc.decision import decide
        >>> explain(decide((0.62,), (None,), None, min_confidence=0.9))
        'confidence 0.62 is below 0.90'
    """
    first = _tell_confidence(decision.confidences[0])
    if decision.objection is None:
        objection = None
    else:
        candidate = f"the transform of candidate {decision.favourite + 1}"
        objection = f"{candidate} {decision.objection.reason}"
    if objection is not None and decision.status == "rejected":
        return f"{first}, but {objection}"
    if decision.others is None:
        text = _explain_alone(decision, first)
    else:
        text = _explain_together(decision, decision.others, first)
    return text if objection is None else f"{text}; {objection}"


def _explain_alone(decision: Decision, first: str) -> str:
    if decision.status == "rejected":
        return f"{first} is below {decision.min_confidence:.2f}"
    return first


def _explain_together(decision: Decision, others: Others, first: str) -> str:
    agreed = f"what {others.agreeing} ROIs of the well agree on"
    in_all = f"{decision.confidence:.2f} in view of {agreed}"
    if decision.status == "chosen":
        chosen = _tell_confidence(decision.confidences[decision.chosen])
        return (
            f"candidate {decision.chosen + 1}, {chosen}, {in_all}; the first one is "
            f"{others.distance_um:.1f} um away from that"
        )
    if decision.status == "measured":
        return f"{first}, {in_all}"
    if decision.is_outlier:
        return (
            f"{first}, but {others.distance_um:.1f} um away from {agreed}; up to "
            f"{others.tolerance_um:.1f} um are tolerated"
        )
    return f"{first}, {in_all}, is below {decision.min_confidence:.2f}"


def _tell_confidence(confidence: float | None) -> str:
    if confidence is None:
        return "no confidence was recorded"
    return f"confidence {confidence:.2f}"


def add_source(reason: str, source: str) -> str:
    """Add to the reason of a rejection where the movement is taken from instead.

    Example:
        >>> add_source("confidence 0.62 is below 0.90", name_rois(11))
        'confidence 0.62 is below 0.90; imputed from 11 ROIs of the well'
    """
    return f"{reason}; imputed from {source}"


def name_rois(count: int) -> str:
    """Name the ROIs that a movement is taken from."""
    return f"{count} ROIs of the well"


def name_wells(count: int) -> str:
    """Name the wells that a movement is taken from."""
    return f"{count} other wells of the plate"
