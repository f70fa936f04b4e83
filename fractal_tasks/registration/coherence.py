"""Weighing frequencies by their coherence: correlation becomes log-likelihood."""

from collections.abc import Sequence
from functools import reduce
from operator import add

import numpy as np

from fractal_tasks.registration.spectra import (
    RINGS,
    TAPER_LOSS,
    CrossSpectra,
    Spectrum,
    even_out,
    ring_numbers,
    sum_rings,
)
from fractal_tasks.transforms import FloatArray

_MAX_COHERENCE = 0.98
"""More cannot be measured in a ring of few frequencies, and would let it decide all."""

_CHANCE_TIMES = 2.0
"""Coherence counts from so many times on what independent noise shows (rms)."""

_RULING_TIMES = 4.0
"""A frequency counts as one of so many times the usual power of its ring. Rows of a
camera that differ are power in few frequencies, and draw all windows alike, so that
scatter does not show it. Noise exceeds this in 1 of 16 frequencies of one window."""

_NO_POWER = 1e-12, 1e-30
"""Power counts as none below this part of the largest, or below this."""


def weigh_by_coherence(
    windows: Sequence[CrossSpectra], shifts_px: Sequence[FloatArray]
) -> list[Spectrum]:
    """Weigh cross-power spectra so that correlation becomes log-likelihood.

    The coherence is measured on the windows themselves, ring by ring of frequency, at
    the shift they are near to.

    Args:
        windows: One plane shift each.
        shifts_px: How far each is shifted, as far as it is known (y, x).
    """
    size = windows[0].size
    power = reduce(add, (one.power[0] for one in windows))
    damping = even_out(power, size, _RULING_TIMES)
    frequency_y = np.fft.fftfreq(size[0])[:, None]
    frequency_x = np.fft.rfftfreq(size[1])
    common = np.zeros(RINGS)
    for one, (y, x) in zip(windows, shifts_px, strict=True):
        # Undoing the shift makes what both images show real and positive.
        ramp = np.multiply(
            np.exp(2j * np.pi * y * frequency_y).astype(np.complex64),
            np.exp(2j * np.pi * x * frequency_x).astype(np.complex64),
        )
        common += sum_rings((one.cross[0] * ramp).real[None] * damping, size)[0]
    fixed_power = reduce(add, (one.fixed_power[0] for one in windows))
    moving_power = reduce(add, (one.moving_power[0] for one in windows))
    power = np.sqrt(fixed_power * moving_power)
    part, least = _NO_POWER
    power = np.maximum(power, max(float(power.max()) * part, least))
    coherence = np.clip(common / power, 0, _MAX_COHERENCE)
    planes = sum(int(one.planes[0]) for one in windows)
    frequencies = sum_rings(np.ones((1, *damping.shape)), size)[0] * max(1, planes)
    # What independent noise would show; each frequency and its mirror are one.
    chance = np.sqrt(2 * TAPER_LOSS / np.maximum(frequencies, 1))
    coherence = np.where(coherence > _CHANCE_TIMES * chance, coherence, 0.0)
    # `power` is a sum over the ring, so |F M*| is g power / frequencies, and one g of
    # the formula cancels. Neighbours in the spectrum of a tapered window are not
    # independent, so each counts for less, by the taper's loss.
    weights = np.zeros(RINGS + 1)
    # What noise is not is alike in neighbouring planes: a stack says no more than one.
    per_plane = frequencies / max(1, planes) * len(windows)
    weights[:RINGS] = coherence / (1 - coherence**2) * per_plane / power / TAPER_LOSS
    # `evaluate` divides by the number of pixels, which the likelihood does not.
    gain = weights[ring_numbers(size)].astype(np.float32) * np.prod(size)
    gain *= damping
    return [one.cross[0] * gain for one in windows]
