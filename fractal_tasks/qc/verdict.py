"""Judging the estimates of one acquisition of a well together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

Status: TypeAlias = Literal["reference", "measured", "imputed"]
Vector: TypeAlias = tuple[float, float, float]


@dataclass(frozen=True)
class Measurement:
    """What was measured for one ROI."""

    translation_um: Vector
    confidence: float | None
    """None if the estimate was made by a method that gives no confidence."""


@dataclass(frozen=True)
class Verdict:
    """What is used for one ROI, and why."""

    translation_um: Vector
    status: Status
    reason: str


def judge_measurements(
    measurements: Mapping[str, Measurement], min_confidence: float
) -> dict[str, Verdict] | None:
    """Accept confident estimates and replace the others by what the well agrees on.

    The fields of a well share the movement of the stage, so a field whose images
    cannot tell is given the median translation of the accepted ones.

    Args:
        measurements: By ROI name, all of one acquisition of one well.
        min_confidence: Estimates below this confidence are not believed.

    Returns:
        A verdict per ROI; None if no estimate is believed.
    """
    accepted = {
        name: measurement
        for name, measurement in measurements.items()
        if measurement.confidence is None or measurement.confidence >= min_confidence
    }
    if not accepted:
        return None
    z, y, x = np.median([item.translation_um for item in accepted.values()], axis=0)
    imputed = (float(z), float(y), float(x))
    return {
        name: Verdict(measurement.translation_um, "measured", _reason(measurement))
        if name in accepted
        else Verdict(
            imputed,
            "imputed",
            f"{_reason(measurement)} is below {min_confidence:.2f}; median of "
            f"{len(accepted)} other ROIs of the well",
        )
        for name, measurement in measurements.items()
    }


def _reason(measurement: Measurement) -> str:
    if measurement.confidence is None:
        return "no confidence was recorded"
    return f"confidence {measurement.confidence:.2f}"
