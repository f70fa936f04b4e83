"""How much the images support a shift, and the confidence that follows from it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
import scipy

from fractal_tasks.registration.motion import Motion
from fractal_tasks.registration.spectra import (
    CrossSpectra,
    evaluate,
    surface_noise,
    whiten,
)
from fractal_tasks.transforms import FloatArray

_PEAK_RADIUS_PX = 8
"""Shifts around a whitened peak that belong to it: 4 of its standard deviations, as
whitened spectra are smoothed by a Gaussian of 2 pixels (`spectra`)."""

_CLEAR_SDS = 8.0
"""A window's own peak must be so many standard deviations of its surface higher than
the common one to contradict it. In noise the highest of 17 x 17 values is about 3 above
their mean, and the value at one place is seldom 3 below it; the rest is margin."""

_DOUBTFUL_SDS = 1.0
"""And so many make it doubtful: of images that only moved it is the common one itself
that is highest."""

_NO_HEIGHT, _NO_WEIGHT = 1e-6, 1e-30
"""Least divisors, where there is no signal. The whitened peak of equal windows is 0.04
high: 1 / (2 pi 2^2), by the Gaussian of 2 pixels."""

_INTERCEPT, _PER_LOG_RATIO, _PER_LOG_LEAD = -3.2, 1.75, 4.5
"""Logistic regression of "right within 1 px, given the standard error", by
benchmarks/accuracy/calibrate.py."""

_WEAKEST, _STRONGEST = 0.1, 15.0
"""Ratios beyond these say no more: full resolution alone convinces nobody."""


@dataclass(frozen=True)
class Evidence:
    """What speaks for a shift, each compared with what chance gives on this very pair.

    At any other shift the images cannot match, so the values there are the null
    distribution, and their highest is what the best shift has to surpass. The names are
    explained in `EVIDENCE`.
    """

    ratio: float
    """Height of the peak at full resolution over the highest one elsewhere."""

    lead: float
    """Significance at low resolution over the highest one elsewhere."""

    dissent: float
    """Part of the windows (0 to 1, by height of their peaks) that clearly show another
    shift."""

    error_px: float
    """Standard error of the shift, if the peak is the right one."""

    @property
    def logs(self) -> tuple[float, float]:
        """Natural logarithms of ratio and lead, within the limits of what they say."""
        ratio, lead = (
            math.log(min(max(value, _WEAKEST), _STRONGEST))
            for value in (self.ratio, self.lead)
        )
        return ratio, lead

    @property
    def confidence(self) -> float:
        """Probability (0 to 1) that the peak is the right one.

        How exact it then is, is the business of the standard error alone.
        """
        log_ratio, log_lead = self.logs
        score = _INTERCEPT + _PER_LOG_RATIO * log_ratio + _PER_LOG_LEAD * log_lead
        return 1 / (1 + math.exp(-score))


@dataclass(frozen=True)
class Dissent:
    """Windows whose own peak is clearly not where it should be.

    Windows count by the height of their peaks, so one that shows nothing hardly counts.
    """

    part: float
    """Of all windows, 0 to 1."""

    spread_px: float
    """Root mean square of how far the peaks of all windows are off along y or x, those
    of the others being where they should be."""

    is_uneven: bool
    """Whether any window may show another shift: reason to look closer."""


def peak_ratio(windows: Sequence[CrossSpectra], shift_px: tuple[float, float]) -> float:
    """Give the height of the whitened peak over the highest value elsewhere, or 0.

    It is whitened whatever the method: only then do the other shifts vary alike, so
    that their highest value is what chance gives.

    Args:
        windows: One plane shift each.
        shift_px: Where the peak is (y, x).
    """
    spectra = reduce(add, windows)
    surface = scipy.fft.irfft2(whiten(spectra)[0], spectra.size)
    rows, columns = (
        np.arange(round(shift) - _PEAK_RADIUS_PX, round(shift) + _PEAK_RADIUS_PX + 1)
        % n
        for shift, n in zip(shift_px, spectra.size, strict=True)
    )
    # A shift between pixels has its highest value on one of the four around it.
    middle = slice(_PEAK_RADIUS_PX - 1, _PEAK_RADIUS_PX + 2)
    height = float(surface[np.ix_(rows[middle], columns[middle])].max())
    surface[np.ix_(rows, columns)] = 0
    return max(0.0, height) / max(float(surface.max()), _NO_HEIGHT)


def find_dissent(
    windows: Sequence[CrossSpectra], centres_px: FloatArray, motion: Motion
) -> Dissent:
    """Find the windows that clearly show another shift, up to 8 pixels away.

    Args:
        windows: One plane shift each.
        centres_px: Centres of the windows from the ROI's centre, shape ``(n, 2)``.
        motion: What the windows share.
    """
    total = reduce(add, windows)
    steps = np.arange(-_PEAK_RADIUS_PX, _PEAK_RADIUS_PX + 1)
    # How far a peak is off, squared, along one of y and x.
    squares = np.add.outer(steps**2, steps**2) / 2
    heights, off, is_uneven = [], [], False
    moves = centres_px @ motion.linear.T + motion.shift_px
    for window, (y, x) in zip(windows, moves, strict=True):
        spectrum = whiten(window, total)[0]
        own = evaluate(spectrum, window.size, y + steps, x + steps)
        noise = surface_noise(spectrum, window.size)
        expected = own[_PEAK_RADIUS_PX, _PEAK_RADIUS_PX]
        is_clear = own.max() - expected > _CLEAR_SDS * noise
        is_uneven |= own.max() - expected > _DOUBTFUL_SDS * noise
        heights.append(max(0.0, float(own.max())))
        off.append(squares.flat[own.argmax()] if is_clear else 0.0)
    weights = np.array(heights) / max(float(np.sum(heights)), _NO_WEIGHT)
    return Dissent(
        part=float(weights @ np.sign(off)),
        spread_px=math.sqrt(float(weights @ off)),
        is_uneven=bool(is_uneven),
    )
