"""How far a translation leaves places of a ROI off, however the sample was stretched.

Small windows all over the ROI are correlated, each by itself, and a thin-plate spline
is laid through the displacements that they show. That takes as long as the measurement,
and is done where its few large windows do not agree.

References:
    Bookstein, IEEE PAMI 11, 567 (1989), doi:10.1109/34.24792 (thin-plate splines).
"""

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fractal_tasks.registration.measure import Fit, correlate_at
from fractal_tasks.registration.patch import Patch
from fractal_tasks.registration.refine import find_vertex
from fractal_tasks.registration.similarity import Indices
from fractal_tasks.registration.spectra import (
    CrossSpectra,
    evaluate_around,
    surface_noise,
    whiten,
)
from fractal_tasks.registration.windows import Overlap
from fractal_tasks.transforms import FloatArray

if TYPE_CHECKING:
    from scipy.interpolate import RBFInterpolator

_WINDOW_PX = 128
"""Side of a window: within it, a stretch that leaves 6 pixels in a field moves less
than the width of a peak."""

_COUNT = 7
"""Windows along y and along x, at most. They share half their width, or less."""

_PLANES = 4
"""Of a stack, in the middle: more would take long, and hardly show more of y and x."""

_REACH_PX = 32
"""How far from the translation a place may be: a quarter of a window, of which half is
then still in common."""

_CLEAR_SDS = 10.0
"""The peak of a window must be so many standard deviations of its surface high. In
noise the highest of 65 x 65 values is about 4."""

_LEAST_WINDOWS = 12
"""For fewer a spline is no better than a guess."""

_SMOOTHING = 0.1
"""Of the spline, for places in half sides of the ROI; from 0.05 to 0.5 what is left of
warped fields is right within 20 %."""

_SMOOTH = 0.5
"""Of what windows differ from their mean, what the others do not tell must be less than
this. Of noise they tell nothing."""

_OUTLIER_PX, _OUTLIER_MEDIANS = 2.0, 4.0
"""Windows that are farther than both, the latter of all windows, from a turn, scaling
and shear of the whole ROI have wrong peaks."""

_ROUNDS = 5
"""Of leaving such windows out: each time what is left tells better."""


def with_leftover(fixed: Patch, moving: Patch, fit: Fit) -> Fit:
    """Measure what the translation leaves off, if not all windows moved alike."""
    if not fit.is_uneven:
        return fit
    left_px = measure_left_px(fixed, moving, fit.translation_um / fixed.spacing_um)
    # A turn that all windows show is known without.
    return replace(fit, left_px=left_px or fit.left_px or None)


def measure_left_px(fixed: Patch, moving: Patch, shift_px: FloatArray) -> float | None:
    """Give how far the places of a ROI are off, at most, after a translation.

    Args:
        fixed: Volume of the reference at full resolution.
        moving: The other volume, of the same pixel size.
        shift_px: The translation, moving to fixed (z, y, x).

    Returns:
        Pixels in y and x; None where too few windows show anything, or what they show
        is noise.
    """
    start_px = np.rint(shift_px).astype(int)
    overlap = Overlap.of(fixed, moving, start_px)
    corners, size = _choose_corners(overlap)
    if len(corners) < _LEAST_WINDOWS:
        return None
    windows = correlate_at(fixed, moving, size, corners, start_px, 0)
    half = np.array(moving.shape[1:]) / 2
    found = [_find_displacement(one) for one in windows]
    is_clear = np.array([one is not None for one in found])
    if is_clear.sum() < _LEAST_WINDOWS:
        return None
    centres = (np.array(corners) - start_px + size / 2)[is_clear, 1:] / half - 1
    off_px = np.array([one for one in found if one is not None])
    off_px += start_px[1:] - shift_px[1:]
    near = _are_near(centres, off_px)
    centres, off_px = centres[near], off_px[near]
    if not _is_smooth(centres, off_px):
        return None
    spline = _fit(centres, off_px)
    # What both see, in the same coordinates.
    first, last = (
        (side - start_px)[1:] / half - 1 for side in (overlap.first, overlap.last)
    )
    axes = np.linspace(first, last, 2 * _COUNT + 1).T
    places = np.array(list(itertools.product(*axes)))
    return float(np.linalg.norm(spline(places), axis=1).max())


def _choose_corners(overlap: Overlap) -> tuple[list[Indices], Indices]:
    """Spread windows evenly over what both see; give first corners and their size."""
    size = np.minimum(overlap.last - overlap.first, (_PLANES, _WINDOW_PX, _WINDOW_PX))
    last = overlap.last - size
    counts = np.minimum(_COUNT, 2 * (last - overlap.first) // _WINDOW_PX + 1)
    rows, columns = (
        np.rint(np.linspace(overlap.first[axis], last[axis], counts[axis])).astype(int)
        for axis in (1, 2)
    )
    middle = (overlap.first[0] + last[0]) // 2
    return [np.array((middle, y, x)) for y in rows for x in columns], size


def _find_displacement(window: CrossSpectra) -> tuple[float, float] | None:
    """Find the peak of a window; None if nothing stands out clearly."""
    spectrum = whiten(window)[0]
    surface = evaluate_around(spectrum, window.size, (0, 0), _REACH_PX)
    row, column = np.unravel_index(surface.argmax(), surface.shape)
    if not surface[row, column] > _CLEAR_SDS * surface_noise(spectrum, window.size):
        return None
    y = row + find_vertex(surface[:, column], int(row)) - _REACH_PX
    x = column + find_vertex(surface[row], int(column)) - _REACH_PX
    return float(y), float(x)


def _fit(places: FloatArray, off_px: FloatArray) -> "RBFInterpolator":
    # Takes long to import, and is needed for few ROIs.
    from scipy.interpolate import RBFInterpolator

    return RBFInterpolator(places, off_px, smoothing=_SMOOTHING, degree=1)


def _is_smooth(places: FloatArray, off_px: FloatArray) -> bool:
    """Whether windows tell what others show: noise and wrong peaks do not."""
    every = np.arange(len(places))
    told = [_fit(places[every != one], off_px[every != one]) for one in every]
    misses_px = [
        np.linalg.norm(spline(places[[one]])[0] - off_px[one])
        for one, spline in zip(every, told, strict=True)
    ]
    spread_px = np.linalg.norm(off_px - off_px.mean(axis=0), axis=1)
    return bool(np.median(misses_px) < _SMOOTH * np.median(spread_px))


def _are_near(places: FloatArray, off_px: FloatArray) -> npt.NDArray[np.bool_]:
    """Find the windows that show something like what the others show."""
    terms = np.column_stack([np.ones(len(places)), places])
    near = np.ones(len(places), dtype=bool)
    for _ in range(_ROUNDS):
        linear = np.linalg.lstsq(terms[near], off_px[near], rcond=None)[0]
        distances = np.linalg.norm(off_px - terms @ linear, axis=1)
        usual = float(np.median(distances[near]))
        near = distances <= max(_OUTLIER_PX, _OUTLIER_MEDIANS * usual)
    return near
