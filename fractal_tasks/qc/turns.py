"""How much the sample of a well was turned and stretched, as all of it shows.

A sample turns as one. So where single ROIs are too small, too sparse or too noisy to
show how much, all of them together may; and so may their places: where the sample was
turned, the outer ROIs have moved about the inner ones.

Turn and stretch are one complex number: ``A = [[s, -r], [r, s]]`` of `stage` is
``s + i r``.
"""

import cmath
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fractal_tasks.model import Candidate, Measurement
from fractal_tasks.model.candidate import find_left_px
from fractal_tasks.model.precision import chance_of_pair
from fractal_tasks.qc.stage import CAUCHY, ShownTurn, weighted_median
from fractal_tasks.transforms import Affine, FloatArray, Warp, find_affine

# Nothing that shows a turn is more exact than this, 0.06 degrees: a few windows say how
# exact a ROI is, a sample may be stretched in itself, and a camera that was put back
# turned turns ROIs, and not where they lie.
_LEAST_ERROR = 0.001
# That errors are as large as stated counts as so many numbers, two of each ROI.
_FREEDOM = 4
# A turn is used if chance explains as much in one of 100 wells.
_SIGNIFICANCE = 0.01
_STEPS = 20


@dataclass(frozen=True)
class Turn:
    """Turn and stretch of the sample of a well."""

    value: complex
    """``s + i r``; 0 if it is not significant."""

    error: float
    """Standard error of ``s`` and of ``r``."""

    def to_matrix(self, *, keep_size: bool) -> FloatArray:
        """Give the linear part of a transform that undoes it, shape ``(3, 3)``.

        Args:
            keep_size: Without the stretch.
        """
        size, angle = cmath.polar(1 + self.value)
        linear = cmath.rect(1.0 if keep_size else size, angle)
        matrix = np.eye(3)
        matrix[1:, 1:] = [[linear.real, -linear.imag], [linear.imag, linear.real]]
        return matrix

    def find_left_px(self, measurement: Measurement) -> float | None:
        """Give how far a translation leaves corners of a ROI off; None if not known."""
        _, height_um, width_um = measurement.size_um
        size_px = (height_um / measurement.pixel_um, width_um / measurement.pixel_um)
        return find_left_px(abs(self.value), self.error, size_px)


def find_turn(used: Sequence[Candidate], places: ShownTurn | None) -> Turn | None:
    """Find turn and stretch of a well; None if no ROI shows any.

    Args:
        used: The candidates of the ROIs that are believed.
        places: What the places of these show; None if nothing.
    """
    shown = [one for candidate in used if (one := _shown_by(candidate)) is not None]
    if not shown:
        return None
    if places is not None:
        shown.append(places)
    values = np.array([one.value for one in shown])
    errors = np.hypot([one.error for one in shown], _LEAST_ERROR)
    certain = errors**-2
    value = complex(
        weighted_median(values.real, certain), weighted_median(values.imag, certain)
    )
    # Cauchy weights, as those of `stage`: single ROIs may be far off.
    weights = certain
    for _ in range(_STEPS):
        apart = np.abs(values - value) / errors
        weights = certain / (1 + (apart / CAUCHY) ** 2)
        value = complex(np.average(values, weights=weights))
    effective = float((weights / certain).sum())
    squares = float((weights * np.abs(values - value) ** 2).sum())
    freedom = _FREEDOM + 2 * max(effective - 1, 0.0)
    error = math.sqrt((_FREEDOM + squares) / freedom / float(weights.sum()))
    chance = chance_of_pair((abs(value) / error) ** 2, freedom)
    return Turn(value if chance < _SIGNIFICANCE else 0j, error)


def _shown_by(candidate: Candidate) -> ShownTurn | None:
    """Give what the windows of a ROI show, or else its transform, if that turns."""
    evidence = candidate.evidence
    if "turn_error_deg" in evidence:
        angle = math.radians(evidence["turn_deg"])
        error = math.radians(evidence["turn_error_deg"])
        return ShownTurn(cmath.rect(evidence["scale"], angle) - 1, error)
    if isinstance(candidate.transform, Affine | Warp):
        # Of any linear map the part that turns and stretches alike.
        (yy, yx), (xy, xx) = np.array(find_affine(candidate.transform).matrix)[
            1:, 1:
        ].tolist()
        return ShownTurn(complex((yy + xx) / 2 - 1, (xy - yx) / 2), 0.0)
    return None
