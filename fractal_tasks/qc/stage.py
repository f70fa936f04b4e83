"""How the stage moved: a shift that may differ linearly from place to place.

``t(p) = t0 + A (p - p0)`` with, in the plane (y, x), ``A = [[s, -r], [r, s]]``: a small
rotation and change of scale of the whole plate. Along z the shift is constant.

A place is where something lies in the plane, (y, x): the centre of a ROI in um, or row
and column of a well.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fractal_tasks.transforms import FloatArray, Vector

# A linear part is used if chance would explain as much in one of 100 wells at most.
_SIGNIFICANCE = 0.01
# Estimates scatter by this much at least, in um: a tenth of a usual pixel.
_RESOLUTION_UM = 0.03
CAUCHY = 2.385
"""Where Cauchy weights lose 5 % efficiency on normal errors (Huber & Ronchetti, Robust
Statistics, 2nd ed., Wiley 2009)."""

# The scatter of a usual stage, and as how many numbers it counts beside what is seen.
_USUAL_SCATTER_UM, _FREEDOM = 0.4, 4
# The median length of a normal vector, in standard deviations.
_MEDIAN_LENGTH_1D = 0.6745
_MEDIAN_LENGTH_2D = 1.1774
# Far below anything that is told or stored, and above the rounding of float64.
_CONVERGED_UM = 1e-6
_MAX_STEPS = 50
# Turn and stretch have two numbers, and so has the shift: two places always fit.
_LEAST_PLACES = 3


@dataclass(frozen=True)
class StageModel:
    """The translation at every place."""

    origin: tuple[float, float]
    """The place ``p0`` (y, x)."""

    shift_um: Vector
    """The translation ``t0`` (z, y, x) at the origin."""

    stretch: float = 0.0
    """``s``, in um per unit of the places."""

    turn: float = 0.0
    """``r``, in um per unit of the places."""

    def predict(self, places: npt.ArrayLike) -> FloatArray:
        """Give the translations in um, shape ``(n, 3)``, at places ``(n, 2)``."""
        y, x = (np.asarray(places, dtype=float) - self.origin).T
        translations_um = np.empty((len(y), 3))
        translations_um[:] = self.shift_um
        translations_um[:, 1] += self.stretch * y - self.turn * x
        translations_um[:, 2] += self.turn * y + self.stretch * x
        return translations_um

    @property
    def scale(self) -> float:
        """Change of size, 1 for none, if places are in um."""
        return math.hypot(1 + self.stretch, self.turn)

    @property
    def rotation_deg(self) -> float:
        """Rotation if places are in um."""
        return math.degrees(math.atan2(self.turn, 1 + self.stretch))


@dataclass(frozen=True)
class ShownTurn:
    """Turn and stretch as something shows them, significant or not."""

    value: complex
    """``s + i r``."""

    error: float
    """Standard error of ``s`` and of ``r``."""


@dataclass(frozen=True)
class StageFit:
    """A model, and how far estimates are from it."""

    model: StageModel
    scatter_um: tuple[float, float]
    """Standard deviation along z, and along y or x."""

    shown: ShownTurn | None
    """What the places show of a turn; None of two places, which always fit."""

    def describe(self) -> str:
        """Write the movement for the log, if places are in um."""
        z_um, y_um, x_um = self.model.shift_um
        return (
            f"shift z={z_um:.2f}, y={y_um:.2f}, x={x_um:.2f} um, rotation "
            f"{self.model.rotation_deg:.3f} deg, scale {self.model.scale:.5f}, scatter "
            f"{self.scatter_um[1]:.2f} um"
        )


def model_through(
    places: FloatArray,
    translations_um: FloatArray,
    weights: FloatArray,
    *,
    linear: bool,
) -> StageModel:
    """Give the model of least squares, with or without a linear part.

    Args:
        places: Shape ``(n, 2)``, order y, x.
        translations_um: Shape ``(n, 3)``, order z, y, x.
        weights: Shape ``(n,)``, not all zero.
        linear: Whether rotation and scale are found as well.
    """
    weights = weights / weights.sum()
    origin = weights @ places
    shift_um = weights @ translations_um
    stretch = turn = 0.0
    y, x = (places - origin).T
    # About the weighted centre the four unknowns do not depend on each other, and the
    # normal equations are solved by hand: s and r are the projections of the residuals
    # onto (y, x) and onto (-x, y), over the same sum of squares.
    spread = float(weights @ (y**2 + x**2))
    if linear and spread > 0:
        t_y, t_x = (translations_um - shift_um)[:, 1:].T
        stretch = float(weights @ (y * t_y + x * t_x)) / spread
        turn = float(weights @ (y * t_x - x * t_y)) / spread
    (y_0, x_0), (z_um, y_um, x_um) = origin.tolist(), shift_um.tolist()
    return StageModel((y_0, x_0), (z_um, y_um, x_um), stretch, turn)


def fit_stage(
    places: FloatArray,
    translations_um: FloatArray,
    weights: FloatArray,
    *,
    start: StageModel | None = None,
    max_linear: float = math.inf,
) -> StageFit:
    """Fit a model that single wrong translations hardly move.

    Least squares with Cauchy weights, repeated until nothing changes. The linear part
    is used if an F test says that it explains more than chance would; it never is with
    two places or fewer.

    Args:
        places: Shape ``(n, 2)``, order y, x.
        translations_um: Shape ``(n, 3)``, order z, y, x.
        weights: How much each is believed, 0 to 1, shape ``(n,)``, not all zero.
        start: Where to start; left out, at the weighted median.
        max_linear: A model with a larger stretch or turn is not believed.
    """
    start = start or _median_model(places, translations_um, weights)
    model, robust = _fit_robustly(places, translations_um, weights, start, linear=True)
    shown = _find_turn(places, translations_um, robust, model)
    if max(abs(model.stretch), abs(model.turn)) > max_linear or not _is_significant(
        places, translations_um, robust, model
    ):
        model, _ = _fit_robustly(places, translations_um, weights, start, linear=False)
    scatter_um = _scatter(*_lengths(places, translations_um, model), weights)
    return StageFit(model, scatter_um, shown)


def _find_turn(
    places: FloatArray,
    translations_um: FloatArray,
    weights: FloatArray,
    linear: StageModel,
) -> ShownTurn | None:
    """Give the turn of a linear model with its standard error."""
    spread = float(weights @ ((places - linear.origin) ** 2).sum(axis=1))
    if len(places) < _LEAST_PLACES or spread == 0:
        return None
    squares = float(weights @ _lengths(places, translations_um, linear)[1] ** 2)
    freedom = _FREEDOM + 2 * max(float(weights.sum()) - 2, 0.0)
    variance = (_FREEDOM * _USUAL_SCATTER_UM**2 + squares) / freedom
    return ShownTurn(complex(linear.stretch, linear.turn), math.sqrt(variance / spread))


def _fit_robustly(
    places: FloatArray,
    translations_um: FloatArray,
    weights: FloatArray,
    model: StageModel,
    *,
    linear: bool,
) -> tuple[StageModel, FloatArray]:
    """Give the model, and what is left of the weights."""
    robust = weights
    for _ in range(_MAX_STEPS):
        before = model.predict(places)
        lengths_um = _lengths(places, translations_um, model)
        # A fit that is exact (few places) must not make its own residuals outliers.
        widths_um = CAUCHY * np.maximum(_scatter(*lengths_um, weights), _RESOLUTION_UM)
        squares = sum((lengths_um[i] / widths_um[i]) ** 2 for i in range(2))
        robust = weights / (1 + squares)
        model = model_through(places, translations_um, robust, linear=linear)
        if np.abs(model.predict(places) - before).max() < _CONVERGED_UM:
            break
    return model, robust


def _is_significant(
    places: FloatArray,
    translations_um: FloatArray,
    weights: FloatArray,
    linear: StageModel,
) -> bool:
    """Whether a linear model explains more than chance would."""
    constant = model_through(places, translations_um, weights, linear=False)
    count = weights.sum()
    # What is below the resolution is no evidence: it is added to both sums.
    without, with_linear = (
        count * 2 * _RESOLUTION_UM**2
        + weights @ _lengths(places, translations_um, model)[1] ** 2
        for model in (constant, linear)
    )
    # The p value of the F test with 2 and 2 n - 4 degrees of freedom: two numbers of
    # each place (y, x), less two of the shift, less stretch and turn. With 2 in the
    # numerator the F distribution has this closed form. n is the sum of the robust
    # weights, so that outliers do not count as evidence.
    chance = (with_linear / without) ** max(count - 2, 0.0)
    return bool(chance < _SIGNIFICANCE)


def _lengths(
    places: FloatArray, translations_um: FloatArray, model: StageModel
) -> tuple[FloatArray, FloatArray]:
    """Give the lengths of the residuals along z and in the plane."""
    z_um, y_um, x_um = (translations_um - model.predict(places)).T
    return np.abs(z_um), np.hypot(y_um, x_um)


def _scatter(
    z_um: FloatArray, in_plane_um: FloatArray, weights: FloatArray
) -> tuple[float, float]:
    """Give the standard deviation along z, and along y or x, from the medians."""
    return (
        weighted_median(z_um, weights) / _MEDIAN_LENGTH_1D,
        weighted_median(in_plane_um, weights) / _MEDIAN_LENGTH_2D,
    )


def _median_model(
    places: FloatArray, translations_um: FloatArray, weights: FloatArray
) -> StageModel:
    z_um, y_um, x_um = (weighted_median(axis, weights) for axis in translations_um.T)
    y, x = np.average(places, axis=0, weights=weights).tolist()
    return StageModel((y, x), (z_um, y_um, x_um))


def weighted_median(values: FloatArray, weights: FloatArray) -> float:
    """Give the value with half of the weight on either side, the middle of two."""
    order = np.argsort(values, kind="stable")
    cumulative = np.cumsum(weights[order])
    half = cumulative[-1] / 2
    # A sum that is half but for rounding is half.
    first, last = np.searchsorted(cumulative, [half * (1 - 1e-9), half * (1 + 1e-9)])
    last = min(last, len(values) - 1)
    return float(values[order][first] + values[order][last]) / 2
