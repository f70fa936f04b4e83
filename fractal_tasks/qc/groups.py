"""Fields that move together: a stage model, and how far fields are from it."""

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from fractal_tasks.qc.candidates import CandidateArrays
from fractal_tasks.qc.stage import StageModel, model_through
from fractal_tasks.transforms import FloatArray

MAX_LINEAR = 0.1
"""Largest stretch or turn of a plate: 10 %, or 6 degrees."""

APART = 0.003
"""Probability that a single field has moved alone, to anywhere. A stage that loses its
place seldom does so for one field."""

# Standard deviation along z at which a fit starts, and its least value: half of a usual
# distance of planes.
_START_DEPTH_UM, _LEAST_DEPTH_UM = 2.0, 0.5
_MAX_STEPS = 30
# A hundredth of a usual pixel: no verdict can depend on it.
_CONVERGED_UM = 3e-3
# Turn and stretch follow a Cauchy distribution in the plane of this width, 0.1 degrees:
# most plates are put back nearly straight, some are not.
_LINEAR_WIDTH = 0.002
# Fewer fields than these cannot show that a plate is turned: two always fit.
_LEAST_LINEAR = 2.5


@dataclass(frozen=True)
class Group:
    """A stage model, and how its fields scatter about it."""

    model: StageModel

    scatter_um: float
    """Standard deviation of fields along y and along x."""

    depth_um: float = _START_DEPTH_UM
    """The same along z."""

    weight: float = 0.0
    """Inverse variance of the shift at the model's origin; 0 before a fit."""

    moment: float = 0.0
    """Inverse variance of stretch and turn; 0 if there are none."""

    def variances_um2(self, places_um: FloatArray) -> FloatArray:
        """Give the variance of what the model predicts along y or x, ``(n,)``."""
        offsets_um = places_um - self.model.origin
        variances = np.full(len(places_um), 1 / self.weight)
        if self.moment > 0:
            variances += (offsets_um**2).sum(axis=1) / self.moment
        return variances

    def gains(self, candidates: CandidateArrays) -> FloatArray:
        """Give how much more probable each candidate is here than anywhere ``(n, k)``.

        A wrong one lies anywhere in the search area. Along z there is no search area:
        a distance only makes it less probable.
        """
        residuals_um = self.residuals_um(candidates)
        variance = self.scatter_um**2 + candidates.errors_um**2
        exponent = (residuals_um[..., 1:] ** 2).sum(axis=2) / (2 * variance)
        exponent += residuals_um[..., 0] ** 2 / (2 * self.depth_um**2)
        in_area = candidates.search_area_um2[:, None] / (2 * np.pi * variance)
        gains: FloatArray = np.exp(-exponent) * in_area * _LEAST_DEPTH_UM
        return gains / self.depth_um

    def residuals_um(self, candidates: CandidateArrays) -> FloatArray:
        """Give the vectors from the model to each candidate, ``(n, k, 3)``."""
        predicted = self.model.predict(candidates.centres_um)
        return candidates.displacements_um - predicted[:, None, :]

    def refit(
        self, candidates: CandidateArrays, weights: FloatArray, *, linear: bool
    ) -> Self:
        """Fit the model anew to candidates that are so probable, ``(n, k)``."""
        precise = weights / (self.scatter_um**2 + candidates.errors_um**2)
        used = precise > 1e-9 * precise.max()
        rois, _ = np.nonzero(used)
        places_um, left = candidates.centres_um[rois], precise[used]
        linear = linear and weights.sum() >= _LEAST_LINEAR
        moves_um = candidates.displacements_um[used]
        model = model_through(places_um, moves_um, left, linear=linear)
        if max(abs(model.stretch), abs(model.turn)) > MAX_LINEAR:
            model = model_through(places_um, moves_um, left, linear=False)
        depths_um = (moves_um - model.predict(places_um))[:, 0]
        mean_square = weights[used] @ depths_um**2 / weights[used].sum()
        moment = left @ ((places_um - model.origin) ** 2).sum(axis=1)
        return replace(
            self,
            model=model,
            depth_um=max(math.sqrt(mean_square), _LEAST_DEPTH_UM),
            weight=float(left.sum()),
            moment=float(moment) if model.stretch or model.turn else 0.0,
        )

    def log_freedom(self) -> float:
        """Give the log prior times the width of what fits, of turn and stretch."""
        if not self.moment:
            return 0.0
        size = math.hypot(self.model.stretch, self.model.turn)
        density = _LINEAR_WIDTH / (2 * np.pi) / math.hypot(size, _LINEAR_WIDTH) ** 3
        return math.log(2 * np.pi / self.moment * density)


def outside(candidates: CandidateArrays) -> FloatArray:
    """Give the probability that a ROI says nothing about its group, ``(n,)``."""
    nothing: FloatArray = 1 - (1 - APART) * candidates.probabilities.sum(axis=1)
    return nothing


def believe(candidates: CandidateArrays, gains: FloatArray) -> FloatArray:
    """Give how probable it is that each candidate is right, and of the group."""
    joint = (1 - APART) * candidates.probabilities * gains
    posteriors: FloatArray = joint / (outside(candidates) + joint.sum(axis=1))[:, None]
    return posteriors


def climb(candidates: CandidateArrays, group: Group, *, linear: bool) -> Group | None:
    """Fit a group to what is probable, weigh anew, until nothing moves.

    Returns:
        The fitted group; None if no candidate is near it.
    """
    for _ in range(_MAX_STEPS):
        weights = believe(candidates, group.gains(candidates))
        if weights.sum() < APART:
            return None
        before = group.model.predict(candidates.centres_um)
        group = group.refit(candidates, weights, linear=linear)
        moved_um = group.model.predict(candidates.centres_um) - before
        if np.abs(moved_um).max() < _CONVERGED_UM:
            break
    return group
