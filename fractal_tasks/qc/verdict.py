"""Judging the estimates of one acquisition of a well together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from fractal_tasks.qc.candidates import Vector, arrange_candidates
from fractal_tasks.qc.plate import PlatePlacement
from fractal_tasks.qc.stage import FloatArray, StageFit, fit_stage
from fractal_tasks.qc.well import MAX_LINEAR, WellAgreement, find_agreement

Status: TypeAlias = Literal["reference", "measured", "chosen", "rejected", "imputed"]

MIN_CONFIDENCE = 0.9
"""An estimate is believed from this probability on, if not told otherwise."""

MIN_AGREEING = 4
"""So many ROIs have to agree before one is judged by its distance from them."""

# For an estimate of a method that gives no confidence.
_UNKNOWN_CONFIDENCE = 0.9


@dataclass(frozen=True)
class Measurement:
    """What was measured for one ROI."""

    translation_um: Vector
    confidence: float | None
    """None if the estimate was made by a method that gives no confidence."""

    place_um: tuple[float, float]
    """Centre of the ROI, y and x."""

    size_um: tuple[float, float]
    """Size of the ROI, y and x."""

    precision: float = 1.0
    """Probability that it is right within a pixel, unless it is altogether wrong."""

    alternatives: tuple[tuple[Vector, float, float], ...] = ()
    """The next best translations with their confidence and precision."""

    @property
    def candidates(self) -> tuple[tuple[Vector, float, float], ...]:
        """All translations with confidence and precision, the measured one first."""
        own = _UNKNOWN_CONFIDENCE if self.confidence is None else self.confidence
        return ((self.translation_um, own, self.precision), *self.alternatives)

    @property
    def evidence(self) -> str:
        """The confidence in words."""
        if self.confidence is None:
            return "no confidence was recorded"
        return f"confidence {self.confidence:.2f}"


@dataclass(frozen=True)
class Verdict:
    """What is used for one ROI, and why."""

    translation_um: Vector
    status: Status
    reason: str
    confidence: float | None
    """How probable the best candidate is; None if that is not known."""


@dataclass(frozen=True)
class Judgement:
    """What was found about one acquisition of a well."""

    verdicts: dict[str, Verdict]
    """By ROI name, in the order of the measurements."""

    places_um: dict[str, tuple[float, float]]
    """Centres of the ROIs by name, y and x."""

    stage: StageFit | None
    """The movement that the believed ROIs have in common; None without any."""

    @property
    def believed(self) -> int:
        """The number of ROIs that are not rejected."""
        return len(self.verdicts) - len(self.rejected)

    @property
    def rejected(self) -> dict[str, Verdict]:
        """The verdicts on the ROIs of which no candidate is believed."""
        return {
            name: verdict
            for name, verdict in self.verdicts.items()
            if verdict.status == "rejected"
        }


def judge_measurements(
    measurements: Mapping[str, Measurement],
    *,
    min_confidence: float,
    outlier_tolerance_um: float,
) -> Judgement:
    """Say which estimates of a well are believed.

    Where several ROIs agree, a candidate is as probable as they make it
    (`fractal_tasks.qc.well`); else only its own confidence counts. The order of the
    ROIs makes no difference.

    Args:
        measurements: By ROI name, all of one acquisition of one well; at least one.
        min_confidence: A candidate is believed from this probability on.
        outlier_tolerance_um: A distance from what the well agrees on that never speaks
            against a candidate.
    """
    order = sorted(measurements, key=lambda name: _sort_key(measurements[name]))
    ordered = [measurements[name] for name in order]
    candidates = arrange_candidates(
        [measurement.place_um for measurement in ordered],
        [measurement.candidates for measurement in ordered],
        [measurement.size_um for measurement in ordered],
    )
    agreement = find_agreement(candidates, outlier_tolerance_um)
    if agreement is not None and not _is_enough(agreement, ordered, min_confidence):
        agreement = None
    judged = [
        _judge_alone(measurement, min_confidence)
        if agreement is None
        else _judge_together(measurement, agreement, index, min_confidence)
        for index, measurement in enumerate(ordered)
    ]
    by_name = dict(zip(order, judged, strict=True))
    return Judgement(
        {name: by_name[name] for name in measurements},
        {name: item.place_um for name, item in measurements.items()},
        _fit_believed(candidates.places_um, judged, agreement),
    )


def impute_rejected(
    judgement: Judgement, plate: PlatePlacement | None
) -> dict[str, Verdict] | None:
    """Replace rejected translations by what the well says, failing that its plate.

    Returns:
        All verdicts, none of them rejected; None if neither says anything.
    """
    rejected = judgement.rejected
    if not rejected:
        return judgement.verdicts
    if judgement.stage is not None:
        places_um = [judgement.places_um[name] for name in rejected]
        predicted_um = judgement.stage.model.predict(places_um).tolist()
        source = f"{judgement.believed} ROIs of the well"
    elif plate is not None:
        predicted_um = [plate.translation_um] * len(rejected)
        source = f"{plate.wells} other wells of the plate"
    else:
        return None
    imputed = {
        name: replace(
            verdict,
            translation_um=(z_um, y_um, x_um),
            status="imputed",
            reason=f"{verdict.reason}; imputed from {source}",
        )
        for (name, verdict), (z_um, y_um, x_um) in zip(
            rejected.items(), predicted_um, strict=True
        )
    }
    return judgement.verdicts | imputed


def _sort_key(measurement: Measurement) -> tuple[object, ...]:
    return measurement.place_um, measurement.size_um, measurement.candidates


def _is_enough(
    agreement: WellAgreement, measurements: Sequence[Measurement], min_confidence: float
) -> bool:
    """Whether so many ROIs agree that the others are judged by them.

    Where most of the confident ROIs do not, something is wrong with the model.
    """
    agreeing = agreement.count(min_confidence)
    confident = sum(_is_confident(item, min_confidence) for item in measurements)
    return agreeing >= MIN_AGREEING and 2 * agreeing > confident


def _is_confident(measurement: Measurement, min_confidence: float) -> bool:
    return measurement.confidence is None or measurement.confidence >= min_confidence


def _judge_alone(measurement: Measurement, min_confidence: float) -> Verdict:
    status: Status = "measured"
    reason = measurement.evidence
    if not _is_confident(measurement, min_confidence):
        status = "rejected"
        reason += f" is below {min_confidence:.2f}"
    return Verdict(measurement.translation_um, status, reason, measurement.confidence)


def _judge_together(
    measurement: Measurement,
    agreement: WellAgreement,
    index: int,
    min_confidence: float,
) -> Verdict:
    posteriors = agreement.posteriors[index]
    best = 0 if posteriors[0] >= min_confidence else int(np.argmax(posteriors))
    translation_um, confidence, _ = measurement.candidates[best]
    distance_um = agreement.distances_um[index, 0]
    others = f"{agreement.count(min_confidence)} ROIs of the well agree on"
    in_all = f"{posteriors[best]:.2f} in view of what {others}"
    status: Status = "rejected"
    if posteriors[best] >= min_confidence:
        status = "measured" if best == 0 else "chosen"
    if status == "chosen":
        reason = (
            f"candidate {best + 1}, confidence {confidence:.2f}, {in_all}; the first "
            f"one is {distance_um:.1f} um away from that"
        )
    elif status == "measured":
        reason = f"{measurement.evidence}, {in_all}"
    elif distance_um > agreement.tolerance_um and _is_confident(
        measurement, min_confidence
    ):
        reason = (
            f"{measurement.evidence}, but {distance_um:.1f} um away from what "
            f"{others}; up to {agreement.tolerance_um:.1f} um are tolerated"
        )
    else:
        reason = f"{measurement.evidence}, {in_all}, is below {min_confidence:.2f}"
    return Verdict(translation_um, status, reason, float(posteriors[best]))


def _fit_believed(
    places_um: FloatArray, verdicts: Sequence[Verdict], agreement: WellAgreement | None
) -> StageFit | None:
    believed = np.array([verdict.status != "rejected" for verdict in verdicts])
    if not believed.any():
        return None
    translations_um = np.array([verdict.translation_um for verdict in verdicts])
    return fit_stage(
        places_um[believed],
        translations_um[believed],
        np.ones(int(believed.sum())),
        start=None if agreement is None else agreement.model,
        max_linear=MAX_LINEAR,
    )
