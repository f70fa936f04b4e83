"""Boxes of whole pixels, and how micrometres of a ROI become pixels."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

AXES = ("z", "y", "x")


@dataclass(frozen=True)
class PixelBox:
    """A box of whole pixels, ``start`` inclusive to ``stop`` exclusive (z, y, x)."""

    start: tuple[int, int, int]
    stop: tuple[int, int, int]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of pixels per axis."""
        z, y, x = (b - a for a, b in zip(self.start, self.stop, strict=True))
        return z, y, x

    @property
    def size(self) -> int:
        """Number of pixels in the box; only if it is not empty."""
        return math.prod(self.shape)

    @property
    def is_empty(self) -> bool:
        """Whether there is no pixel in the box."""
        return min(self.shape) <= 0

    def intersection(self, other: "PixelBox") -> "PixelBox":
        """Give the box that both have in common; it may be empty."""
        return PixelBox(
            as_triple(np.maximum(self.start, other.start)),
            as_triple(np.minimum(self.stop, other.stop)),
        )

    def shifted(self, shift_px: tuple[int, int, int]) -> "PixelBox":
        """Give the box moved by whole pixels."""
        return PixelBox(
            as_triple(np.add(self.start, shift_px)),
            as_triple(np.add(self.stop, shift_px)),
        )

    def slices(self, ndim: int = 3) -> tuple[slice, ...]:
        """Give one slice for each of the last `ndim` axes."""
        return tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))[
            -ndim:
        ]

    def to_lists(self) -> list[list[int]]:
        """Give ``[[z0, z1], [y0, y1], [x0, x1]]``, for people to read."""
        return [list(pair) for pair in zip(self.start, self.stop, strict=True)]


def as_triple(values: npt.ArrayLike) -> tuple[int, int, int]:
    """Give three whole numbers as a tuple of ints."""
    z, y, x = (int(value) for value in np.asarray(values))
    return z, y, x


def round_to_pixels(
    values_um: npt.ArrayLike, spacing_um: npt.ArrayLike
) -> tuple[int, int, int]:
    """Round micrometres to the nearest whole pixel, halves up."""
    pixels = np.asarray(values_um, dtype=float) / np.asarray(spacing_um, dtype=float)
    return as_triple(np.floor(pixels + 0.5))


def box_from_um(
    start_um: npt.ArrayLike, length_um: npt.ArrayLike, spacing_um: npt.ArrayLike
) -> PixelBox:
    """Round a box of micrometres to whole pixels.

    Start and length are rounded separately, so that boxes of the same length get the
    same number of pixels wherever they start.
    """
    start = round_to_pixels(start_um, spacing_um)
    shape = round_to_pixels(length_um, spacing_um)
    return PixelBox(start, as_triple(np.add(start, shape)))
