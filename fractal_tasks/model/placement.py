"""Where the pixels of a ROI come from and go to, in whole pixels.

All acquisitions get their boxes from one rounding of each translation to whole
level-0 pixels, so boxes that belong together have the same size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from fractal_tasks.model.settings import Keep
from fractal_tasks.transforms import Transform, Vector
from fractal_tasks.transforms.boxes import PixelBox, as_triple, round_to_pixels

_TOLERANCE_PX = 1e-6
"""A border that is nearer to a whole pixel than this is one: sizes of pixels are
stored with rounding."""


@dataclass(frozen=True)
class View:
    """How one acquisition sees a ROI."""

    box: PixelBox
    """The ROI in level-0 pixels of its own image."""

    spacing_um: Vector
    transform: Transform
    """Moving to fixed; the identity for the fixed image itself."""

    is_sure: bool = True
    """Whether the transform is known well enough to cost the others any pixels."""

    @property
    def displacement_um(self) -> Vector:
        """How far the transform moves the centre of the ROI."""
        centre_px = np.add(self.box.start, self.box.stop) / 2
        return self.transform.displacement_at(centre_px * self.spacing_um)

    @property
    def shift_px(self) -> tuple[int, int, int]:
        """The displacement in whole level-0 pixels of this image."""
        return round_to_pixels(self.displacement_um, self.spacing_um)

    @property
    def residual_px(self) -> float:
        """Largest part of the shift, over the axes, that rounding leaves out."""
        exact = np.divide(self.displacement_um, self.spacing_um)
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
    region = fixed.box
    if keep == "intersection":
        for view in moving:
            if not view.is_sure:
                continue
            seen = view.box.shifted(view.shift_px)
            region = region.intersection(_on_grid(seen, view, fixed))
    return [
        Placement.of(
            region=_on_grid(region, fixed, view),
            seen=view.box.shifted(view.shift_px),
            shift_px=view.shift_px,
            transform=view.transform,
        )
        for view in views
    ]


def _on_grid(box: PixelBox, grid: View, other: View) -> PixelBox:
    """Give the whole pixels of `other`'s grid that lie inside `box` of `grid`."""
    if np.allclose(grid.spacing_um, other.spacing_um, rtol=1e-6, atol=0):
        return box
    ratio = np.divide(grid.spacing_um, other.spacing_um)
    start = np.ceil(np.multiply(box.start, ratio) - _TOLERANCE_PX)
    stop = np.floor(np.multiply(box.stop, ratio) + _TOLERANCE_PX)
    return PixelBox(as_triple(start), as_triple(stop))
