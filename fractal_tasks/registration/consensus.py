"""The region of a ROI that all acquisitions see, in whole pixels.

All acquisitions get their boxes from one rounding of each translation to whole
level-0 pixels, so boxes that belong together have the same size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from fractal_tasks.transforms.boxes import PixelBox, as_triple, round_to_pixels

Keep: TypeAlias = Literal["intersection", "reference"]
"""Crop to what all acquisitions see, or keep the whole field of the fixed image."""

_TOLERANCE_PX = 1e-6


@dataclass(frozen=True)
class View:
    """How one acquisition sees a ROI."""

    box: PixelBox
    """The ROI in level-0 pixels of its own image."""

    spacing_um: tuple[float, float, float]
    translation_um: tuple[float, float, float]
    """Moving to fixed (z, y, x); zeros for the fixed image itself."""

    @property
    def shift_px(self) -> tuple[int, int, int]:
        """The translation in whole level-0 pixels of this image."""
        return round_to_pixels(self.translation_um, self.spacing_um)

    @property
    def residual_px(self) -> float:
        """Largest part of the translation, over the axes, that rounding leaves out."""
        exact = np.divide(self.translation_um, self.spacing_um)
        return float(np.abs(exact - self.shift_px).max())


@dataclass(frozen=True)
class Placement:
    """Where the pixels of one acquisition come from and go to."""

    region: PixelBox
    """The kept region on the registered grid."""

    region_source: PixelBox
    """The same region on the acquisition's own grid; may reach out of its ROI."""

    source: PixelBox
    """The part of `region_source` that the acquisition has seen."""

    destination: PixelBox
    """Where `source` lies on the registered grid; same size."""


def place_views(fixed: View, moving: Sequence[View], keep: Keep) -> list[Placement]:
    """Find the common region of a ROI and where each acquisition's pixels go.

    Args:
        fixed: The reference's view of the ROI.
        moving: The views of the other acquisitions.
        keep: `"intersection"` keeps what all see, which may be empty;
            `"reference"` keeps the whole ROI of `fixed`.

    Returns:
        One placement for `fixed` and for each of `moving`, in this order. Views with
        the pixel size of `fixed` get regions of exactly the same size.
    """
    views = [fixed, *moving]
    region = fixed.box
    if keep == "intersection":
        for view in moving:
            seen = view.box.shifted(view.shift_px)
            region = region.intersection(_on_grid(seen, view, fixed))
    return [_place(view, _on_grid(region, fixed, view)) for view in views]


def _place(view: View, region: PixelBox) -> Placement:
    back = as_triple(np.negative(view.shift_px))
    destination = region.intersection(view.box.shifted(view.shift_px))
    return Placement(
        region=region,
        region_source=region.shifted(back),
        source=destination.shifted(back),
        destination=destination,
    )


def _on_grid(box: PixelBox, grid: View, other: View) -> PixelBox:
    """Give the whole pixels of `other`'s grid that lie inside `box` of `grid`."""
    if np.allclose(grid.spacing_um, other.spacing_um, rtol=1e-6, atol=0):
        return box
    ratio = np.divide(grid.spacing_um, other.spacing_um)
    start = np.ceil(np.multiply(box.start, ratio) - _TOLERANCE_PX)
    stop = np.floor(np.multiply(box.stop, ratio) + _TOLERANCE_PX)
    return PixelBox(as_triple(start), as_triple(stop))
