"""How probable the candidates of a well are, if the stage moved as a model says.

ROI i at the place p has candidates k: displacements t with a probability c. If a
candidate is right, it scatters about the stage model (`stage.py`) with density g. If
it is wrong, it lies anywhere in the search area (density u) or, as probably, by chance
near the right place (density v). Then candidate k is right with probability

    c_k G_k / (1 - sum_j c_j + sum_j c_j G_j),   G = g / w,   w = (u + v) / 2.

Here G is called the gain: how much more probable a candidate is at its distance from
the model, if it is right than if it is wrong.
"""

from dataclasses import dataclass

import numpy as np

from fractal_tasks.qc.candidates import CandidateArrays
from fractal_tasks.qc.stage import StageModel
from fractal_tasks.transforms import FloatArray, Vector

TOLERANCE_SIGMAS = 5.0
"""A distance of fewer standard deviations never speaks against a candidate."""

# So many times agreement raises the odds at most: half of the fields of a well may be
# wrong together in a way that no model knows. With 20, and a limit of 0.9 (odds of
# 9 : 1), a candidate still needs odds of 9 : 20 of its own, a confidence of 0.31.
_MAX_GAIN = 20.0


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


def weigh_mode(
    candidates: CandidateArrays,
    model: StageModel,
    sigma_um: Vector,
    tolerance_um: float,
) -> Mode:
    """Find how probable all estimates and each candidate are under a model."""
    gains = find_gains(candidates, model, sigma_um, tolerance_um)
    joint, total = join_candidates(candidates, gains)
    # The freedom to put the model where candidates are costs as much as one ROI gains,
    # and rotation and scale as much again: a model through one candidate, or two, must
    # not count the candidates that it was drawn through as agreement.
    exact = np.zeros((1, 1, 3))
    most = _bell(exact, sigma_um) / _wrong(candidates, exact, tolerance_um)
    cost = np.log(most).mean()
    freedom = 2 if model.stretch or model.turn else 1
    evidence = np.log(total).sum() - freedom * cost
    return Mode(model, sigma_um, joint / total[:, None], float(evidence))


def join_candidates(
    candidates: CandidateArrays, gains: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Give the weight of each candidate ``(n, k)``, and of all of a ROI ``(n,)``.

    The second includes that none is right, which gains nothing; the quotient is the
    probability of a candidate.
    """
    joint = candidates.probabilities * gains
    return joint, candidates.none_right + joint.sum(axis=1)


def find_gains(
    candidates: CandidateArrays,
    model: StageModel,
    sigma_um: Vector,
    tolerance_um: float,
) -> FloatArray:
    """Give the gain of each candidate, shape ``(n, k)``."""
    residuals_um = measure_residuals(candidates, model)
    right = _bell(residuals_um, sigma_um)
    gains: FloatArray = right / _wrong(candidates, residuals_um, tolerance_um)
    # Where the bell of right candidates is narrower than the tolerance, it falls below
    # that of wrong ones inside of it; but the tolerance is what the user grants.
    is_tolerated = np.linalg.norm(residuals_um, axis=2) <= widen_tolerance(
        sigma_um, tolerance_um
    )
    return np.where(is_tolerated, np.maximum(gains, 1.0), gains)


def limit_gains(
    gains: FloatArray, candidates: CandidateArrays, tolerance_um: float
) -> FloatArray:
    """Believe agreement less than it explains: 20 at most, and 1 near zero.

    All that is fixed in the camera, as hot pixels and dust, agrees that nothing moved.
    """
    lengths_um = np.linalg.norm(candidates.displacements_um, axis=2)
    near_zero = np.exp(-((lengths_um * TOLERANCE_SIGMAS / tolerance_um) ** 2) / 2)
    most: FloatArray = _MAX_GAIN ** (1 - near_zero)
    return np.minimum(gains, most)


def measure_residuals(candidates: CandidateArrays, model: StageModel) -> FloatArray:
    """Give the vectors from the model to each candidate in um, ``(n, k, 3)``."""
    predicted = model.predict(candidates.centres_um)
    return candidates.displacements_um - predicted[:, None, :]


def widen_tolerance(sigma_um: Vector, tolerance_um: float) -> float:
    """Give the distance that never speaks against a candidate.

    Example:
        >>> widen_tolerance((0.2, 0.2, 0.2), tolerance_um=5.0)
        5.0
        >>> widen_tolerance((0.2, 1.5, 1.5), tolerance_um=5.0)  # a shaky stage
        7.5
    """
    return max(tolerance_um, TOLERANCE_SIGMAS * max(sigma_um))


def _wrong(
    candidates: CandidateArrays, residuals_um: FloatArray, tolerance_um: float
) -> FloatArray:
    """Give the density w of wrong candidates.

    Half of it (v) lies near the model: a chance peak there is not as rare as the whole
    search area would make it, so that agreement gains less.
    """
    anywhere = 1 / candidates.search_area_um2[:, None]
    density: FloatArray = (anywhere + _bell(residuals_um, (tolerance_um,) * 3)) / 2
    return density


def _bell(vectors_um: FloatArray, sigma_um: Vector) -> FloatArray:
    """Give the density of the normal distribution in the plane, in 1 / um2.

    A distance along z only lessens it: the search area has no z either.
    """
    exponent = vectors_um**2 @ (-0.5 / np.square(sigma_um))
    density: FloatArray = np.exp(exponent) / (2 * np.pi * sigma_um[1] * sigma_um[2])
    return density
