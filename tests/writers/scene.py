"""What is under the microscope, and what a camera sees of it: the truth of plates."""

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

Pixels = npt.NDArray[Any]

PIXEL_UM = 0.5
FIELD_PX = 96
SIZE_PX = (FIELD_PX, 2 * FIELD_PX)
"""Of the reference (y, x): two fields beside each other."""

SHIFT_PX = (4, -6)
"""How far the acquisition sees everything moved (y, x); even, so that it is whole
pixels of a binned camera, too."""

OFFSET, MASK_LEVEL = 100, 300
_MARGIN_PX = 32


@cache
def _plane(seed: int) -> Pixels:
    """Make cells on a plane that is larger than any view of it."""
    rng = np.random.default_rng(seed)
    shape = tuple(size + 2 * _MARGIN_PX for size in SIZE_PX)
    plane = np.zeros(shape)
    for sigma in (2.0, 3.0):
        points = np.zeros(shape)
        count = points.size // 400
        places = tuple(rng.integers(0, size, count) for size in shape)
        points[places] = rng.uniform(0.5, 1.5, count)
        plane += gaussian_filter(points, sigma) * 2 * np.pi * sigma**2
    return plane


def ideal_view(
    seed: int,
    *,
    moved_px: tuple[int, int] = (0, 0),
    start_px: tuple[int, int] = (0, 0),
    size_px: tuple[int, int] = SIZE_PX,
    binning: int = 1,
) -> Pixels:
    """Give what a camera without noise sees.

    Args:
        seed: Of the stain.
        moved_px: How far the sample is moved (y, x).
        start_px: First corner of the view.
        size_px: Its size, before binning.
        binning: Pixels of the camera that are read as one, along y and x.
    """
    y, x = np.array(start_px) + _MARGIN_PX - np.array(moved_px)
    height, width = size_px
    part = OFFSET + 400 * _plane(seed)[y : y + height, x : x + width]
    blocks = part.reshape(height // binning, binning, width // binning, binning)
    view: Pixels = blocks.mean(axis=(1, 3))
    return view


def take(view: Pixels, noise_seed: int) -> Pixels:
    """Give what a camera records of it."""
    rng = np.random.default_rng(noise_seed)
    return np.asarray(view + rng.normal(0, 5, view.shape)).astype("uint16")
