"""Windows in Fourier space: their cross-power spectra and what is read off them.

Two windows ``(z, y, x)`` are compared in Fourier space in y and x, and plane by plane
in z: so z needs neither padding nor a taper, and may be short. Spectra are halves, as
real transforms give them: shape ``(..., y, x / 2 + 1)``.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import scipy

from fractal_tasks.registration.patch import Pixels
from fractal_tasks.registration.prepare import fill_invalid, remove_outliers
from fractal_tasks.transforms import FloatArray

Spectrum: TypeAlias = npt.NDArray[np.complex64]
Steps: TypeAlias = npt.NDArray[np.floating] | list[float]

TINY = np.float32(np.finfo(np.float32).tiny)
"""Added to divisors: changes none but 0."""

RINGS = 32
"""Bands of equal width between frequency 0 and the highest, 1/2 per pixel. In the
smallest window (128 pixels) a band is then 2 frequencies wide."""

_NARROW_RINGS = 4 * RINGS
"""The same where each has one power, which may fall steeply from the lowest."""

TAPER_LOSS = 2.25
"""Equivalent noise bandwidth of a Hann taper in y and x, 1.5 each (Harris, Proc. IEEE
66, 51 (1978), doi:10.1109/PROC.1978.10837): a window has so many times fewer
independent frequencies than pixels."""

_SHARP_PX = 2.0
"""Sigma of the low-pass of whitened spectra: finer detail is mostly noise, which would
count as much as the signal. It is also that of the peak."""

_BAND_PX = 1.5, 12.0
"""Sigmas of the band-pass of spectra that are not whitened: the finer takes out pixel
noise, the wider illumination and out-of-focus light."""


@dataclass(frozen=True)
class CrossSpectra:
    """How windows correlate, for each shift of planes that was compared."""

    cross: Spectrum
    """Cross-power spectra, shape ``(plane shifts, y, x / 2 + 1)``."""

    power: Pixels
    """Sum of the amplitudes of each plane and window, same shape."""

    fixed_power: FloatArray
    """Power of the fixed planes that met, shape ``(plane shifts, RINGS)``."""

    moving_power: FloatArray
    """The same of the moving planes."""

    planes: npt.NDArray[np.intp]
    """Number of planes that met, per plane shift."""

    size: tuple[int, int]
    """Shape ``(y, x)`` of a window."""

    def __add__(self, other: "CrossSpectra") -> "CrossSpectra":
        """Combine the evidence of windows of one size."""
        return CrossSpectra(
            self.cross + other.cross,
            self.power + other.power,
            self.fixed_power + other.fixed_power,
            self.moving_power + other.moving_power,
            self.planes + other.planes,
            self.size,
        )

    def __rmul__(self, contrast: float) -> "CrossSpectra":
        """Multiply the correlation by 1 or, for inverted contrast, by -1."""
        return replace(self, cross=np.float32(contrast) * self.cross)

    def at(self, plane_shifts: slice) -> "CrossSpectra":
        """Give some of the plane shifts only."""
        return CrossSpectra(
            self.cross[plane_shifts],
            self.power[plane_shifts],
            self.fixed_power[plane_shifts],
            self.moving_power[plane_shifts],
            self.planes[plane_shifts],
            self.size,
        )


def correlate_windows(
    fixed: Pixels, moving: Pixels, plane_shifts: npt.NDArray[np.intp]
) -> CrossSpectra:
    """Correlate two windows in y and x, summed over the planes that meet.

    Args:
        fixed: Window of the reference, shape ``(z, y, x)``; NaN marks invalid pixels.
        moving: Window of the other image, same shape in y and x.
        plane_shifts: Indices of the fixed plane that the first moving plane meets.
    """
    size = fixed.shape[1], fixed.shape[2]
    first, second = _transform(fixed), _transform(moving)
    powers = [sum_rings(np.abs(side) ** 2, size) for side in (first, second)]
    cross = np.zeros((len(plane_shifts), *first.shape[1:]), np.complex64)
    power = np.zeros(cross.shape, np.float32)
    ring_powers = np.zeros((2, len(plane_shifts), RINGS))
    planes = np.zeros(len(plane_shifts), np.intp)
    for index, shift in enumerate(plane_shifts):
        # Fixed planes that meet one: moving plane p lies at fixed plane p + shift.
        start = max(0, shift)
        stop = max(start, min(len(first), len(second) + shift))
        for plane in range(start, stop):
            product = first[plane] * second[plane - shift].conj()
            cross[index] += product
            power[index] += np.abs(product)
        planes[index] = stop - start
        ring_powers[0, index] = powers[0][start:stop].sum(axis=0)
        ring_powers[1, index] = powers[1][start - shift : stop - shift].sum(axis=0)
    return CrossSpectra(cross, power, ring_powers[0], ring_powers[1], planes, size)


def _transform(window: Pixels) -> Spectrum:
    """Give the spectrum of each plane, tapered (Hann) so that no border is seen."""
    # Invalid pixels get what is around them: as 0 they would be edges, alike in both
    # images where the camera masks the same pixels.
    window = fill_invalid(remove_outliers(window))
    centred = window - window.mean(axis=(1, 2), keepdims=True)
    tapers = [
        np.sin(np.pi * (np.arange(n, dtype=np.float32) + 0.5) / n) ** 2
        for n in window.shape[1:]
    ]
    centred *= np.multiply.outer(*tapers)
    spectrum: Spectrum = scipy.fft.rfft2(centred, overwrite_x=True)
    return spectrum


def whiten(spectra: CrossSpectra, among: CrossSpectra | None = None) -> Spectrum:
    """Keep the phases that windows and planes agree on, with a Gaussian low-pass.

    One plane of one window gives phase correlation; of several, a frequency counts the
    less the more their phases differ.

    Args:
        spectra: What is whitened.
        among: The sum of several, `spectra` being one of them: it then counts by its
            share of the power, so that a window without signal hardly counts.
    """
    power = (spectra if among is None else among).power
    whitened: Spectrum = spectra.cross * (_low_pass(spectra.size) / (power + TINY))
    return whitened


@lru_cache(maxsize=8)
def _low_pass(size: tuple[int, int]) -> Pixels:
    """Give the gain of the Gaussian that cuts off noise, for a half spectrum."""
    gain: Pixels = np.exp(-2 * (np.pi * _SHARP_PX) ** 2 * _squared_frequency(size))
    return gain


def band_pass_filter(size: tuple[int, int]) -> Pixels:
    """Give the gain of power in a difference of Gaussians, for a half spectrum."""
    gain: Pixels = _band_gain(_squared_frequency(size))
    return gain


def _band_gain(squared_frequency: npt.NDArray[np.floating]) -> Pixels:
    """Give the squared gain of a difference of Gaussians: spectra here are powers."""
    fine, wide = (
        np.exp(-2 * (np.pi * sigma) ** 2 * squared_frequency) for sigma in _BAND_PX
    )
    gain: Pixels = (fine - wide) ** 2
    return gain


def banded_energy(spectra: CrossSpectra) -> FloatArray:
    """Give the band-passed covariance that equal windows would have, per plane shift.

    In the units of `evaluate` of the band-passed cross-power spectrum.
    """
    # At the middle frequency of each ring.
    gain = _band_gain(((np.arange(RINGS) + 0.5) / (2 * RINGS)) ** 2)
    energies = spectra.fixed_power @ gain, spectra.moving_power @ gain
    energy: FloatArray = np.sqrt(energies[0] * energies[1]) / np.prod(spectra.size)
    return energy


@lru_cache(maxsize=8)
def _squared_frequency(size: tuple[int, int]) -> Pixels:
    """Give the squared frequencies (cycles per pixel) of a half spectrum."""
    squared = (
        scipy.fft.fftfreq(size[0])[:, None] ** 2 + scipy.fft.rfftfreq(size[1]) ** 2
    )
    frequencies: Pixels = squared.astype(np.float32)
    return frequencies


@lru_cache(maxsize=16)
def ring_numbers(size: tuple[int, int], rings: int = RINGS) -> npt.NDArray[np.intp]:
    """Give the ring of each frequency of a half spectrum; `rings` beyond the last."""
    numbers = (np.sqrt(_squared_frequency(size)) * 2 * rings).astype(np.intp)
    return np.minimum(numbers, rings)


def even_out(power: Pixels, size: tuple[int, int], times: float) -> Pixels:
    """Give what each frequency is to be multiplied by so that none rules its ring.

    Args:
        power: Of each frequency, a half spectrum ``(y, x / 2 + 1)``.
        size: Shape of the window.
        times: So many times the median of a ring is what one frequency may have.
    """
    order, starts = _sort_by_ring(size)
    usual = np.concatenate(
        [
            np.full(len(ring), np.median(ring), np.float32)
            for ring in np.split(power.ravel()[order], starts)
        ]
    )
    limit = np.empty_like(power)
    limit.ravel()[order] = np.float32(times) * usual
    damping: Pixels = np.minimum(1, limit / (power + TINY))
    return damping


@lru_cache(maxsize=8)
def _sort_by_ring(
    size: tuple[int, int],
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Give the order of frequencies by narrow ring, and where the next rings start."""
    numbers = ring_numbers(size, _NARROW_RINGS).ravel()
    order = np.argsort(numbers, kind="stable")
    return order, np.flatnonzero(np.diff(numbers[order])) + 1


