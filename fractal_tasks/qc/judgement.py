"""Judging the measurements of one acquisition of a well together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fractal_tasks.model import Candidate, Measurement, RowKey, Verdict, WellMovement
from fractal_tasks.model.candidate import LEFT_PX
from fractal_tasks.qc.candidates import (
    CandidateArrays,
    RoiDisplacements,
    arrange_candidates,
    find_displacements,
)
from fractal_tasks.qc.decision import Decision, decide
from fractal_tasks.qc.groups import MAX_LINEAR
from fractal_tasks.qc.stage import StageFit, fit_stage
from fractal_tasks.qc.turns import Turn, find_turn
from fractal_tasks.qc.vetoes import VETOES, Objection, Veto, find_objections
from fractal_tasks.qc.well import WellModel, model_well
from fractal_tasks.qc.wording import Context, explain
from fractal_tasks.transforms import (
    Affine,
    FloatArray,
    Transform,
    Translation,
    Vector,
    Warp,
)


@dataclass(frozen=True)
class Judgement:
    """What was found about one acquisition of a well."""

    verdicts: dict[RowKey, Verdict]
    """In the order of the measurements."""

    stage: StageFit | None
    """The movement that the believed ROIs have in common; None without any."""

    @property
    def rejected(self) -> dict[RowKey, Verdict]:
        """The verdicts on the ROIs of which no candidate is used and believed."""
        return {
            key: verdict
            for key, verdict in self.verdicts.items()
            if not verdict.is_believed
        }

    @property
    def believed(self) -> int:
        """The number of ROIs of which a candidate is used and believed."""
        return len(self.verdicts) - len(self.rejected)


def judge_measurements(
    measurements: Mapping[RowKey, Measurement],
    *,
    min_confidence: float,
    movement: WellMovement | None = None,
    vetoes: Sequence[Veto] = VETOES,
) -> Judgement:
    """Say what is used for each ROI of a well, and how sure that is.

    The order of the ROIs makes no difference.

    Args:
        measurements: All of one acquisition of one well; at least one.
        min_confidence: A candidate is believed if it is, in view of everything, the
            right peak with at least this probability. 0 takes the best one of each ROI.
        movement: How the well moved according to the others of its plate; None if
            they do not say.
        vetoes: What may speak against a candidate besides.
    """
    objections = {
        key: find_objections(item, vetoes) for key, item in measurements.items()
    }
    seen = {
        key: find_displacements(item, _limits_of(objections[key]))
        for key, item in measurements.items()
    }
    # Sums of floats and random draws depend on the order, so it must not be the user's.
    order = sorted(seen, key=seen.__getitem__)
    rois = [seen[key] for key in order]
    candidates = arrange_candidates(rois)
    well = model_well(candidates, movement)
    counts = [len(roi.displacements) for roi in rois]
    limits = np.ones_like(candidates.probabilities)
    for row, key in zip(limits, order, strict=True):
        row[: len(objections[key])] = _limits_of(objections[key])
    decisions = decide(candidates, counts, well, movement, limits, min_confidence)
    context = _find_context(candidates, well, decisions, movement, min_confidence)
    stage = _fit_believed(rois, decisions)
    others = _find_others(measurements, order, decisions, stage)
    verdicts = {
        key: _make_verdict(
            measurements[key], decision, objections[key], context, index, others
        )
        for index, (key, decision) in enumerate(zip(order, decisions, strict=True))
    }
    verdicts |= {
        key: Verdict(item.best, "imported", "imported, and used as it is", None)
        for key, item in measurements.items()
        if item.is_imported
    }
    return Judgement({key: verdicts[key] for key in measurements}, stage)


def _limits_of(objections: Sequence[Objection | None]) -> list[float]:
    return [1.0 if one is None else one.limit for one in objections]


def _find_context(
    candidates: CandidateArrays,
    well: WellModel,
    decisions: Sequence[Decision],
    movement: WellMovement | None,
    min_confidence: float,
) -> Context:
    """Say what is known besides a single ROI."""
    distances_um: FloatArray | None = None
    groups = well.hypotheses[0].groups
    if groups:
        distances_um = np.min(
            [
                np.linalg.norm(group.residuals_um(candidates)[:, 0], axis=1)
                for group in groups
            ],
            axis=0,
        )
    believed = sum(one.status in ("measured", "chosen") for one in decisions)
    return Context(min_confidence, believed, movement, distances_um)


@dataclass(frozen=True)
class _Others:
    """What the ROIs of a well that are believed tell of one that does not show it."""

    left_px: float | None
    """What transforms leave off in them: the median of those that leave some if half
    of them do, or else 0. None if unknown."""

    error_z_um: float | None

    turn: Turn | None
    """Of the sample; None if nothing shows any."""

    matrix: FloatArray | None
    """Linear part that undoes it, shape ``(3, 3)``; None if it is not to be undone."""

    def agree(self, transform: Transform, centre_um: Vector) -> Transform:
        """Give one that shows no turn that of the others: a sample turns as one.

        One that shows a turn keeps it: others may be too small, or noisy, to show it.
        """
        if self.matrix is None or not isinstance(transform, Translation):
            return transform
        return Affine.about(centre_um, self.matrix, transform.translation_um)

    def find_left_px(
        self, measurement: Measurement, transform: Transform, own_px: float | None
    ) -> float | None:
        """Give what a transform leaves off in a ROI that shows nothing, or this."""
        by_turn_px = None
        if self.turn is not None and isinstance(transform, Translation):
            by_turn_px = self.turn.find_left_px(measurement)
        found_px = (own_px, self.left_px, by_turn_px)
        return max((one for one in found_px if one is not None), default=None)


def _make_verdict(
    measurement: Measurement,
    decision: Decision,
    objections: Sequence[Objection | None],
    context: Context,
    index: int,
    others: _Others,
) -> Verdict:
    used = measurement.candidates[decision.rank]
    transform, evidence = used.transform, used.evidence
    left_px, error_z_um = used.left_px, used.error_z_um
    if decision.source != "candidate":
        transform = Translation(decision.displacement_um)
        # It stands in for an estimate: the evidence is what speaks for and against
        # that one.
        evidence = measurement.best.evidence
        left_px, error_z_um = None, others.error_z_um
    agreed = others.agree(transform, measurement.centre_um)
    if agreed is not transform:
        transform, left_px = agreed, None  # what the shift alone left off
    if not left_px and not isinstance(transform, Warp):
        # It shows no turn, which a small or noisy one need not: the others may.
        left_px = others.find_left_px(measurement, transform, left_px)
    evidence = {name: evidence[name] for name in evidence if name != LEFT_PX}
    evidence |= {} if left_px is None else {LEFT_PX: left_px}
    return Verdict(
        candidate=Candidate(
            transform, decision.confidence, decision.error_um, evidence, error_z_um
        ),
        status=decision.status,
        reason=explain(measurement, decision, objections, context, index),
        confidence=decision.confidence,
    )


def _find_others(
    measurements: Mapping[RowKey, Measurement],
    order: Sequence[RowKey],
    decisions: Sequence[Decision],
    stage: StageFit | None,
) -> _Others:
    """Say what the ROIs that are believed tell of the others."""
    believed = [
        (measurements[key], measurements[key].candidates[decision.rank])
        for key, decision in zip(order, decisions, strict=True)
        if decision.status in ("measured", "chosen")
    ]
    used = [candidate for _, candidate in believed]
    shown_px = (_shown_px(*one) for one in believed)
    left_px = [one for one in shown_px if one is not None]
    errors_um = [one.error_z_um for one in used if one.error_z_um is not None]
    error_z_um = None
    if errors_um and stage is not None:
        # How far fields are from each other, and how exact that is.
        error_z_um = float(np.hypot(stage.scatter_um[0], np.median(errors_um)))
    # A sample is stretched as one, so a chance stretch of a few is none.
    some_px = [one for one in left_px if one > 0]
    is_left = 2 * len(some_px) >= max(len(left_px), 1)
    median_px = float(np.median(some_px)) if is_left else 0.0
    turn = find_turn(used, None if stage is None else stage.shown)
    turned = [one.transform for one in used if isinstance(one.transform, Affine)]
    matrix = None
    # Only methods that undo turns give any: where no ROI has one, it was not asked for.
    if turn is not None and turn.value and turned:
        matrix = turn.to_matrix(keep_size=all(one.is_rigid for one in turned))
    return _Others(median_px if left_px else None, error_z_um, turn, matrix)


def _shown_px(measurement: Measurement, used: Candidate) -> float | None:
    """Give how far places of a ROI are off by a translation, as far as it is known."""
    if not isinstance(used.transform, Warp):
        return used.left_px
    return float(used.transform.field.lengths_um.max()) / measurement.pixel_um


def _fit_believed(
    rois: Sequence[RoiDisplacements], decisions: Sequence[Decision]
) -> StageFit | None:
    """Fit the stage to what is believed, each ROI alike; None if nothing is."""
    believed = [
        (roi.centre_um, roi.displacements[decision.rank].vector_um)
        for roi, decision in zip(rois, decisions, strict=True)
        if decision.status in ("measured", "chosen")
    ]
    if not believed:
        return None
    centres_um, displacements_um = (
        np.array(values) for values in zip(*believed, strict=True)
    )
    return fit_stage(
        centres_um, displacements_um, np.ones(len(believed)), max_linear=MAX_LINEAR
    )
