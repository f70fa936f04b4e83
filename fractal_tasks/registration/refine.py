"""Measuring a shift exactly, on windows at full resolution.

Two windows ``(z, y, x)`` are compared in Fourier space in y and x, and plane by plane
in z: so z needs neither padding nor a taper, and may be short.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import fft

from fractal_tasks.registration.patch import Pixels
from fractal_tasks.registration.prepare import remove_outliers

Spectrum: TypeAlias = npt.NDArray[np.complex64]
Steps: TypeAlias = npt.NDArray[np.floating] | list[float]

_TINY = np.float32(np.finfo(np.float32).tiny)
_ONE = 1 - 1e-6

_STEP_PX = 0.25
"""Grid on which a peak is evaluated before the last, parabolic, interpolation."""

_SHARP_PX = 2.0
"""Sigma of the low-pass of whitened spectra: finer detail is mostly noise."""

_PEAK_RADIUS_PX = 8
"""Shifts around a whitened peak that belong to it: 4 sigma."""

_BAND_PX = 1.5, 12.0
"""Sigmas of the band-pass of spectra that are not whitened."""


@dataclass(frozen=True)
class CrossSpectra:
    """How windows correlate, for each shift of planes that was compared."""

    cross: Spectrum
    """Cross-power spectra, shape ``(plane shifts, y, x / 2 + 1)``."""

    power: Pixels
    """Sum of the amplitudes of each plane and window, same shape."""

    energy: npt.NDArray[np.float64]
    """Band-passed covariance that equal windows would have, per plane shift."""

    planes: npt.NDArray[np.intp]
    """Number of planes that met, per plane shift."""

    size: tuple[int, int]
    """Shape ``(y, x)`` of a window."""

    def __add__(self, other: "CrossSpectra") -> "CrossSpectra":
        """Combine the evidence of windows of one size."""
        return CrossSpectra(
            self.cross + other.cross,
            self.power + other.power,
            self.energy + other.energy,
            self.planes + other.planes,
            self.size,
        )


@dataclass(frozen=True)
class Peak:
    """The shift found between windows."""

    shift_px: tuple[float, float, float]
    """z: position among the plane shifts; y, x: pixels. Moving to fixed."""

    ratio: float
    """Height over that of the next best peak of the whitened correlation."""

    agreement: float
    """Part of the windows (0 to 1, by height of their peaks) within a pixel of it."""


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
    weights = band_pass_filter(size) * _column_counts(size[1])
    energies = [
        (np.abs(side) ** 2 * weights).sum(axis=(1, 2), dtype=np.float64) / np.prod(size)
        for side in (first, second)
    ]
    cross = np.zeros((len(plane_shifts), *first.shape[1:]), np.complex64)
    power = np.zeros(cross.shape, np.float32)
    energy = np.zeros(len(plane_shifts))
    planes = np.zeros(len(plane_shifts), np.intp)
    for index, shift in enumerate(plane_shifts):
        start = max(0, shift)
        stop = max(start, min(len(first), len(second) + shift))
        for plane in range(start, stop):
            product = first[plane] * second[plane - shift].conj()
            cross[index] += product
            power[index] += np.abs(product)
        both = (
            energies[0][start:stop].sum(),
            energies[1][start - shift : stop - shift].sum(),
        )
        planes[index] = stop - start
        energy[index] = np.sqrt(both[0] * both[1])
    return CrossSpectra(cross, power, energy, planes, size)


def _transform(window: Pixels) -> Spectrum:
    """Give the spectrum of each plane, tapered (Hann) so that no border is seen."""
    window = remove_outliers(window)
    valid = np.isfinite(window)
    counts = np.maximum(valid.sum(axis=(1, 2), keepdims=True), 1)
    means = window.sum(axis=(1, 2), keepdims=True, where=valid) / counts
    centred = np.where(valid, window - means, np.float32(0))
    tapers = [
        np.sin(np.pi * (np.arange(n, dtype=np.float32) + 0.5) / n) ** 2
        for n in window.shape[1:]
    ]
    centred *= np.multiply.outer(*tapers)
    spectrum: Spectrum = fft.rfft2(centred, overwrite_x=True)
    return spectrum


def find_peak(
    windows: Sequence[CrossSpectra],
    weigh: Callable[[CrossSpectra], Spectrum],
    reach_px: tuple[int, int],
) -> Peak:
    """Find the best shift within reach, and how it stands out.

    Args:
        windows: At least one; all of one size.
        weigh: How the method weighs the frequencies of cross-power spectra.
        reach_px: Largest shift in y and x.
    """
    spectra = reduce(add, windows)
    weighted = weigh(spectra)
    limits = [min(r, (n - 1) // 2) for r, n in zip(reach_px, spectra.size, strict=True)]
    rows, columns = (np.arange(-limit, limit + 1) for limit in limits)
    near = fft.irfft2(weighted, spectra.size)[:, rows[:, None], columns]
    plane, row, column = np.unravel_index(near.argmax(), near.shape)
    y, x = _locate(weighted[plane], spectra.size, int(rows[row]), int(columns[column]))
    banded = spectra.cross * band_pass_filter(spectra.size)
    covariance = [_evaluate(one, spectra.size, [y], [x]).item() for one in banded]
    similarity = np.array(covariance) / (spectra.energy + _TINY)
    # The fewer planes meet, the more they agree by chance: compare Fisher's z.
    significance = np.arctanh(np.clip(similarity, -_ONE, _ONE)) * np.sqrt(
        spectra.planes
    )
    best = int(significance.argmax())
    ratio = _stand_out(whiten(spectra)[best], spectra.size, (round(y), round(x)))
    z = best + _find_vertex(similarity, best)
    return Peak((z, y, x), ratio, _agreement(windows, best, y, x))


def _agreement(
    windows: Sequence[CrossSpectra], plane: int, y: float, x: float
) -> float:
    """Give the part of the windows whose own peak is within a pixel of (y, x)."""
    steps = np.arange(-_PEAK_RADIUS_PX, _PEAK_RADIUS_PX + 1)
    agreeing = total = 0.0
    for spectra in windows:
        own = _evaluate(whiten(spectra)[plane], spectra.size, y + steps, x + steps)
        top = np.unravel_index(own.argmax(), own.shape)
        total += float(own[top])
        if np.abs(steps[list(top)]).max() <= 1:
            agreeing += float(own[top])
    return agreeing / total if total > 0 else 0.0


def whiten(spectra: CrossSpectra) -> Spectrum:
    """Keep the phases that windows and planes agree on, with a Gaussian low-pass.

    One plane of one window gives phase correlation; of several, a frequency counts the
    less the more their phases differ.
    """
    low_pass = np.exp(-2 * (np.pi * _SHARP_PX) ** 2 * _squared_frequency(spectra.size))
    whitened: Spectrum = spectra.cross * (low_pass / (spectra.power + _TINY))
    return whitened


def band_pass_filter(size: tuple[int, int]) -> Pixels:
    """Give the gain of power in a difference of Gaussians, for a half spectrum."""
    squared = _squared_frequency(size)
    fine, wide = (np.exp(-2 * (np.pi * sigma) ** 2 * squared) for sigma in _BAND_PX)
    gain: Pixels = (fine - wide) ** 2
    return gain


def _squared_frequency(size: tuple[int, int]) -> Pixels:
    """Give the squared frequencies (cycles per pixel) of a half spectrum."""
    squared = fft.fftfreq(size[0])[:, None] ** 2 + fft.rfftfreq(size[1]) ** 2
    frequencies: Pixels = squared.astype(np.float32)
    return frequencies


def _column_counts(width: int) -> Pixels:
    """Give how often each column of a half spectrum occurs in the whole one."""
    counts = np.full(width // 2 + 1, 2, np.float32)
    counts[0] = 1
    if width % 2 == 0:
        counts[-1] = 1
    return counts


def _locate(
    spectrum: Spectrum, size: tuple[int, int], row: int, column: int
) -> tuple[float, float]:
    """Find the sub-pixel place of the peak next to a whole-pixel shift."""
    steps = np.arange(-1, 1 + _STEP_PX / 2, _STEP_PX)
    values = _evaluate(spectrum, size, row + steps, column + steps)
    i, j = (int(index) for index in np.unravel_index(values.argmax(), values.shape))
    y = row + steps[i] + _STEP_PX * _find_vertex(values[:, j], i)
    x = column + steps[j] + _STEP_PX * _find_vertex(values[i], j)
    return float(y), float(x)


def _evaluate(
    spectrum: Spectrum, size: tuple[int, int], y: Steps, x: Steps
) -> npt.NDArray[np.floating]:
    """Give the correlation at the shifts `y` by `x`, which need not be whole pixels.

    References:
        Guizar-Sicairos et al., Opt. Lett. 33, 156 (2008), doi:10.1364/OL.33.000156
        (the transform by matrix products).
    """
    rows = np.exp(2j * np.pi * np.outer(y, fft.fftfreq(size[0])))
    columns = np.exp(2j * np.pi * np.outer(fft.rfftfreq(size[1]), x))
    columns *= _column_counts(size[1])[:, None]
    partial = rows.astype(np.complex64) @ spectrum
    values: npt.NDArray[np.floating] = (partial @ columns).real / np.prod(size)
    return values


def _find_vertex(values: npt.NDArray[np.floating], top: int) -> float:
    """Find the vertex of the parabola at a maximum, relative to it, in steps."""
    if not 0 < top < len(values) - 1:
        return 0.0
    before, at, after = (float(value) for value in values[top - 1 : top + 2])
    curvature = before - 2 * at + after
    if curvature >= 0:
        return 0.0
    return min(0.5, max(-0.5, 0.5 * (before - after) / curvature))


def _stand_out(
    whitened: Spectrum, size: tuple[int, int], peak: tuple[int, int]
) -> float:
    """Give the height of a peak over the highest value elsewhere, or 0."""
    surface = fft.irfft2(whitened, size)
    surface = np.roll(
        surface, (_PEAK_RADIUS_PX - peak[0], _PEAK_RADIUS_PX - peak[1]), (0, 1)
    )
    around = slice(_PEAK_RADIUS_PX - 1, _PEAK_RADIUS_PX + 2)
    height = float(surface[around, around].max())
    surface[: 2 * _PEAK_RADIUS_PX + 1, : 2 * _PEAK_RADIUS_PX + 1] = 0
    return max(0.0, height) / max(float(surface.max()), 1e-6)