def sum_rings(values: Pixels, size: tuple[int, int]) -> FloatArray:
    """Add up a half spectrum over the rings of the whole one, per plane."""
    rings = ring_numbers(size).ravel()
    sums = np.empty((len(values), RINGS))
    for plane, total in zip(values, sums, strict=True):
        weights = (plane * column_counts(size[1])).ravel()
        total[:] = np.bincount(rings, weights, RINGS + 1)[:RINGS]
    return sums


@lru_cache(maxsize=8)
def column_counts(width: int) -> Pixels:
    """Give how often each column of a half spectrum occurs in the whole one."""
    counts = np.full(width // 2 + 1, 2, np.float32)
    counts[0] = 1
    if width % 2 == 0:
        counts[-1] = 1
    return counts


def evaluate(
    spectrum: Spectrum, size: tuple[int, int], y: Steps, x: Steps
) -> npt.NDArray[np.floating]:
    """Give the correlation at the shifts `y` by `x`, which need not be whole pixels.

    References:
        Guizar-Sicairos et al., Opt. Lett. 33, 156 (2008), doi:10.1364/OL.33.000156
        (the transform by matrix products).
    """
    # Few shifts are wanted, so two small matrices are cheaper than an inverse transform
    # of a padded spectrum, and the shifts need not lie on its grid.
    rows = np.exp(2j * np.pi * np.outer(y, scipy.fft.fftfreq(size[0])))
    columns = np.exp(2j * np.pi * np.outer(scipy.fft.rfftfreq(size[1]), x))
    columns *= column_counts(size[1])[:, None]
    partial = rows.astype(np.complex64) @ spectrum
    values: npt.NDArray[np.floating] = (partial @ columns).real / np.prod(size)
    return values


def surface_noise(spectrum: Spectrum, size: tuple[int, int]) -> float:
    """Give the standard deviation of a whole correlation, by Parseval's theorem."""
    power = np.abs(spectrum) ** 2 * column_counts(size[1])
    return float(np.sqrt(power.sum(dtype=np.float64)) / np.prod(size))


def evaluate_around(
    spectrum: Spectrum, size: tuple[int, int], centre: tuple[int, int], reach: int
) -> npt.NDArray[np.floating]:
    """Give the correlation at whole-pixel shifts up to `reach` around `centre`."""
    rows, columns = (np.arange(at - reach, at + reach + 1) for at in centre)
    surface: npt.NDArray[np.floating] = scipy.fft.irfft2(spectrum, size)
    return surface[np.ix_(rows % size[0], columns % size[1])]
