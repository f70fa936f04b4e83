"""The pixels that the registered images of a well get."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Self

import numpy as np

from fractal_tasks.model.grid import Grid, box_on_grid
from fractal_tasks.model.settings import OWN_GRID, REFERENCE_GRID
from fractal_tasks.transforms import Transform, Vector
from fractal_tasks.transforms.boxes import PixelBox, as_triple


@dataclass(frozen=True)
class Canvas:
    """Where registered images lie, and what their pixels are."""

    grid: Grid
    """Of the registered reference."""

    pad_px: tuple[int, int, int] = (0, 0, 0)
    """So many of these pixels lie before the first one of the reference image."""

    is_shared: bool = False
    """Whether all images get its pixel size; if not, each keeps its own."""

    @classmethod
    def of(cls, reference: Grid, output_grid: str) -> Self:
        """Make it as large as the reference image.

        Args:
            reference: The pixels of that.
            output_grid: As `OutputGrid` says.
        """
        if output_grid == OWN_GRID:
            return cls(reference)
        if output_grid == REFERENCE_GRID:
            return cls(reference, is_shared=True)
        size_um = float(output_grid)
        spacing_um = (reference.spacing_um[0], size_um, size_um)
        return cls(reference.on_spacing(spacing_um), is_shared=True)

    def around(self, boxes: Iterable[PixelBox]) -> Self:
        """Make it so large that boxes lie in it, which are counted as its pixels."""
        ends = [((0, 0, 0), self.grid.shape), *((box.start, box.stop) for box in boxes)]
        first = np.min([start for start, _ in ends], axis=0)
        shape = as_triple(np.max([stop for _, stop in ends], axis=0) - first)
        z, y, x = (self.grid.origin_um + first * self.grid.spacing_um).tolist()
        grid = replace(self.grid, shape=shape, origin_um=(z, y, x))
        return replace(self, grid=grid, pad_px=as_triple(self.pad_px - first))

    @property
    def first_um(self) -> Vector:
        """Where the first corner of the reference image lies in it."""
        z, y, x = np.multiply(self.pad_px, self.grid.spacing_um).tolist()
        return z, y, x

    def grid_of(self, own: Grid) -> Grid:
        """Give the pixels of the registered image of an acquisition."""
        return _grid_of(self, own)

    def lead(self, transform: Transform) -> Transform:
        """Let a transform lead to points counted from its first corner."""
        if not any(self.pad_px):
            return transform
        return transform.in_frames((0.0, 0.0, 0.0), self.first_um)

    def place(self, box: PixelBox, reference: Grid) -> PixelBox:
        """Give the pixels inside a box of the reference image."""
        z, y, x = self.pad_px
        # Of a single plane, or beside one, it is all planes already.
        has_all_planes = reference.is_flat or self.grid.is_flat
        inside = box_on_grid(box, reference, self.grid)
        return inside.shifted((0 if has_all_planes else z, y, x))


@lru_cache(maxsize=64)
def _grid_of(canvas: Canvas, own: Grid) -> Grid:
    """Asked for each ROI, of which an image may have thousands."""
    return own.registered_to(canvas.grid, keeps_size=not canvas.is_shared)
