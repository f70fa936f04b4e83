"""The grid of pixels of an image, and the one that it gets when it is registered.

The registered image of an acquisition lies where the reference lies and is as large,
at its own pixel size. An image of a single plane has no z to compare: beside it, each
acquisition keeps its planes.
"""

from dataclasses import dataclass, replace

import numpy as np

from fractal_tasks.transforms import Vector
from fractal_tasks.transforms.boxes import PixelBox, as_triple

_TOLERANCE_PX = 1e-6
"""A border that is nearer to a whole pixel than this is one: sizes of pixels are
stored with rounding."""


@dataclass(frozen=True)
class Grid:
    """The pixels of an image at level 0, and where its metadata say that they lie."""

    shape: tuple[int, int, int]
    spacing_um: Vector
    origin_um: Vector = (0.0, 0.0, 0.0)
    """The translation in the metadata, e.g. the position of the stage."""

    origin_px: Vector = (0.0, 0.0, 0.0)
    """How many pixels the translation grows by as pixels do: 0 where it tells the first
    corner, 0.5 where it tells the centre of the first pixel."""

    @property
    def is_flat(self) -> bool:
        """Whether there is a single plane."""
        return self.shape[0] == 1

    def origin_of(self, spacing_um: Vector) -> Vector:
        """Give the translation of a level with another pixel size."""
        grown_um = np.subtract(spacing_um, self.spacing_um)
        z, y, x = np.add(self.origin_um, np.multiply(self.origin_px, grown_um)).tolist()
        return z, y, x

    def registered_to(self, reference: "Grid", *, keeps_size: bool = True) -> "Grid":
        """Give the grid that this one has after registration to a reference.

        Args:
            reference: Where it then lies.
            keeps_size: Whether its pixels keep their size, and do not get that of the
                reference.
        """
        keeps_planes = self.is_flat or reference.is_flat
        z_um, y_um, x_um = (self if keeps_size else reference).spacing_um
        spacing_um = self.spacing_um[0] if keeps_planes else z_um, y_um, x_um
        whole = PixelBox((0, 0, 0), reference.shape)
        shape = box_on_grid(whole, reference, replace(self, spacing_um=spacing_um)).stop
        origin_um = reference.origin_of(spacing_um)
        origin_px = reference.origin_px
        if keeps_planes:
            origin_um = (self.origin_um[0], *origin_um[1:])
            origin_px = (self.origin_px[0], *origin_px[1:])
        z, y, x = np.maximum(shape, 1).tolist()
        return Grid((z, y, x), spacing_um, origin_um, origin_px)

    def on_spacing(self, spacing_um: Vector) -> "Grid":
        """Give the whole pixels of another size that lie in it."""
        other = replace(self, spacing_um=spacing_um)
        shape = box_on_grid(PixelBox((0, 0, 0), self.shape), self, other).stop
        z, y, x = np.maximum(shape, 1).tolist()
        origin_um = self.origin_of(spacing_um)
        return Grid((z, y, x), spacing_um, origin_um, self.origin_px)


def box_on_grid(box: PixelBox, grid: Grid, other: Grid) -> PixelBox:
    """Give the whole pixels of `other` that lie inside a box of `grid`.

    All planes of `other` if one of both has a single one.
    """
    start, stop = box.start, box.stop
    if not np.allclose(grid.spacing_um, other.spacing_um, rtol=1e-6, atol=0):
        ratio = np.divide(grid.spacing_um, other.spacing_um)
        start = as_triple(np.ceil(np.multiply(start, ratio) - _TOLERANCE_PX))
        stop = as_triple(np.floor(np.multiply(stop, ratio) + _TOLERANCE_PX))
    if grid.is_flat or other.is_flat:
        start, stop = (0, *start[1:]), (other.shape[0], *stop[1:])
    return PixelBox(start, stop)
