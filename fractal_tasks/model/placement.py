"""Where the pixels of a ROI come from and go to, in whole pixels.

All acquisitions get their boxes from one rounding of each translation to whole
level-0 pixels, so boxes that belong together have the same size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from fractal_tasks.model.grid import Grid, box_on_grid
from fractal_tasks.model.settings import Keep
from fractal_tasks.transforms import Transform, Vector
from fractal_tasks.transforms.boxes import PixelBox, as_triple, round_to_pixels


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

    @property
    def displacement_um(self) -> Vector:
        """How far the transform moves the centre of the ROI."""
        centre_px = np.add(self.box.start, self.box.stop) / 2
        return self.transform.displacement_at(centre_px * self.grid.spacing_um)

    @property
    def shift_px(self) -> tuple[int, int, int]:
        """The displacement in whole level-0 pixels of this image."""
        return round_to_pixels(self.displacement_um, self.grid.spacing_um)

    def shift_onto(self, fixed: Grid) -> tuple[int, int, int]:
        """Give the shift to where `fixed` lies; planes stay beside a single one."""
        z, y, x = self.shift_px
        return (0 if self.grid.is_flat or fixed.is_flat else z), y, x

    @property
    def residual_px(self) -> float:
        """Largest part of the shift, over the axes, that rounding leaves out."""
        exact = np.divide(self.displacement_um, self.grid.spacing_um)
        return float(np.abs(exact - self.shift_px).max())


@dataclass(frozen=True)
class Placement:
    """Which pixels of an acquisition are kept, and where they go."""

    source: PixelBox
    """Pixels to copy, on the acquisition's own grid."""

    destination: PixelBox
    """Where they lie on the registered grid; same size."""

    region: PixelBox
    """The kept region on the registered grid; larger than `destination` if the
    acquisition has not seen all of it."""

    transform: Transform
    """Acquisition to reference, before it was rounded."""

    @classmethod
    def of(
        cls,
        region: PixelBox,
        seen: PixelBox,
        shift_px: tuple[int, int, int],
        transform: Transform,
    ) -> Self:
        """Place what an acquisition has seen of a region.

        Args:
            region: The kept region, on the registered grid.
            seen: What the acquisition has seen, on the registered grid.
            shift_px: From the acquisition's own grid to the registered one.
            transform: The same, exactly.
        """
        destination = region.intersection(seen)
        back = as_triple(np.negative(shift_px))
        return cls(destination.shifted(back), destination, region, transform)

    @property
    def shift_px(self) -> tuple[int, int, int]:
        """From source to destination, in whole pixels (z, y, x)."""
        return as_triple(np.subtract(self.destination.start, self.source.start))

    @property
    def region_source(self) -> PixelBox:
        """The region on the acquisition's own grid; may reach out of its ROI."""
        return self.region.shifted(as_triple(np.negative(self.shift_px)))


def place_views(fixed: View, moving: Sequence[View], keep: Keep) -> list[Placement]:
    """Find the common region of a ROI and where each acquisition's pixels go.

    Args:
        fixed: The reference's view of the ROI.
        moving: The views of the other acquisitions.
        keep: `"intersection"` keeps what all see, which may be empty, but for those
            that are not sure; `"reference"` keeps the whole ROI of `fixed`.

    Returns:
        One placement for `fixed` and for each of `moving`, in this order. Views with
        the pixel size of `fixed` get regions of exactly the same size.
    """
    views = [fixed, *moving]
    shifts = [view.shift_onto(fixed.grid) for view in views]
    seen = [view.box.shifted(by) for view, by in zip(views, shifts, strict=True)]
    region = fixed.box
    if keep == "intersection":
        for view, box in zip(views, seen, strict=True):
            if view.is_sure:
                inside = box_on_grid(box, view.grid, fixed.grid)
                region = region.intersection(inside)
    return [
        Placement.of(
            region=box_on_grid(region, fixed.grid, view.grid),
            seen=box,
            shift_px=by,
            transform=view.transform,
        )
        for view, box, by in zip(views, seen, shifts, strict=True)
    ]
