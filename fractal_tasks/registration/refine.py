"""Finding the peak that windows share, and how far it stands out."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
import numpy.typing as npt
from scipy import fft

from fractal_tasks.registration.spectra import (
    TINY,
    CrossSpectra,
    Spectrum,
    band_pass_filter,
    banded_energy,
    evaluate,
)
from fractal_tasks.transforms import FloatArray

_MOST_SIMILAR = 1 - 1e-6
"""Fisher's z of equal planes would be infinite, and hide how many of them meet."""


_INTERPOLATION, _OTHER_PLANES = 0.05, 0.5
"""Standard error, in planes, of a parabola through three values: a curve is none, and
at the next shift one of the planes that meet is another one, which matters the more the
fewer they are. The second is divided by their number. About what synthetic stacks of 2
to 15 planes show."""

_UNKNOWN = 0.5
"""Standard error, in planes, where there are no such three: at the end of a stack."""


@dataclass(frozen=True)
class Depth:
    """Where z peaks, in planes from the one where most is known."""

    planes: float
    error: float
    """Standard error."""


@dataclass(frozen=True)
class Peak:
    """The shift that windows share."""

    plane: int
    """Position among the plane shifts."""

    depth: "Depth | None"
    """Where z peaks; None of single planes, which have nowhere to go."""

    shift_px: tuple[int, int]
    """Whole pixels in y and x, moving to fixed."""


def find_peak(
    windows: Sequence[CrossSpectra],
    weigh: Callable[[CrossSpectra], Spectrum],
    reach_px: tuple[int, int],
) -> Peak:
    """Find the best shift within reach.

    References:
        Fisher, Metron 1, 3 (1921): the distribution of correlations.

    Args:
        windows: At least one; all of one size.
        weigh: How the method weighs the frequencies of cross-power spectra.
        reach_px: Largest shift in y and x.
    """
    spectra = reduce(add, windows)
    weighted = weigh(spectra)
    # Beyond half a window a shift is that of the other direction, wrapped around.
    limits = [min(r, (n - 1) // 2) for r, n in zip(reach_px, spectra.size, strict=True)]
    rows, columns = (np.arange(-limit, limit + 1) for limit in limits)
    near = fft.irfft2(weighted, spectra.size)[:, rows[:, None], columns]
    # y and x first, by the highest peak of all plane shifts; then z at this place, by
    # what the planes have in common. Whitened peaks do not tell planes apart: they are
    # as high for few planes as for many.
    _, row, column = np.unravel_index(near.argmax(), near.shape)
    y, x = int(rows[row]), int(columns[column])
    if len(weighted) == 1:
        return Peak(0, None, (y, x))
    energy = banded_energy(spectra) + TINY
    similarity = _correlate_planes(spectra, y, x) / energy
    # The fewer planes meet, the more they agree by chance. Fisher's z, the atanh of a
    # correlation, has a spread that depends on their number only, as 1 / sqrt(planes).
    bounded = np.clip(similarity, -_MOST_SIMILAR, _MOST_SIMILAR)
    significance = np.arctanh(bounded) * np.sqrt(spectra.planes)
    best = int(significance.argmax())
    # It favours many planes, so the top of the similarity may be the next one.
    first = max(0, best - 1)
    top = first + int(similarity[first : best + 2].argmax())
    around = slice(max(0, top - 1), top + 2)
    shares = [
        _correlate_planes(one.at(around), y, x) / energy[around] for one in windows
    ]
    if len(shares[0]) < 3 or not spectra.planes[around].all():
        return Peak(best, Depth(float(top - best), _UNKNOWN), (y, x))
    depth = find_depth(np.array(shares), spectra.planes[top] / len(windows))
    return Peak(best, Depth(top - best + depth.planes, depth.error), (y, x))


def _correlate_planes(spectra: CrossSpectra, y: int, x: int) -> FloatArray:
    """Give the band-passed covariance at a place, per plane shift."""
    banded = spectra.cross * band_pass_filter(spectra.size)
    values = [evaluate(one, spectra.size, [y], [x]).item() for one in banded]
    return np.array(values, dtype=np.float64)


def find_depth(shares: FloatArray, planes_that_meet: float) -> Depth:
    """Find where similarity peaks between planes, and how exact that is.

    Args:
        shares: What each window adds to the similarity at three plane shifts, of which
            the middle one is the highest; shape ``(n, 3)``.
        planes_that_meet: Their number at the middle one.

    Returns:
        In planes from the middle one. What windows differ in tells the standard error:
        a flat curve, as of few planes, makes the same difference a large one.
    """
    planes = find_vertex(shares.sum(axis=0), 1)
    slopes = (shares[:, 2] - shares[:, 0]) / 2
    bends = 2 * shares[:, 1] - shares[:, 0] - shares[:, 2]
    # At the vertex the slopes add up to 0, but each window's own is off from it.
    count = len(shares)
    square = float(((slopes - planes * bends) ** 2).sum()) * count / max(1, count - 1)
    bend = float(bends.sum())
    if count == 1 or bend <= 0:
        return Depth(planes, _UNKNOWN)
    few = _OTHER_PLANES / planes_that_meet
    error = math.hypot(_INTERPOLATION, few, math.sqrt(square) / bend)
    return Depth(planes, min(error, _UNKNOWN))


def find_vertex(values: npt.NDArray[np.floating], top: int) -> float:
    """Find the vertex of the parabola at a maximum, relative to it, in steps.

    Args:
        values: Equidistant.
        top: Index of the maximum.

    Returns:
        -1/2 to 1/2; 0 at either end, where there is nothing to compare with.

    Example:
        >>> find_vertex(np.array([1.0, 4.0, 3.0]), 1)
        0.25
    """
    if not 0 < top < len(values) - 1:
        return 0.0
    before, at, after = (float(value) for value in values[top - 1 : top + 2])
    curvature = before - 2 * at + after
    if curvature >= 0:
        return 0.0
    return min(0.5, max(-0.5, 0.5 * (before - after) / curvature))
