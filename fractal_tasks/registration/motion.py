"""How windows of one ROI moved together: a shift, and a small rotation and scaling.

The displacement of a window whose centre lies at ``p`` from the ROI's centre is
``t + L p`` with ``L = [[s, -r], [r, s]]`` (y, x): ``r`` is the angle in radians and
``s`` the relative change of size. ``t`` is the displacement of the ROI's centre.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import numpy as np

from fractal_tasks.registration.spectra import (
    RINGS,
    TAPER_LOSS,
    CrossSpectra,
    Floats,
    Spectrum,
    evaluate,
    evaluate_around,
    ring_numbers,
    sum_rings,
    whiten,
)

_MAX_ROTATION, _MAX_SCALING = np.deg2rad(2.0), 0.015
"""Largest motion searched: a plate that was taken out and put back turns less."""

_STEP_PX = 2.0
"""How far a step of the search moves the outermost window: the width of a peak."""

_GAIN = 1.15
"""A motion must raise the common peak by so much to be preferred over a shift."""

_CONTRAST = 1.6
"""And so much higher must it be than that of most motions: more than chance gives."""

_ANY_MOTION, _NO_MOTION = 0.01, 0.0002
"""Standard deviation of rotation and scaling around the motion found: what a plate may
turn, and what is too little to matter."""

_SIGNIFICANT = 100.0
"""Chi-square (2 degrees of freedom) above which rotation and scaling are believed."""

_CONVERGED_PX = 0.003
_OPTIMISM = 2.5
"""True errors are so many times those that noise alone gives: likelihood knows no
debris, blur or lost cell. Measured on synthetic fields, see docs/methods.md."""

_LEAST_PX, _MOST_PX = 0.005, 100.0
"""Limits of the standard error; at the upper one, nothing was found."""

_STENCIL_PX = 0.25
_ITERATIONS = 6
_MAX_COHERENCE = 0.98


@dataclass(frozen=True)
class Motion:
    """A shift of the centre with a small rotation and scaling."""

    shift_px: tuple[float, float]
    rotation: float = 0.0
    scaling: float = 0.0

    @property
    def linear(self) -> Floats:
        """The matrix ``L``."""
        return np.array([[self.scaling, -self.rotation], [self.rotation, self.scaling]])


@dataclass(frozen=True)
class Fit:
    """The most likely motion."""

    motion: Motion
    error_px: float
    """Standard error of the shift, the larger of y and x."""


def search_motion(
    windows: Sequence[CrossSpectra],
    centres_px: Floats,
    peak_px: tuple[int, int],
    reach_px: int,
) -> Motion:
    """Search rotation and scaling for the highest common peak of all windows.

    Args:
        windows: One plane shift each.
        centres_px: Centres of the windows from the ROI's centre, shape ``(n, 2)``.
        peak_px: The best shift without rotation and scaling.
        reach_px: How far from it the shift is searched.

    Returns:
        The best motion; a mere shift unless another one is clearly better.
    """
    plain = Motion((float(peak_px[0]), float(peak_px[1])))
    radius_px = float(np.abs(centres_px).max())
    if len(windows) < 3 or radius_px * _MAX_ROTATION < _STEP_PX / 2:
        return plain
    margin = int(np.ceil(radius_px * 1.5 * (_MAX_ROTATION + _MAX_SCALING)))
    size = windows[0].size
    limit = (min(size) - 1) // 2
    reach = min(reach_px, limit // 2)
    margin = min(margin, limit - reach)
    total = reduce(add, windows)
    surfaces = [
        evaluate_around(whiten(one, total)[0], size, peak_px, reach + margin)
        for one in windows
    ]
    step = _STEP_PX / radius_px
    best, best_height, plain_height = plain, -np.inf, 0.0
    heights = []
    for rotation in _steps(_MAX_ROTATION, step):
        for scaling in _steps(_MAX_SCALING, step):
            motion = Motion((0.0, 0.0), float(rotation), float(scaling))
            moves = np.rint(centres_px @ motion.linear.T).astype(int) + margin
            if moves.min() < 0 or moves.max() > 2 * margin:
                continue
            common = np.sum(
                [
                    surface[y : y + 2 * reach + 1, x : x + 2 * reach + 1]
                    for surface, (y, x) in zip(surfaces, moves, strict=True)
                ],
                axis=0,
            )
            height = float(common.max())
            heights.append(height)
            if rotation == scaling == 0:
                plain_height = height
            if height > best_height:
                row, column = np.unravel_index(common.argmax(), common.shape)
                y, x = float(row - reach), float(column - reach)
                best_height = height
                best = replace(motion, shift_px=(peak_px[0] + y, peak_px[1] + x))
    clearly = max(_GAIN * plain_height, _CONTRAST * float(np.median(heights)))
    return best if best_height > clearly else plain


def _steps(limit: float, step: float) -> Floats:
    count = int(limit / step)
    steps: Floats = np.multiply(np.arange(-count, count + 1), step, dtype=np.float64)
    return steps


def maximise_likelihood(
    windows: Sequence[CrossSpectra], centres_px: Floats, start: Motion
) -> Fit:
    """Find the motion under which the windows are most likely, from a start nearby.

    Frequencies are weighed by how coherent the two images are there: with noise that
    is independent in both images this is the estimate of least variance. Rotation and
    scaling are taken as none unless they are significant: where windows are few, near
    or noisy, they would only make the shift uncertain.

    References:
        Knapp and Carter, IEEE Trans. Acoust. Speech Signal Process. 24, 320 (1976),
        doi:10.1109/TASSP.1976.1162830.
    """
    jacobians = [np.array([[1, 0, -x, y], [0, 1, y, x]]) for y, x in centres_px]
    parameters = np.array([*start.shift_px, start.rotation, start.scaling])
    weighted = _weigh_by_coherence(windows, [j @ parameters for j in jacobians])
    size = windows[0].size
    free, covariance = _climb(weighted, size, jacobians, parameters, _ANY_MOTION)
    turn = free[2:]
    significance = turn @ np.linalg.solve(covariance[2:, 2:], turn)
    if not significance > _SIGNIFICANT:
        # Near the top the likelihood is normal: give up the turn, and what hangs on it.
        parameters[:2] = free[:2] - covariance[:2, 2:] @ np.linalg.solve(
            covariance[2:, 2:], turn
        )
        parameters[2:] = 0
        free, covariance = _climb(weighted, size, jacobians, parameters, _NO_MOTION)
    y, x, rotation, scaling = free.tolist()
    error = _OPTIMISM * float(np.sqrt(max(covariance[0, 0], covariance[1, 1])))
    return Fit(Motion((y, x), rotation, scaling), min(max(error, _LEAST_PX), _MOST_PX))


def _climb(
    weighted: Sequence[Spectrum],
    size: tuple[int, int],
    jacobians: Sequence[Floats],
    start: Floats,
    spread: float,
) -> tuple[Floats, Floats]:
    """Climb the log-likelihood by Newton steps; give the top and its covariance."""
    prior = np.diag([0, 0, spread**-2, spread**-2])
    parameters = start.copy()
    covariance = np.diag([np.inf, np.inf, spread**2, spread**2])
    for _ in range(_ITERATIONS):
        gradient = -prior @ (parameters - start)
        curvature = prior.copy()
        for spectrum, jacobian in zip(weighted, jacobians, strict=True):
            slope, bend = _derive(spectrum, size, jacobian @ parameters)
            gradient += jacobian.T @ slope
            curvature += jacobian.T @ bend @ jacobian
        if np.linalg.eigvalsh(curvature[:2, :2]).min() <= 0:
            break
        covariance = np.linalg.inv(curvature)
        move = covariance @ gradient
        parameters += move / max(1.0, float(np.abs(move[:2]).max()))
        if np.abs(move[:2]).max() < _CONVERGED_PX:
            break
    return parameters, covariance


def _weigh_by_coherence(
    windows: Sequence[CrossSpectra], shifts_px: Sequence[Floats]
) -> list[Spectrum]:
    """Weigh cross-power spectra so that correlation becomes log-likelihood."""
    size = windows[0].size
    frequency_y = np.fft.fftfreq(size[0])[:, None]
    frequency_x = np.fft.rfftfreq(size[1])
    common = np.zeros(RINGS)
    for one, (y, x) in zip(windows, shifts_px, strict=True):
        ramp = np.multiply(
            np.exp(2j * np.pi * y * frequency_y).astype(np.complex64),
            np.exp(2j * np.pi * x * frequency_x).astype(np.complex64),
        )
        common += sum_rings((one.cross[0] * ramp).real[None], size)[0]
    fixed_power = reduce(add, (one.fixed_power[0] for one in windows))
    moving_power = reduce(add, (one.moving_power[0] for one in windows))
    power = np.sqrt(fixed_power * moving_power)
    power = np.maximum(power, max(float(power.max()) * 1e-12, 1e-30))
    coherence = np.clip(common / power, 0, _MAX_COHERENCE)
    ones = np.ones_like(windows[0].power)
    planes = sum(int(one.planes[0]) for one in windows)
    frequencies = sum_rings(ones, size)[0] * max(1, planes)
    # What independent noise would show; each frequency and its mirror are one.
    chance = np.sqrt(2 * TAPER_LOSS / np.maximum(frequencies, 1))
    coherence = np.where(coherence > 2 * chance, coherence, 0.0)
    weights = np.zeros(RINGS + 1)
    weights[:RINGS] = coherence / (1 - coherence**2) * frequencies / power / TAPER_LOSS
    gain = weights[ring_numbers(size)].astype(np.float32) * np.prod(size)
    return [one.cross[0] * gain for one in windows]


def _derive(
    spectrum: Spectrum, size: tuple[int, int], shift_px: Floats
) -> tuple[Floats, Floats]:
    """Give gradient and negative Hessian of a correlation; the latter not negative."""
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
