"""How an acquisition sees a ROI, and on what pixels it is registered."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from fractal_tasks.model.canvas import Canvas
from fractal_tasks.model.grid import Grid
from fractal_tasks.transforms import Transform, Translation, Vector
from fractal_tasks.transforms.boxes import PixelBox, round_to_pixels

_WHOLE_PX = 1e-3
"""Shifts that are nearer to a whole pixel than this are one."""


@dataclass(frozen=True)
class View:
    """How one acquisition sees a ROI."""

    box: PixelBox
    """The ROI in level-0 pixels of its own image."""

    grid: Grid
    """The pixels of that image."""

    transform: Transform
    """Moving to fixed; the identity for the fixed image itself."""

    is_sure: bool = True
    """Whether the transform is known well enough to cost the others any pixels."""

    subpixel: bool = False
    """Whether parts of a pixel are not to be rounded away."""

    registered: Grid | None = None
    """The pixels of the registered image; None: of the same size."""

    def on(self, canvas: Canvas) -> "View":
        """Give the view with a transform that leads to a canvas."""
        return replace(
            self,
            transform=canvas.lead(self.transform),
            registered=canvas.grid_of(self.grid),
        )

    @property
    def displacement_um(self) -> Vector:
        """How far the transform moves the centre of the ROI."""
        centre_px = np.add(self.box.start, self.box.stop) / 2
        return self.transform.displacement_at(centre_px * self.grid.spacing_um)

    @cached_property
    def shift_px(self) -> tuple[int, int, int]:
        """The displacement in whole level-0 pixels of this image."""
        return round_to_pixels(self.displacement_um, self.grid.spacing_um)

    def shift_onto(self, fixed: Grid) -> tuple[int, int, int]:
        """Give the shift to where `fixed` lies; planes stay beside a single one."""
        z, y, x = self.shift_px
        return (0 if self.grid.is_flat or fixed.is_flat else z), y, x

    @property
    def is_copied(self) -> bool:
        """Whether whole pixels are moved; if not, they are interpolated."""
        if not isinstance(self.transform, Translation) or self._changes_size:
            return False
        return not self.subpixel or self._rounded_px < _WHOLE_PX

    @property
    def residual_px(self) -> float:
        """Largest part of the shift, over the axes, that rounding leaves out."""
        return self._rounded_px if self.is_copied else 0.0

    @property
    def _changes_size(self) -> bool:
        """Whether pixels of the registered image are of another size."""
        if self.registered is None:
            return False
        sizes_um = self.registered.spacing_um, self.grid.spacing_um
        return not np.allclose(*sizes_um, rtol=1e-6, atol=0)

    @property
    def _rounded_px(self) -> float:
        exact = np.divide(self.displacement_um, self.grid.spacing_um)
        return float(np.abs(exact - self.shift_px).max())
