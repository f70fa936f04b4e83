"""What the ROIs of a well say together: a mixture model, fitted by EM.

What is probable depends on how the stage moved, and that on what is probable
(`mixture.py`): both are found in turn, from many starts. There may be several
solutions, above all where the sample is periodic. Each counts as much as it explains;
so does the hypothesis that no candidate is right.

Agreement does not make a candidate more precise: in the end the probability that it is
not altogether wrong is multiplied by that of an error below a pixel.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fractal_tasks.qc.candidates import CandidateArrays
from fractal_tasks.qc.mixture import (
    TOLERANCE_SIGMAS,
    Mode,
    find_gains,
    join_candidates,
    limit_gains,
    measure_residuals,
    weigh_mode,
    widen_tolerance,
)
from fractal_tasks.qc.stage import StageFit, StageModel, fit_stage, model_through
from fractal_tasks.transforms import FloatArray, Vector

MAX_LINEAR = 0.1
"""Largest stretch or turn of a plate: 10 %, or 6 degrees."""

# Few ROIs may scatter less than their stage does. Half a usual pixel: what is pixels
# off must not be called more probable by a stage that is exact.
_LEAST_SIGMA_UM = 0.15
# More ROIs than these do not make the model better: its error falls with the root of
# their number, and is far below the scatter of a stage.
_MAX_ROIS = 500
# If one of ten candidates is right, one of 100 pairs is: 500 pairs miss all of these in
# 0.7 % of the wells (0.99 ** 500), 200 single candidates never (0.9 ** 200 = 7e-10).
_SINGLES = 200
_PAIRS = 500
_MAX_MODES = 10
_MAX_STEPS = 50
# The weights that are left out of a fit, of 5 candidates of 500 ROIs, sum to less than
# 0.25 % of one ROI.
_LEAST_WEIGHT = 1e-6
# A thirtieth of what the stage model resolves: no verdict can depend on it.
_CONVERGED_UM = 1e-3


@dataclass(frozen=True)
class WellAgreement:
    """What the ROIs of a well agree on."""

    model: StageModel
    """The most probable one."""

    tolerance_um: float
    """A distance from the model that never speaks against a candidate."""

    distances_um: FloatArray
    """From each candidate to the model, shape ``(n, k)``."""

    posteriors: FloatArray
    """Probability that each candidate is right, over all modes; shape ``(n, k)``."""

    def count(self, min_confidence: float) -> int:
        """Count the ROIs that agree: with a probable candidate near the model."""
        agrees = (self.distances_um <= self.tolerance_um) & (
            self.posteriors >= min_confidence
        )
        return int(agrees.any(axis=1).sum())


def find_agreement(
    candidates: CandidateArrays, tolerance_um: float
) -> WellAgreement | None:
    """Find what the ROIs of a well agree on; the same input gives the same result.

    Args:
        candidates: All ROIs of one acquisition of a well.
        tolerance_um: A right candidate may be this far from the stage model.

    Returns:
        The best model and the probabilities; None if no candidate has any probability.

    References:
        Dempster, Laird & Rubin, J. R. Stat. Soc. B 39, 1 (1977),
        doi:10.1111/j.2517-6161.1977.tb01600.x (EM). Fischler & Bolles, Communications
        of the ACM 24, 381 (1981), doi:10.1145/358669.358692 (starts from random
        minimal samples).
    """
    sample = candidates.sample(_MAX_ROIS)
    modes = _find_modes(sample, tolerance_um)
    if not modes:
        return None
    # Shares of the modes, from logarithms that would underflow; the last one is that
    # of "no candidate of any ROI is right", which believes in nothing.
    nothing_right = float(np.log(sample.none_right).sum())
    evidence = np.array([*(mode.evidence for mode in modes), nothing_right])
    shares = np.exp(evidence - evidence.max())
    shares /= shares.sum()
    posteriors = np.zeros_like(candidates.probabilities)
    for share, mode in zip(shares[:-1], modes, strict=True):
        gains = find_gains(candidates, mode.model, mode.sigma_um, tolerance_um)
        gains = limit_gains(gains, candidates, tolerance_um)
        joint, total = join_candidates(candidates, gains)
        posteriors += share * joint / total[:, None]
    best = max(modes, key=lambda mode: mode.evidence)
    return WellAgreement(
        model=best.model,
        tolerance_um=widen_tolerance(best.sigma_um, tolerance_um),
        distances_um=np.linalg.norm(measure_residuals(candidates, best.model), axis=2),
        posteriors=posteriors * candidates.precisions,
    )


def _find_modes(candidates: CandidateArrays, tolerance_um: float) -> list[Mode]:
    """Run EM from the best hypotheses that believe in different candidates."""
    # EM climbs to the top next to its start, so each hypothesis is tried with the
    # scatter that the tolerance stands for, and with the largest that is allowed: a
    # narrow bell may see one field of a stage that jitters, a wide one several periods
    # of a sample as one. It is a precaution, as EM fits the scatter, too: in simulated
    # lattices (period 6 and 12 um, jitter 0.05 to 1.5 um) either one alone will do.
    widths_um = (tolerance_um / TOLERANCE_SIGMAS, tolerance_um / 2)
    starts = [
        weigh_mode(candidates, model, (width_um,) * 3, tolerance_um)
        for model in _draw_hypotheses(candidates)
        for width_um in widths_um
    ]
    starts.sort(key=lambda mode: -mode.evidence)
    modes: list[Mode] = []
    for _ in range(_MAX_MODES):
        if not starts:
            break
        mode = _run_em(candidates, starts[0], tolerance_um)
        if not _agrees(mode, modes):
            modes.append(mode)
        # A start that believes in the same candidates would climb to the same top.
        starts = [start for start in starts[1:] if not _agrees(start, [mode])]
    return modes


def _agrees(mode: Mode, others: Sequence[Mode]) -> bool:
    """Whether half of what a mode believes is believed by another as well."""
    return any(
        np.minimum(mode.posteriors, other.posteriors).sum() >= mode.posteriors.sum() / 2
        for other in others
    )


def _draw_hypotheses(candidates: CandidateArrays) -> Iterator[StageModel]:
    """Give models through one candidate, and through two, drawn by probability.

    One candidate determines a translation, two determine rotation and scale as well.
    """
    rois, ranks = np.nonzero(candidates.probabilities)
    if len(rois) == 0:
        return
    centres_um = candidates.centres_um[rois]
    displacements_um = candidates.displacements_um[rois, ranks]
    weights = candidates.probabilities[rois, ranks]
    rng = np.random.default_rng(0)
    draws = [
        np.sort(rng.choice(len(rois), size=size, p=weights / weights.sum()), axis=1)
        for size in ((_SINGLES, 1), (_PAIRS, 2))
    ]
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


def _run_em(candidates: CandidateArrays, mode: Mode, tolerance_um: float) -> Mode:
    """Fit the model to what is probable, weigh anew, until nothing moves."""
    places = np.repeat(candidates.centres_um, candidates.probabilities.shape[1], axis=0)
    displacements_um = candidates.displacements_um.reshape(-1, 3)
    for _ in range(_MAX_STEPS):
        before = mode
        weights = mode.posteriors.ravel()
        used = weights > _LEAST_WEIGHT
        if not used.any():
            break
        fit = fit_stage(
            places[used],
            displacements_um[used],
            weights[used],
            start=mode.model,
            max_linear=MAX_LINEAR,
        )
        sigma_um = _limit_sigma(fit, tolerance_um)
        mode = weigh_mode(candidates, fit.model, sigma_um, tolerance_um)
        moved = np.subtract(*(m.model.predict(places) for m in (mode, before)))
        if np.abs(moved).max() < _CONVERGED_UM and mode.sigma_um == before.sigma_um:
            break
    return mode


def _limit_sigma(fit: StageFit, tolerance_um: float) -> Vector:
    """Give the scatter of a fit within its limits.

    At most half of the tolerance: a wider bell would take in wrong candidates, which
    would widen it further.
    """
    z_um, in_plane_um = (
        min(max(scatter_um, _LEAST_SIGMA_UM), tolerance_um / 2)
        for scatter_um in fit.scatter_um
    )
    return z_um, in_plane_um, in_plane_um
