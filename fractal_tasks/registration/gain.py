"""Whether a transform that allows more explains two images clearly better."""

import math
from collections.abc import Iterator
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from fractal_tasks.registration.mapped import MappedPatch
from fractal_tasks.registration.patch import Box, Patch, Pixels
from fractal_tasks.registration.prepare import fill_invalid
from fractal_tasks.transforms import Affine, FloatArray

_WINDOW_PX = 8, 64, 64
"""Windows of some structures (z, y, x): smaller ones would often show none."""

_PER_SIDE, _LEAST_PX = 4, 16
"""In small ROIs they are smaller, so that there are so many along y and x: few
differences tell nothing. But not below so many pixels."""

_MOST = 3, 8, 8
"""So many windows along each axis at most, spread evenly."""

_LEAST_WINDOWS = 3.0
"""Fewer differences, counted by their weights, have no spread to speak of."""

_LEAST_VALID = 0.5
"""Part of a window (0 to 1) that all must see."""

_CLEAR_ERRORS = 2.0
"""A mean that is so many standard errors above 0 is so by chance in 1 of 40."""

_SMOOTH_PX = 1.0
"""Of a Gaussian along each axis: less noise, and differences of cells stay."""

_SEED = 0


def is_clear_gain(
    fixed: Patch, moving: Patch, before: Affine, after: Affine, *, contrast: float
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
        contrast: 1, or -1 if the contrast of one image is inverted.
    """
    random = np.random.default_rng(_SEED)
    # A single plane has no other to interpolate with.
    axes = np.array((fixed.shape[0] > 1 and moving.shape[0] > 1, True, True))
    still = Affine.of(np.eye(3), np.zeros(3))
    gains, weights = [], []
    for box in _spread_windows(fixed.shape):
        apart = Affine.of(np.eye(3), axes * random.random(3) * fixed.spacing_um)
        pairs = (fixed, still), (moving, before), (moving, after)
        windows = [
            MappedPatch(patch, apart.after(transform), fixed.shape).read(box)
            for patch, transform in pairs
        ]
        valid = np.logical_and.reduce([np.isfinite(window) for window in windows])
        if valid.mean() >= _LEAST_VALID:
            ours, old, new = (_standardise(window, valid) for window in windows)
            was, becomes = (contrast * float(np.mean(ours * one)) for one in (old, new))
            gains.append(becomes - was)
            weights.append(max(was, becomes, 0.0) ** 2)
    return _is_clear(np.array(gains), np.array(weights))


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


def _spread_windows(shape: tuple[int, ...]) -> Iterator[Box]:
    """Spread windows evenly over a volume."""
    planes, *widths = _WINDOW_PX
    sides = [
        max(_LEAST_PX, min(width, length // _PER_SIDE))
        for width, length in zip(widths, shape[1:], strict=True)
    ]
    return product(*map(_spread, shape, (planes, *sides), _MOST))


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
    smooth = ndimage.gaussian_filter(filled, _SMOOTH_PX)
    values: FloatArray = smooth[valid].astype(np.float64)
    values -= values.mean()
    scale = math.sqrt(float(np.mean(values**2)))
    return values / scale if scale else values
