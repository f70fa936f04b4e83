"""Choosing and reading the windows on which a shift is measured at full resolution."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from fractal_tasks.registration.coarse import CoarseSearch
from fractal_tasks.registration.patch import MAX_READ_PX, Box, Patch, Pixels
from fractal_tasks.registration.similarity import Indices, Shift, sum_runs

_COUNT_2D, _COUNT_3D = 9, 4
"""Most windows, which bounds the time: 9 of half the width cover a ROI of 1024 pixels.
In stacks each plane counts like a window."""

_LARGEST_2D = 1, 512, 512
_LARGEST_3D = 24, 256, 256
"""Largest windows (z, y, x): 1 and 6 MiB of pixels, so that the spectra of all stay
small. More planes would hardly make y and x more exact."""

_SMALLEST_PX = 128
"""Smaller ones would hold few structures, and half of each is lost to the taper."""


@dataclass(frozen=True)
class Overlap:
    """What two patches both see, in pixels ``(z, y, x)`` of the fixed one."""

    first: Indices
    last: Indices

    @classmethod
    def of(cls, fixed: Patch, moving: Patch, shift_px: Indices) -> Self:
        """Find what both see after a whole-pixel shift (moving to fixed)."""
        return cls(
            np.maximum(0, shift_px), np.minimum(fixed.shape, moving.shape + shift_px)
        )

    @property
    def window(self) -> Indices:
        """Shape of the windows inside."""
        shape = self.last - self.first
        half = np.maximum(shape // 2, (shape[0], _SMALLEST_PX, _SMALLEST_PX))
        largest = _LARGEST_2D if shape[0] == 1 else _LARGEST_3D
        window: Indices = np.minimum(np.minimum(largest, half), shape)
        return window


def choose_windows(
    search: CoarseSearch, guess: Shift, overlap: Overlap, spacing_um: tuple[float, ...]
) -> list[Indices]:
    """Find where the two images have most detail in common.

    Args:
        search: The two images at low resolution.
        guess: Shift in pixels of `search`.
        overlap: What both see at full resolution.
        spacing_um: Pixel size at full resolution.

    Returns:
        First corners of 1 to 9 windows, in full-resolution pixels of the fixed patch;
        two windows share half of their width at most.
    """
    shift = np.array(guess)
    first = np.maximum(0, shift)
    last = np.minimum(search.fixed.shape, search.moving.shape + shift)
    common = search.fixed[tuple(map(slice, first, last))].astype(np.float64)
    # With inverted contrast the sum is negative: by its sign, what matches is positive.
    common *= search.moving[tuple(map(slice, first - shift, last - shift))]
    np.maximum(common * np.sign(common.sum()), 0, out=common)
    scale = search.spacing_um / spacing_um
    width = np.clip(np.ceil(overlap.window / scale).astype(int), 1, common.shape)
    # From here on a value belongs to the window whose first corner it is at.
    for axis, length in enumerate(width):
        starts = np.arange(common.shape[axis] - length + 1)
        common = sum_runs(common, axis, starts, np.full_like(starts, length))
    corners: list[Indices] = []
    apart = np.maximum(width // 2, 1)
    count = _COUNT_2D if overlap.window[0] == 1 else _COUNT_3D
    while len(corners) < count and common.max() > 0:
        top = np.array(np.unravel_index(common.argmax(), common.shape))
        corner = np.rint((first + top) * scale).astype(int)
        corners.append(np.clip(corner, overlap.first, overlap.last - overlap.window))
        around = map(slice, np.maximum(0, top - apart + 1), top + apart)
        common[tuple(around)] = 0
    return corners or [(overlap.first + overlap.last - overlap.window) // 2]


def read_boxes(patch: Patch, boxes: Sequence[Box]) -> Iterator[Pixels]:
    """Read boxes one after the other, or at once if they lie close together.

    A stored chunk is usually larger than a window, and decoding it is what costs.
    """
    first = [min(axis.start for axis in axes) for axes in zip(*boxes, strict=True)]
    last = [max(axis.stop for axis in axes) for axes in zip(*boxes, strict=True)]
    if np.prod(np.subtract(last, first)) > MAX_READ_PX:
        yield from (patch.read(box) for box in boxes)
        return
    pixels = patch.read(tuple(map(slice, first, last)))
    for box in boxes:
        inside = [
            slice(axis.start - f, axis.stop - f)
            for axis, f in zip(box, first, strict=True)
        ]
        yield pixels[tuple(inside)]
