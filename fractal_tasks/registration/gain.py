"""Whether a transform that allows more explains two images clearly better."""

import math
from collections.abc import Iterable, Iterator
from itertools import product

import numpy as np
import numpy.typing as npt
import scipy

from fractal_tasks.registration.mapped import MappedPatch
from fractal_tasks.registration.patch import Box, Patch, Pixels
from fractal_tasks.registration.prepare import fill_invalid
from fractal_tasks.transforms import Affine, FloatArray, Transform

_WINDOW_PX = 8, 64, 64
"""Windows of some structures (z, y, x): smaller ones would often show none."""

_PER_SIDE, _LEAST_PX = 4, 16
"""In small ROIs they are smaller, so that there are so many along y and x: few
differences tell nothing. But not below so many pixels."""

_MOST = 3, 8, 8
"""So many windows along each axis at most, spread evenly."""

_HELD_OUT_PARTS, _HELD_OUT_PER_SIDE, _HELD_OUT_SHARE = 16, 6, 0.375
"""Windows that are held out are of this part of each side, and so many along it, but
they take no more than this share of it: 14 % of a plane, and less of large ones."""

_LEAST_WINDOWS = 3.0
"""Fewer differences, counted by their weights, have no spread to speak of."""

_LEAST_VALID = 0.5
"""Part of a window (0 to 1) that all must see."""

_CLEAR_ERRORS = 2.0
"""A mean that is so many standard errors above 0 is so by chance in 1 of 40."""

_CHANCES = 4.0
"""A correlation that is so many times that of noise is none by chance."""

_SMOOTH_PX = 1.0
"""Of a Gaussian along each axis: less noise, and differences of cells stay."""

_SEED = 0


def is_clear_gain(
    fixed: Patch,
    moving: Patch,
    before: Transform,
    after: Transform,
    windows: Iterable[Box],
    *,
    contrast: float,
) -> bool:
    """Tell whether images are more similar by one transform than by another.

    Each window tells by how much its correlation rises, and the mean must be clearly
    above 0: of two equal transforms either is better in half of the windows. A window
    weighs by the square of its higher correlation: where nothing is, it is about 0.

    Interpolation blurs, the more the farther it is from a pixel's centre, and blurred
    noise correlates better. So each window is read from both images at places that are
    a random fraction of a pixel away from centres.

    Args:
        fixed: Reference volume.
        moving: The other volume, of the same pixel size. NaN marks invalid pixels.
        before: The simpler transform, moving to fixed.
        after: The other one.
        windows: Where to look.
        contrast: 1, or -1 if the contrast of one image is inverted.
    """
    random = np.random.default_rng(_SEED)
    # A single plane has no other to interpolate with.
    axes = np.array((fixed.shape[0] > 1 and moving.shape[0] > 1, True, True))
    still: Transform = Affine.of(np.eye(3), np.zeros(3))
    gains, weights = [], []
    for box in windows:
        apart = axes * random.random(3) * fixed.spacing_um
        pairs = (fixed, still), (moving, before), (moving, after)
        seen = [
            MappedPatch(
                patch, transform.in_frames(np.zeros(3), apart), fixed.shape
            ).read(box)
            for patch, transform in pairs
        ]
        valid = np.logical_and.reduce([np.isfinite(window) for window in seen])
        if valid.mean() >= _LEAST_VALID:
            ours, old, new = (_standardise(window, valid) for window in seen)
            was, becomes = (contrast * float(np.mean(ours * one)) for one in (old, new))
            gains.append(becomes - was)
            weights.append(max(was, becomes, 0.0) ** 2)
    return _is_clear(np.array(gains), np.array(weights))


def find_unlike(
    fixed: Patch, placed: Patch, windows: Iterable[Box], *, contrast: float
) -> list[Box]:
    """Give the windows in which two images are no more similar than by chance.

    Args:
        fixed: Reference volume.
        placed: The other one where it belongs; NaN marks invalid pixels.
        windows: Where to look; those of which too little is valid do not count.
        contrast: 1, or -1 if the contrast of one image is inverted.
    """
    unlike = []
    for box in windows:
        seen = [patch.read(box) for patch in (fixed, placed)]
        valid = np.isfinite(seen[0]) & np.isfinite(seen[1])
        if valid.mean() >= _LEAST_VALID:
            ours, theirs = (_standardise(window, valid) for window in seen)
            # Noise that a Gaussian went over is as good as so many independent values.
            chance = math.sqrt(4 * math.pi * _SMOOTH_PX**2 / float(valid.sum()))
            if contrast * float(np.mean(ours * theirs)) < _CHANCES * chance:
                unlike.append(box)
    return unlike


def _is_clear(gains: FloatArray, weights: FloatArray) -> bool:
    """Tell whether the weighted mean is clearly above 0."""
    if not weights.any():
        return False
    shares = weights / weights.sum()
    windows = 1 / float(np.sum(shares**2))
    if windows < _LEAST_WINDOWS:
        return False
    mean = float(shares @ gains)
    square = float(shares**2 @ (gains - mean) ** 2) * windows / (windows - 1)
    return mean > _CLEAR_ERRORS * math.sqrt(square)


def spread_windows(shape: tuple[int, ...]) -> Iterator[Box]:
    """Spread windows evenly over a volume, all over a small one."""
    planes, *widths = _WINDOW_PX
    sides = [
        max(_LEAST_PX, min(width, length // _PER_SIDE))
        for width, length in zip(widths, shape[1:], strict=True)
    ]
    return product(*map(_spread, shape, (planes, *sides), _MOST))


def hold_out_windows(shape: tuple[int, ...]) -> Iterator[Box]:
    """Spread windows evenly that are a seventh of a volume at most.

    What is fitted without them is judged by them.
    """
    planes, *widths = _WINDOW_PX
    sides = [
        max(_LEAST_PX, min(width, length // _HELD_OUT_PARTS))
        for width, length in zip(widths, shape[1:], strict=True)
    ]
    counts = (
        min(_HELD_OUT_PER_SIDE, int(_HELD_OUT_SHARE * length / side))
        for side, length in zip(sides, shape[1:], strict=True)
    )
    return product(*map(_spread, shape, (planes, *sides), (_MOST[0], *counts)))


def _spread(length: int, width: int, most: int) -> list[slice]:
    """Spread at most so many runs of pixels that do not overlap."""
    width = min(width, length)
    count = min(most, length // width)
    starts = (np.arange(count) + 0.5) * (length / count) - width / 2
    firsts = np.rint(starts).astype(int).tolist()
    return [slice(first, first + width) for first in firsts]


def _standardise(window: Pixels, valid: npt.NDArray[np.bool_]) -> FloatArray:
    """Give the valid pixels with less noise, mean 0 and mean square 1."""
    filled = fill_invalid(np.where(valid, window, np.float32(np.nan)))
    smooth = scipy.ndimage.gaussian_filter(filled, _SMOOTH_PX)
    values: FloatArray = smooth[valid].astype(np.float64)
    values -= values.mean()
    scale = math.sqrt(float(np.mean(values**2)))
    return values / scale if scale else values
