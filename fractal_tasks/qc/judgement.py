"""Judging the measurements of one acquisition of a well together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fractal_tasks.model import Candidate, Measurement, RowKey, Verdict, WellMovement
from fractal_tasks.qc.candidates import (
    RoiDisplacements,
    arrange_candidates,
    find_displacements,
)
from fractal_tasks.qc.decision import Decision, ask_others, decide
from fractal_tasks.qc.stage import StageFit, StageModel, fit_stage
from fractal_tasks.qc.vetoes import VETOES, Veto, find_objections
from fractal_tasks.qc.well import MAX_LINEAR, find_agreement
from fractal_tasks.qc.wording import add_source, explain, name_rois, name_wells
from fractal_tasks.transforms import Translation


@dataclass(frozen=True)
class Judgement:
    """What was found about one acquisition of a well."""

    verdicts: dict[RowKey, Verdict]
    """In the order of the measurements."""

    centres_um: dict[RowKey, tuple[float, float]]
    """Centres of the ROIs, y and x."""

    stage: StageFit | None
    """The movement that the believed ROIs have in common; None without any."""

    @property
    def believed(self) -> int:
        """The number of ROIs that are not rejected."""
        return len(self.verdicts) - len(self.rejected)

    @property
    def rejected(self) -> dict[RowKey, Verdict]:
        """The verdicts on the ROIs of which no candidate is believed."""
        return {
            key: verdict
            for key, verdict in self.verdicts.items()
            if verdict.status == "rejected"
        }


def judge_measurements(
    measurements: Mapping[RowKey, Measurement],
    *,
    min_confidence: float,
    outlier_tolerance_um: float,
    vetoes: Sequence[Veto] = VETOES,
) -> Judgement:
    """Say which candidates of a well are believed.

    Where several ROIs agree, a candidate is as probable as they make it
    (`fractal_tasks.qc.well`); else only its own confidence counts. Either way it must
    pass the vetoes. The order of the ROIs makes no difference.

    Args:
        measurements: All of one acquisition of one well; at least one.
        min_confidence: A candidate is believed from this probability on.
        outlier_tolerance_um: A distance from what the well agrees on, in um, that never
            speaks against a candidate.
        vetoes: What may speak against a candidate besides.
    """
    seen = {key: find_displacements(item) for key, item in measurements.items()}
    # Sums of floats and random draws depend on the order, so it must not be the user's.
    order = sorted(seen, key=seen.__getitem__)
    ordered = [measurements[key] for key in order]
    agreement = find_agreement(
        arrange_candidates([seen[key] for key in order]), outlier_tolerance_um
    )
    objections = [find_objections(item, vetoes) for item in ordered]
    confidences = [tuple(one.confidence for one in item.candidates) for item in ordered]
    others = ask_others(agreement, confidences, objections, min_confidence)
    decisions = [
        decide(own, objected, None if others is None else others[index], min_confidence)
        for index, (own, objected) in enumerate(
            zip(confidences, objections, strict=True)
        )
    ]
    verdicts = {
        key: Verdict(
            candidate=item.candidates[decision.chosen],
            status=decision.status,
            reason=explain(decision),
            confidence=decision.confidence,
        )
        for key, item, decision in zip(order, ordered, decisions, strict=True)
    }
    stage = _fit_believed(
        [seen[key] for key in order],
        decisions,
        start=None if agreement is None or others is None else agreement.model,
    )
    return Judgement(
        {key: verdicts[key] for key in measurements},
        {key: roi.centre_um for key, roi in seen.items()},
        stage,
    )


def _fit_believed(
    rois: Sequence[RoiDisplacements],
    decisions: Sequence[Decision],
    start: StageModel | None,
) -> StageFit | None:
    """Fit the stage to what is used, each ROI alike; None if nothing is."""
    believed = [
        (roi.centre_um, roi.displacements[decision.chosen].vector_um)
        for roi, decision in zip(rois, decisions, strict=True)
        if decision.status != "rejected"
    ]
    if not believed:
        return None
    centres_um, displacements_um = (
        np.array(values) for values in zip(*believed, strict=True)
    )
    return fit_stage(
        centres_um,
        displacements_um,
        np.ones(len(believed)),
        start=start,
        max_linear=MAX_LINEAR,
    )


def impute_rejected(
    judgement: Judgement, movement: WellMovement | None
) -> dict[RowKey, Verdict] | None:
    """Replace what is rejected by what the well says, failing that its plate.

    Args:
        judgement: That of one acquisition of a well.
        movement: How it moved according to the other wells; None if they do not say.

    Returns:
        All verdicts, none of them rejected; None if neither says anything.
    """
    rejected = judgement.rejected
    if not rejected:
        return judgement.verdicts
    if judgement.stage is not None:
        centres_um = [judgement.centres_um[key] for key in rejected]
        predicted_um = judgement.stage.model.predict(centres_um).tolist()
        source = name_rois(judgement.believed)
    elif movement is not None:
        predicted_um = [movement.translation_um] * len(rejected)
        source = name_wells(movement.wells)
    else:
        return None
    imputed = {
        key: replace(
            verdict,
            candidate=Candidate(Translation((z_um, y_um, x_um)), None, None),
            status="imputed",
            reason=add_source(verdict.reason, source),
        )
        for (key, verdict), (z_um, y_um, x_um) in zip(
            rejected.items(), predicted_um, strict=True
        )
    }
    return judgement.verdicts | imputed
