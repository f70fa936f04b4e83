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

_ONE = 1 - 1e-6


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
    _, row, column = np.unravel_index(near.argmax(), near.shape)
    y, x = int(rows[row]), int(columns[column])
    if len(weighted) == 1:
        return Peak(0, 0.0, (y, x))
    banded = spectra.cross * band_pass_filter(spectra.size)
    covariance = [evaluate(one, spectra.size, [y], [x]).item() for one in banded]
    similarity = np.array(covariance) / (banded_energy(spectra) + TINY)
    # The fewer planes meet, the more they agree by chance: compare Fisher's z.
    significance = np.arctanh(np.clip(similarity, -_ONE, _ONE)) * np.sqrt(
        spectra.planes
    )
    best = int(significance.argmax())
    return Peak(best, find_vertex(similarity, best), (y, x))


def find_vertex(values: npt.NDArray[np.floating], top: int) -> float:
    """Find the vertex of the parabola at a maximum, relative to it, in steps."""
    if not 0 < top < len(values) - 1:
        return 0.0
    before, at, after = (float(value) for value in values[top - 1 : top + 2])
    curvature = before - 2 * at + after
    if curvature >= 0:
        return 0.0
    return min(0.5, max(-0.5, 0.5 * (before - after) / curvature))
