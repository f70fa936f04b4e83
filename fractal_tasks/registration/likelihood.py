"""The most likely motion of windows, to a fraction of a pixel, and how exact it is.

Let ``F`` and ``M`` be the spectra of a window in both images, of which a part is common
and the rest independent noise. The log-likelihood of a shift ``d`` is then

    Re sum_k W(k) F(k) M*(k) exp(2 pi i k d),   W = g^2 / (1 - g^2) / |F M*|

with the coherence ``g`` of the two images at frequency ``k``: a correlation, weighed by
how much each frequency tells. Its maximum is the estimate of least variance, and its
curvature there is the inverse of the covariance that noise alone gives.

What noise is not (debris, lost cells, blur, warps) moves each window on its own. So how
far windows are from what they share, in units of what noise allows, tells how much
larger true errors are on this very pair: the dispersion of a generalised linear model.

Under much noise or blur the top is one of several about as high. Then its curvature
tells how wide this one is, and the likelihood of the shifts around it the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fractal_tasks.model.precision import chance_of_pair
from fractal_tasks.registration.coherence import weigh_by_coherence
from fractal_tasks.registration.motion import Motion
from fractal_tasks.registration.spectra import CrossSpectra, Spectrum, evaluate
from fractal_tasks.transforms import FloatArray

_ANY_MOTION, _NO_MOTION = 0.01, 0.0002
"""Standard deviation of rotation and scaling around the motion found: what a plate may
turn, and what is too little to matter."""

_SIGNIFICANCE = 0.01
"""Rotation and scaling are used if chance explains as much in one of 100 fields."""

_CONVERGED_PX = 0.003
"""A step below this changes nothing that is tested or used."""

_DISPERSION, _FREEDOM = 4, 4
"""Dispersion before windows have shown theirs, and how many of their numbers (two of
each) this counts as. What is most likely given the true errors of the benchmark's
conditions, on seeds that it does not use: 4.1 and 3.5."""

_LEAST_PX, _MOST_PX = 0.005, 100.0
"""Limits of the standard error; at the upper one, nothing was found."""

_STENCIL_PX = 0.25
"""Distance of the values from which derivatives are taken: small against a peak, whose
standard deviation is 2 pixels, and large against rounding (32 bits per number)."""

_ITERATIONS = 6
"""Newton's method doubles the digits with each: from half a pixel few are needed. Where
nothing converges, the standard error says so."""

_NEAR_PX = np.arange(-8, 8.25, 0.5)
"""Shifts around the top, along y and x, among which it may be the wrong one: 4 standard
deviations of a whitened peak (`spectra`). Farther ones are other candidates."""


@dataclass(frozen=True)
class LikelyMotion:
    """The most likely motion."""

    motion: Motion
    """Rotation and scaling are none unless they are significant."""

    error_px: float
    """Standard error of the shift, the larger of y and x."""

    shown: Motion
    """With the rotation and scaling that windows show, significant or not."""

    turn_error: float
    """Standard error of these, in radians and relative size."""


def maximise_likelihood(
    windows: Sequence[CrossSpectra], centres_px: FloatArray, start: Motion
) -> LikelyMotion:
    """Find the motion under which the windows are most likely, from a start nearby.

    Frequencies are weighed by how coherent the two images are there: with noise that
    is independent in both images this is the estimate of least variance. Rotation and
    scaling are taken as none unless they are significant: where windows are few, near
    or noisy, they would only make the shift uncertain.

    Args:
        windows: One plane shift each.
        centres_px: Centres of the windows from the ROI's centre, shape ``(n, 2)``.
        start: Near enough that its place lies on the slope of the right peak.

    References:
        Knapp and Carter, IEEE Trans. Acoust. Speech Signal Process. 24, 320 (1976),
        doi:10.1109/TASSP.1976.1162830.
    """
    # Rows: how y and x of a window's shift depend on (t_y, t_x, rotation, scaling).
    jacobians = [np.array([[1, 0, -x, y], [0, 1, y, x]]) for y, x in centres_px]
    parameters = np.array([*start.shift_px, start.rotation, start.scaling])
    weighted = weigh_by_coherence(windows, [j @ parameters for j in jacobians])
    size = windows[0].size
    top = _climb(weighted, size, jacobians, parameters, _ANY_MOTION)
    is_turned = top.chance_of_turn < _SIGNIFICANCE
    shown, turn_error = top.motion, top.turn_error
    if not is_turned:
        top = _climb(weighted, size, jacobians, top.without_turn, _NO_MOTION)
    error_px = max(top.error_px, _spread_px(weighted, size, jacobians, top))
    return LikelyMotion(
        top.motion if is_turned else Motion(top.motion.shift_px),
        min(max(error_px, _LEAST_PX), _MOST_PX),
        shown,
        turn_error,
    )


@dataclass(frozen=True)
class _Top:
    """The highest place of a log-likelihood, where it is normal."""

    parameters: FloatArray
    """``(t_y, t_x, rotation, scaling)``."""

    covariance: FloatArray
    """By noise alone."""

    dispersion: float
    """Variances are so many times as large."""

    freedom: float
    """Degrees of freedom of the dispersion."""

    @property
    def motion(self) -> Motion:
        """The parameters as a motion."""
        y, x, rotation, scaling = self.parameters.tolist()
        return Motion((y, x), rotation, scaling)

    @property
    def turn_error(self) -> float:
        """Standard error of rotation and scaling, the larger one."""
        return float(np.sqrt(self.dispersion * self.covariance.diagonal()[2:].max()))

    @property
    def error_px(self) -> float:
        """Standard error of the shift, the larger of y and x."""
        return float(np.sqrt(self.dispersion * self.covariance.diagonal()[:2].max()))

    @property
    def chance_of_turn(self) -> float:
        """Probability that chance gives such a turn, by the F test."""
        turn = self.parameters[2:]
        square = float(turn @ np.linalg.solve(self.covariance[2:, 2:], turn))
        return chance_of_pair(square / self.dispersion, self.freedom)

    @property
    def without_turn(self) -> FloatArray:
        """The parameters once the turn is given up, with what hangs on it."""
        turn = self.parameters[2:]
        back = self.covariance[:2, 2:] @ np.linalg.solve(self.covariance[2:, 2:], turn)
        without: FloatArray = np.concatenate([self.parameters[:2] - back, [0, 0]])
        return without


def _climb(
    weighted: Sequence[Spectrum],
    size: tuple[int, int],
    jacobians: Sequence[FloatArray],
    start: FloatArray,
    spread: float,
) -> _Top:
    """Climb the log-likelihood by Newton steps.

    Args:
        weighted: Spectra whose correlation is the log-likelihood of a window's shift.
        size: Shape of a window.
        jacobians: How each window's shift depends on the parameters.
        start: Parameters ``(t_y, t_x, rotation, scaling)``.
        spread: Standard deviation of rotation and scaling around their start.
    """
    # The shift is free. Rotation and scaling have a normal prior: windows in one place
    # say nothing about them, and the curvature alone could not be inverted.
    prior = np.diag([0, 0, spread**-2, spread**-2])
    parameters = start.copy()
    covariance = np.diag([np.inf, np.inf, spread**2, spread**2])
    dispersion, freedom = float(_DISPERSION), float(_FREEDOM)
    for _ in range(_ITERATIONS):
        gradient = -prior @ (parameters - start)
        curvature = prior.copy()
        pulls = [
            _derive(spectrum, size, jacobian @ parameters)
            for spectrum, jacobian in zip(weighted, jacobians, strict=True)
        ]
        for (slope, bend), jacobian in zip(pulls, jacobians, strict=True):
            gradient += jacobian.T @ slope
            curvature += jacobian.T @ bend @ jacobian
        # No window lies near a top of its own: there is nowhere to climb to.
        if np.linalg.eigvalsh(curvature[:2, :2]).min() <= 0:
            break
        # The inverse of the negative Hessian is the step matrix of Newton's method, and
        # at the top the covariance (Cramer and Rao).
        covariance = np.linalg.inv(curvature)
        move = covariance @ gradient
        left = [
            (slope - bend @ jacobian @ move, bend)
            for (slope, bend), jacobian in zip(pulls, jacobians, strict=True)
        ]
        # A parameter that the prior holds fits nothing.
        fitted = len(move) - float(np.trace(prior @ covariance))
        dispersion, freedom = _disperse(left, fitted)
        # A pixel at most: beyond, the parabola no longer describes the peak.
        parameters += move / max(1.0, float(np.abs(move[:2]).max()))
        if np.abs(move[:2]).max() < _CONVERGED_PX:
            break
    return _Top(parameters, covariance, dispersion, freedom)


def _disperse(
    pulls: Sequence[tuple[FloatArray, FloatArray]], fitted: float
) -> tuple[float, float]:
    """Give the dispersion of windows about what they share, and its freedom.

    Args:
        pulls: Gradient and negative Hessian of each window, at the common top.
        fitted: Number of parameters that made them small.

    References:
        McCullagh and Nelder, Generalized Linear Models, 2nd ed. (1989), 4.5: the
        dispersion; here with what is known before, as one more mean square.
    """
    peaks = [(slope, bend) for slope, bend in pulls if bend.any()]
    # How far each window's own top is, squared, in units of its own variance.
    square = sum(slope @ np.linalg.solve(bend, slope) for slope, bend in peaks)
    freedom = _FREEDOM + max(0.0, 2 * len(peaks) - fitted)
    return (_FREEDOM * _DISPERSION + float(square)) / freedom, freedom


def _spread_px(
    weighted: Sequence[Spectrum],
    size: tuple[int, int],
    jacobians: Sequence[FloatArray],
    top: _Top,
) -> float:
    """Give how far from the top the shift is, rms along y or x, by its likelihood."""
    surface = np.zeros((len(_NEAR_PX), len(_NEAR_PX)))
    for spectrum, jacobian in zip(weighted, jacobians, strict=True):
        y, x = jacobian @ top.parameters
        surface += evaluate(spectrum, size, y + _NEAR_PX, x + _NEAR_PX)
    likely = np.exp((surface - surface.max()) / top.dispersion)
    squares = np.add.outer(_NEAR_PX**2, _NEAR_PX**2) / 2
    return float(np.sqrt(np.average(squares, weights=likely)))


def _derive(
    spectrum: Spectrum, size: tuple[int, int], shift_px: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Give gradient and negative Hessian of a correlation, by finite differences.

    Where the Hessian is not that of a peak it is given as 0: the window then pulls, but
    does not say how far.
    """
    steps = np.array([-_STENCIL_PX, 0, _STENCIL_PX])
    values = evaluate(spectrum, size, shift_px[0] + steps, shift_px[1] + steps)
    h = _STENCIL_PX
    slope = np.array([values[2, 1] - values[0, 1], values[1, 2] - values[1, 0]])
    yy = values[0, 1] - 2 * values[1, 1] + values[2, 1]
    xx = values[1, 0] - 2 * values[1, 1] + values[1, 2]
    yx = (values[2, 2] - values[2, 0] - values[0, 2] + values[0, 0]) / 4
    bend = -np.array([[yy, yx], [yx, xx]]) / h**2
    lowest = np.linalg.eigvalsh(bend).min()
    return slope / (2 * h), bend if lowest > 0 else np.zeros((2, 2))
