"""Finding the peak that windows share, and how far it stands out."""

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

_MOST_SIMILAR = 1 - 1e-6
"""Fisher's z of equal planes would be infinite, and hide how many of them meet."""


@dataclass(frozen=True)
class Peak:
    """The shift that windows share."""

    plane: int
    """Position among the plane shifts."""

    fraction: float
    """Where z peaks, in planes from `plane`."""

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
        return Peak(0, 0.0, (y, x))
    banded = spectra.cross * band_pass_filter(spectra.size)
    covariance = [evaluate(one, spectra.size, [y], [x]).item() for one in banded]
    similarity = np.array(covariance) / (banded_energy(spectra) + TINY)
    # The fewer planes meet, the more they agree by chance. Fisher's z, the atanh of a
    # correlation, has a spread that depends on their number only, as 1 / sqrt(planes).
    bounded = np.clip(similarity, -_MOST_SIMILAR, _MOST_SIMILAR)
    significance = np.arctanh(bounded) * np.sqrt(spectra.planes)
    best = int(significance.argmax())
    return Peak(best, find_vertex(similarity, best), (y, x))


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
