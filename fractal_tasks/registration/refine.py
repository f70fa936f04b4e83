"""Finding the peak that windows share, and how far it stands out."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
import numpy.typing as npt
import scipy

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

_UNKNOWN = 1 / math.sqrt(12)
"""Standard error where planes do not tell, over their number: of a uniform distribution
over all shifts at which at least half of them meet. Planes do not tell at the end of a
stack, or with a single window, which has nothing to differ from."""


@dataclass(frozen=True)
class Depth:
    """Where z peaks, in planes from the one where most is known."""

    planes: float
    error: float
    """Standard error; infinite where planes do not tell."""

    def error_among(self, planes: int) -> float:
        """Give the standard error in a stack of so many planes."""
        return min(self.error, _UNKNOWN * planes)


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
    near = scipy.fft.irfft2(weighted, spectra.size)[:, rows[:, None], columns]
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
    # It favours many planes, so the top of the similarity may be the next one; but not
    # the last one: too few planes meet there to be compared, as they all look alike.
    inside = [
        index
        for index in range(max(1, best - 1), min(best + 2, len(similarity) - 1))
        if spectra.planes[index - 1 : index + 2].all()
    ]
    top = max({*inside, best}, key=lambda index: float(similarity[index]))
    if top not in inside:
        return Peak(best, Depth(0.0, math.inf), (y, x))
    around = slice(top - 1, top + 2)
    shares = [
        _correlate_planes(one.at(around), y, x) / energy[around] for one in windows
    ]
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
            the middle one is the highest; shape ``(n, 3)``. If one beside it is higher,
            the answer is half way to that one, and nothing tells how exact.
        planes_that_meet: Their number at the middle one.

    Returns:
        In planes from the middle one. What windows differ in tells the standard error:
        a flat curve, as of few planes, makes the same difference a large one.
    """
    total = shares.sum(axis=0)
    planes = find_vertex(total, 1)
    slopes = (shares[:, 2] - shares[:, 0]) / 2
    bends = 2 * shares[:, 1] - shares[:, 0] - shares[:, 2]
    bend = float(bends.sum())
    count = len(shares)
    if count == 1 or total.argmax() != 1 or bend <= 0:
        return Depth(planes, math.inf)
    # At the vertex the slopes add up to 0, but each window's own is off from it.
    square = float(((slopes - planes * bends) ** 2).sum()) * count / (count - 1)
    few = _OTHER_PLANES / planes_that_meet
    return Depth(planes, math.hypot(_INTERPOLATION, few, math.sqrt(square) / bend))


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
