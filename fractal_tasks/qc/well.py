"""What the ROIs of a well say together: a mixture model, fitted by EM.

ROI i at the place p has candidates k: translations t with a probability c. If a
candidate is right, it scatters about the stage model (`stage.py`) with density g. If
it is wrong, it lies anywhere in the search area (density u) or, as probably, by chance
near the right place (density v). Then candidate k is right with probability

    c_k G_k / (1 - sum_j c_j + sum_j c_j G_j),   G = g / w,   w = (u + v) / 2.

There may be several such models, above all where the sample is periodic. Each counts
as much as it explains; so does the hypothesis that no candidate is right.

In the end, agreement is believed less than it explains: G is at most 20, and 1 near
zero, for all that is fixed in the camera agrees that nothing moved. And it does not
make a candidate more precise: the probability is multiplied by that of an error below
a pixel.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fractal_tasks.qc.candidates import Candidates, Vector
from fractal_tasks.qc.stage import (
    FloatArray,
    StageFit,
    StageModel,
    fit_stage,
    model_through,
)

MAX_LINEAR = 0.1
"""Largest stretch or turn of a plate: 10 %, or 6 degrees."""

# A distance of fewer standard deviations never speaks against a candidate.
_TOLERANCE_SIGMAS = 5.0
# Few ROIs may scatter less than their stage does. Half a usual pixel: what is pixels
# off must not be called more probable by a stage that is exact.
_LEAST_SIGMA_UM = 0.15
# So many times agreement raises the odds at most: half of the fields of a well may be
# wrong together in a way that no model knows.
_MAX_GAIN = 20.0
# More ROIs than these do not make the model better.
_MAX_ROIS = 500
_SINGLES = 200
_PAIRS = 500
_MAX_MODES = 10
_MAX_STEPS = 50


@dataclass(frozen=True)
class Mode:
    """One way in which the ROIs of a well may agree."""

    model: StageModel
    sigma_um: Vector
    """Standard deviation of right candidates about the model."""

    posteriors: FloatArray
    """Probability of each candidate, given this mode; shape ``(n, k)``."""

    evidence: float
    """Logarithm of the probability of all estimates, given this mode."""


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


def find_agreement(candidates: Candidates, tolerance_um: float) -> WellAgreement | None:
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
    nothing_right = float(np.log(sample.none_right).sum())
    evidence = np.array([*(mode.evidence for mode in modes), nothing_right])
    shares = np.exp(evidence - evidence.max())
    shares /= shares.sum()
    posteriors = np.zeros_like(candidates.probabilities)
    for share, mode in zip(shares[:-1], modes, strict=True):
        gain = _gain(candidates, mode.model, mode.sigma_um, tolerance_um)
        gain = np.minimum(gain, _most_gain(candidates, tolerance_um))
        joint, total = _joint(candidates, gain)
        posteriors += share * joint / total[:, None]
    best = max(modes, key=lambda mode: mode.evidence)
    return WellAgreement(
        model=best.model,
        tolerance_um=_tolerance(best.sigma_um, tolerance_um),
        distances_um=np.linalg.norm(_residuals(candidates, best.model), axis=2),
        posteriors=posteriors * candidates.precisions,
    )


def _find_modes(candidates: Candidates, tolerance_um: float) -> list[Mode]:
    """Run EM from the best hypotheses that believe in different candidates."""
    widths_um = (tolerance_um / _TOLERANCE_SIGMAS, tolerance_um / 2)
    starts = [
        _weigh(candidates, model, (width_um,) * 3, tolerance_um)
        for model in _hypotheses(candidates)
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
        starts = [start for start in starts[1:] if not _agrees(start, [mode])]
    return modes


def _agrees(mode: Mode, others: Sequence[Mode]) -> bool:
    """Whether half of what a mode believes is believed by another as well."""
    return any(
        np.minimum(mode.posteriors, other.posteriors).sum() >= mode.posteriors.sum() / 2
        for other in others
    )


def _hypotheses(candidates: Candidates) -> Iterator[StageModel]:
    """Give models through one candidate, and through two, drawn by probability."""
    rois, ranks = np.nonzero(candidates.probabilities)
    if len(rois) == 0:
        return
    places_um = candidates.places_um[rois]
    translations_um = candidates.translations_um[rois, ranks]
    weights = candidates.probabilities[rois, ranks]
    rng = np.random.default_rng(0)
    draws = [
        np.sort(rng.choice(len(rois), size=size, p=weights / weights.sum()), axis=1)
        for size in ((_SINGLES, 1), (_PAIRS, 2))
    ]
    for chosen in itertools.chain(*(np.unique(draw, axis=0) for draw in draws)):
        model = model_through(
            places_um[chosen],
            translations_um[chosen],
            np.ones(len(chosen)),
            linear=len(chosen) == 2,
        )
        is_linear = 0 < max(abs(model.stretch), abs(model.turn)) <= MAX_LINEAR
        if is_linear == (len(chosen) == 2):
            yield model


def _run_em(candidates: Candidates, mode: Mode, tolerance_um: float) -> Mode:
    places = np.repeat(candidates.places_um, candidates.probabilities.shape[1], axis=0)
    translations_um = candidates.translations_um.reshape(-1, 3)
    for _ in range(_MAX_STEPS):
        before = mode
        weights = mode.posteriors.ravel()
        used = weights > 1e-6
        if not used.any():
            break
        fit = fit_stage(
            places[used],
            translations_um[used],
            weights[used],
            start=mode.model,
            max_linear=MAX_LINEAR,
        )
        mode = _weigh(candidates, fit.model, _sigma(fit, tolerance_um), tolerance_um)
        moved = np.subtract(*(m.model.predict(places) for m in (mode, before)))
        if np.abs(moved).max() < 1e-3 and mode.sigma_um == before.sigma_um:
            break
    return mode


def _sigma(fit: StageFit, tolerance_um: float) -> Vector:
    z_um, in_plane_um = (
        min(max(scatter_um, _LEAST_SIGMA_UM), tolerance_um / 2)
        for scatter_um in fit.scatter_um
    )
    return z_um, in_plane_um, in_plane_um


def _residuals(candidates: Candidates, model: StageModel) -> FloatArray:
    predicted = model.predict(candidates.places_um)
    return candidates.translations_um - predicted[:, None, :]


def _weigh(
    candidates: Candidates,
    model: StageModel,
    sigma_um: Vector,
    tolerance_um: float,
) -> Mode:
    """Find how probable all estimates and each candidate are under a model."""
    gain = _gain(candidates, model, sigma_um, tolerance_um)
    joint, total = _joint(candidates, gain)
    # The freedom to put the model where candidates are costs as much as one ROI gains,
    # and rotation and scale as much again.
    exact = np.zeros((1, 1, 3))
    gains = _bell(exact, sigma_um) / _wrong(candidates, exact, tolerance_um)
    cost = np.log(gains).mean()
    freedom = 2 if model.stretch or model.turn else 1
    evidence = np.log(total).sum() - freedom * cost
    return Mode(model, sigma_um, joint / total[:, None], float(evidence))


def _joint(candidates: Candidates, gain: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Give the weight of each candidate ``(n, k)``, and of all of a ROI ``(n,)``."""
    joint = candidates.probabilities * gain
    return joint, candidates.none_right + joint.sum(axis=1)


