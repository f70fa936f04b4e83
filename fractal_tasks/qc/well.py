"""What the ROIs of a well say together: all ways in which it may have moved.

What is probable depends on how the stage moved, and that on what is probable: both are
found in turn (EM), from many starts. There may be several solutions, above all where
the sample is periodic. Each counts as much as it explains; so does the hypothesis that
fields have nothing in common.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fractal_tasks.model import WellMovement
from fractal_tasks.qc.candidates import CandidateArrays
from fractal_tasks.qc.groups import MAX_LINEAR, Group, believe, climb, outside
from fractal_tasks.qc.hypotheses import (
    Hypothesis,
    find_still,
    scatters_um,
    weigh,
    weigh_alone,
    weigh_lost,
)
from fractal_tasks.qc.stage import StageModel, model_through
from fractal_tasks.transforms import FloatArray

# More ROIs than these do not make the model better: its error falls with the root of
# their number, and is far below the scatter of a stage.
_MAX_ROIS = 500
# If one of ten candidates is right, one of 100 pairs is: 500 pairs miss all of these in
# 0.7 % of the wells (0.99 ** 500), 200 single candidates never (0.9 ** 200 = 7e-10).
_SINGLES = 200
_PAIRS = 500
_MAX_MODES = 10
_MAX_GROUPS = 4
# What is a million times less probable than the best is left out (e ** 14), as are
# hypotheses that together have less than a thousandth.
_LEAST_EVIDENCE, _LEAST_SHARE = 14.0, 1e-4
# Hypotheses are tried with a narrow and a wide bell: EM climbs to the top next to its
# start, and a narrow one may see one field of a stage that jitters, a wide one several
# periods of a sample as one.
_START_SCATTERS_UM = (0.4, 3.2)
# That the sample did not move is so many times as probable as a pattern of the camera
# that was not found before.
_STILL_ODDS = 5.0


@dataclass(frozen=True)
class WellModel:
    """All that may have happened, each with its probability."""

    hypotheses: tuple[Hypothesis, ...]
    """Most probable first."""

    shares: tuple[float, ...]
    """Their probabilities, which sum to 1."""


def model_well(
    candidates: CandidateArrays, plate: WellMovement | None = None
) -> WellModel:
    """Find how a well may have moved; the same input gives the same result.

    Args:
        candidates: All ROIs of one acquisition of a well.
        plate: What the other wells say; None if they say nothing.

    References:
        Dempster, Laird & Rubin, J. R. Stat. Soc. B 39, 1 (1977),
        doi:10.1111/j.2517-6161.1977.tb01600.x (EM). Fischler & Bolles, Communications
        of the ACM 24, 381 (1981), doi:10.1145/358669.358692 (starts from random
        minimal samples). MacKay, Information Theory, Inference, and Learning
        Algorithms, Cambridge 2003, chapter 28 (what freedom costs).
    """
    if len(candidates.centres_um) == 1 and plate is None:
        return WellModel((weigh_alone(),), (1.0,))
    sample = candidates.sample(_MAX_ROIS)
    modes = _find_modes(sample, plate)
    found = _vary_scatter(sample, modes, plate)
    found += _split(sample, modes, found, plate)
    everything = [*found, weigh_alone(), weigh_lost(sample)]
    shares = _normalise([one.evidence for one in everything])
    weighted = list(zip(shares, everything, strict=True))
    if found:
        weighted = _doubt_camera(sample, weighted, plate)
    weighted.sort(key=lambda one: -one[0])
    kept = [one for one in weighted if one[0] > _LEAST_SHARE]
    total = sum(share for share, _ in kept)
    return WellModel(
        tuple(one for _, one in kept), tuple(share / total for share, _ in kept)
    )


def _normalise(evidence: Sequence[float]) -> list[float]:
    shares = np.exp(np.subtract(evidence, max(evidence)))
    normalised: list[float] = (shares / shares.sum()).tolist()
    return normalised


def _find_modes(
    candidates: CandidateArrays, plate: WellMovement | None
) -> list[Hypothesis]:
    """Run EM from the best starts that believe in different candidates."""
    starts = [
        Group(model, scatter_um)
        for model in _draw_models(candidates)
        for scatter_um in _START_SCATTERS_UM
    ]
    scored = [(_score(candidates, group), group) for group in starts]
    scored.sort(key=lambda one: -one[0])
    modes: list[Hypothesis] = []
    beliefs: list[FloatArray] = []
    for _, start in scored:
        if len(modes) == _MAX_MODES:
            break
        # A start that believes in the same candidates would climb to the same top.
        if _agrees(believe(candidates, start.gains(candidates)), beliefs):
            continue
        linear = bool(start.model.stretch or start.model.turn)
        group = climb(candidates, start, linear=linear)
        if group is None:
            continue
        belief = believe(candidates, group.gains(candidates))
        if not _agrees(belief, beliefs):
            modes.append(weigh(candidates, [group], plate))
            beliefs.append(belief)
    return modes


def _score(candidates: CandidateArrays, group: Group) -> float:
    """Give how much better a start explains all estimates than chance does."""
    joint = (candidates.probabilities * group.gains(candidates)).sum(axis=1)
    return float(np.log1p(joint / outside(candidates)).sum())


def _agrees(belief: FloatArray, others: Sequence[FloatArray]) -> bool:
    """Whether half of what is believed is believed by another as well."""
    half = belief.sum() / 2
    return any(np.minimum(belief, other).sum() >= half for other in others)


def _draw_models(candidates: CandidateArrays) -> Iterator[StageModel]:
    """Give models through one candidate, and through two, drawn by probability.

    One candidate determines a translation, two determine rotation and scale as well.
    """
    rois, ranks = np.nonzero(candidates.probabilities)
    if len(rois) == 0:
        return
    centres_um = candidates.centres_um[rois]
    displacements_um = candidates.displacements_um[rois, ranks]
    weights = candidates.probabilities[rois, ranks]
    singles = np.arange(len(rois))[:, None]
    rng = np.random.default_rng(0)
    draws = [
        np.sort(rng.choice(len(rois), size=size, p=weights / weights.sum()), axis=1)
        for size in ((_SINGLES, 1), (_PAIRS, 2))
    ]
    if len(rois) <= _SINGLES:
        draws[0] = singles
    if len(candidates.centres_um) < 3:
        draws.pop()
    for chosen in itertools.chain(*(np.unique(draw, axis=0) for draw in draws)):
        model = model_through(
            centres_um[chosen],
            displacements_um[chosen],
            np.ones(len(chosen)),
            linear=len(chosen) == 2,
        )
        # A pair that shows no turn, or an impossible one, adds nothing to the singles:
        # the same candidate twice, two of one ROI, or one of the two is wrong.
        is_linear = 0 < max(abs(model.stretch), abs(model.turn)) <= MAX_LINEAR
        if is_linear == (len(chosen) == 2):
            yield model


def _vary_scatter(
    candidates: CandidateArrays, modes: Sequence[Hypothesis], plate: WellMovement | None
) -> list[Hypothesis]:
    """Fit each mode with all scatters, with and without turn and stretch."""
    best = max((mode.evidence for mode in modes), default=0.0)
    near = [mode for mode in modes if mode.evidence > best - _LEAST_EVIDENCE]
    found = []
    for scatter_um, linear in itertools.product(
        scatters_um(candidates)[0].tolist(), (False, True)
    ):
        beliefs: list[FloatArray] = []
        for mode in near:
            start = replace(mode.groups[0], scatter_um=scatter_um)
            group = climb(candidates, start, linear=linear)
            if group is None or (linear and not group.moment):
                continue
            belief = believe(candidates, group.gains(candidates))
            if not _agrees(belief, beliefs):
                found.append(weigh(candidates, [group], plate))
                beliefs.append(belief)
    return found


def _split(
    candidates: CandidateArrays,
    modes: Sequence[Hypothesis],
    found: Sequence[Hypothesis],
    plate: WellMovement | None,
) -> list[Hypothesis]:
    """Try whether the fields move in several groups, as far as that explains more."""
    if len(modes) < 2:
        return []
    # A wide bell would see two groups as one, so narrow ones are tried, too.
    best = max(found, key=lambda one: one.evidence)
    tried_um = {best.groups[0].scatter_um, *_START_SCATTERS_UM}
    for scatter_um in sorted(tried_um.intersection(scatters_um(candidates)[0])):
        models = [mode.groups[0] for mode in modes]
        grown = _grow(candidates, _with_scatter(candidates, models, scatter_um), plate)
        best = max([best, *grown], key=lambda one: one.evidence)
    if len(best.groups) == 1:
        return []
    fitted = [
        _with_scatter(candidates, best.groups, scatter_um)
        for scatter_um in scatters_um(candidates)[0].tolist()
    ]
    return [
        weigh(candidates, groups, plate)
        for groups in fitted
        if len(groups) == len(best.groups)
    ]


def _grow(
    candidates: CandidateArrays, groups: Sequence[Group], plate: WellMovement | None
) -> list[Hypothesis]:
    """Add one group after the other to the best one, until nothing is explained."""
    grown: list[Hypothesis] = []
    while len(grown) < _MAX_GROUPS:
        kept = grown[-1].groups if grown else ()
        tried = [weigh(candidates, [*kept, further], plate) for further in groups]
        better = max(tried, key=lambda one: one.evidence, default=None)
        if better is None or (grown and better.evidence <= grown[-1].evidence):
            break
        grown.append(better)
    return grown


def _with_scatter(
    candidates: CandidateArrays, groups: Sequence[Group], scatter_um: float
) -> list[Group]:
    """Fit groups again with another scatter."""
    fitted = [
        climb(
            candidates, replace(group, scatter_um=scatter_um), linear=group.moment > 0
        )
        for group in groups
    ]
    return [group for group in fitted if group is not None]


def _doubt_camera(
    candidates: CandidateArrays,
    weighted: list[tuple[float, Hypothesis]],
    plate: WellMovement | None,
) -> list[tuple[float, Hypothesis]]:
    """Add that peaks of no movement are a pattern of the camera.

    Either the sample did not move, and each field that says so is right; or each may be
    right by itself, but their agreement says nothing.
    """
    still = find_still(candidates)
    _, best = max(
        (one for one in weighted if one[1].groups), key=lambda one: one[1].evidence
    )
    belief = believe(candidates, best.gains(candidates).sum(axis=0)) * still
    if belief.sum() < 1:
        # Not even one field: there is no agreement to doubt.
        return weighted
    own = np.log(np.maximum(candidates.probabilities, 1e-300))
    doubted = [
        weigh(candidates, one.groups, plate, camera=True)
        for _, one in weighted
        if one.groups
    ]
    doubted.append(weigh_alone(1.0))
    evidence = [one.evidence for one in doubted]
    explained = float(np.logaddexp.reduce(evidence))
    log_odds = math.log(_STILL_ODDS) + float((belief * own).sum()) - explained
    unmoved = 1 / (1 + math.exp(-max(min(log_odds, 50.0), -50.0)))
    certain = [(share * unmoved, one) for share, one in weighted]
    shares = _normalise(evidence)
    return certain + [
        (share * (1 - unmoved), one) for share, one in zip(shares, doubted, strict=True)
    ]
