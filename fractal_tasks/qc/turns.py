"""How much the sample of a well was turned and stretched, as all of it shows.

A sample turns as one. So where single ROIs are too small, too sparse or too noisy to
show how much, all of them together may; and so may their places: where the sample was
turned, the outer ROIs have moved about the inner ones.

Turn and stretch are one complex number: ``A = [[s, -r], [r, s]]`` of `stage` is
``s + i r``.
"""

import cmath
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from fractal_tasks.model import Candidate, Measurement
from fractal_tasks.qc.stage import CAUCHY, fit_turn, weighted_median
from fractal_tasks.transforms import Affine, FloatArray

# Single ROIs are not more exact than this, 0.06 degrees: a few windows say how exact
# they are, and a sample may be stretched in itself.
_LEAST_ERROR = 0.001
# That errors are as large as stated counts as so many numbers, two of each ROI.
_FREEDOM = 4
# A turn is used if chance explains as much in one of 100 wells.
_SIGNIFICANCE = 0.01
# That a sample did not turn is known if corners are within a pixel, 3 standard errors.
_KNOWN_PX = 1 / 3
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
        radius_px = math.hypot(height_um, width_um) / 2 / measurement.pixel_um
        if self.value:
            return abs(self.value) * radius_px
        return 0.0 if self.error * radius_px < _KNOWN_PX else None


@dataclass(frozen=True)
class _Shown:
    """What one thing shows of a turn."""

    value: complex
    error: float

    @classmethod
    def of_turn(cls, value: complex, error: float) -> Self:
        """Give what is shown by itself with this standard error."""
        return cls(value, math.hypot(error, _LEAST_ERROR))

    @classmethod
    def of(cls, candidate: Candidate) -> Self | None:
        """Give what the windows of a ROI show, or else its transform, if that turns."""
        evidence: Mapping[str, float] = candidate.evidence
        if "turn_error_deg" in evidence:
            angle = math.radians(evidence["turn_deg"])
            error = math.radians(evidence["turn_error_deg"])
            value = cmath.rect(evidence["scale"], angle) - 1
            return cls.of_turn(value, error)
        if isinstance(candidate.transform, Affine):
            # Of any linear map the part that turns and stretches alike.
            (yy, yx), (xy, xx) = np.array(candidate.transform.matrix)[1:, 1:].tolist()
            return cls.of_turn(complex((yy + xx) / 2 - 1, (xy - yx) / 2), 0.0)
        return None


def find_turn(used: Sequence[tuple[Measurement, Candidate]]) -> Turn | None:
    """Find turn and stretch of a well; None if nothing shows any.

    Args:
        used: The ROIs that are believed, each with its candidate.
    """
    shown = [one for _, candidate in used if (one := _Shown.of(candidate)) is not None]
    if not shown:
        return None
    places_um = np.array([measurement.centre_um[1:] for measurement, _ in used])
    moves_um = np.array([one.displacement_um(candidate) for one, candidate in used])
    if (fitted := fit_turn(places_um, moves_um)) is not None:
        # As one more ROI, however exact: a camera may turn against the stage, too.
        shown.append(_Shown.of_turn(*fitted))
    values = np.array([one.value for one in shown])
    errors = np.array([one.error for one in shown])
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
    # The F test with 2 numbers in the numerator, in closed form, as in `stage`.
    chance = (1 + (abs(value) / error) ** 2 / freedom) ** (-freedom / 2)
    return Turn(value if chance < _SIGNIFICANCE else 0j, error)