def _gain(
    candidates: Candidates, model: StageModel, sigma_um: Vector, tolerance_um: float
) -> FloatArray:
    """Give G = g / w of each candidate, shape ``(n, k)``."""
    residuals_um = _residuals(candidates, model)
    right = _bell(residuals_um, sigma_um)
    gain: FloatArray = right / _wrong(candidates, residuals_um, tolerance_um)
    is_tolerated = np.linalg.norm(residuals_um, axis=2) <= _tolerance(
        sigma_um, tolerance_um
    )
    return np.where(is_tolerated, np.maximum(gain, 1.0), gain)


def _tolerance(sigma_um: Vector, tolerance_um: float) -> float:
    """Give the distance that never speaks against a candidate."""
    return max(tolerance_um, _TOLERANCE_SIGMAS * max(sigma_um))


def _wrong(
    candidates: Candidates, residuals_um: FloatArray, tolerance_um: float
) -> FloatArray:
    """Give the density w of wrong candidates."""
    anywhere = 1 / candidates.search_area_um2[:, None]
    density: FloatArray = (anywhere + _bell(residuals_um, (tolerance_um,) * 3)) / 2
    return density


def _most_gain(candidates: Candidates, tolerance_um: float) -> FloatArray:
    """Give how much agreement counts at most, less and less towards zero."""
    lengths = np.linalg.norm(candidates.translations_um, axis=2)
    near_zero = np.exp(-((lengths * _TOLERANCE_SIGMAS / tolerance_um) ** 2) / 2)
    most: FloatArray = _MAX_GAIN ** (1 - near_zero)
    return most


def _bell(vectors_um: FloatArray, sigma_um: Vector) -> FloatArray:
    """Give the density of the normal distribution in the plane, in 1 / um2.

    A distance along z only lessens it.
    """
    exponent = vectors_um**2 @ (-0.5 / np.square(sigma_um))
    density: FloatArray = np.exp(exponent) / (2 * np.pi * sigma_um[1] * sigma_um[2])
    return density
