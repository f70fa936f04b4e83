"""Where the pixels of a ROI come from and go to.

What only moved is copied: all acquisitions get their boxes from one rounding of each
translation to whole level-0 pixels, so boxes that belong together have the same size.
What also turned or stretched is interpolated, and what moved by a part of a pixel, if
that is asked for: each pixel of the kept region comes from where the transform says.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from fractal_tasks.model.common_region import Seen, find_largest_box
from fractal_tasks.model.grid import Grid, box_on_grid
from fractal_tasks.model.settings import Keep
from fractal_tasks.transforms import Transform, Translation, Vector
from fractal_tasks.transforms.boxes import PixelBox, as_triple, round_to_pixels

_INSIDE_PX = 1e-3
"""What reaches out by less shows nothing of the next pixel, whose centre is half a
pixel away: the largest box is found with some rounding."""


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
        if not isinstance(self.transform, Translation):
            return False
        return not self.subpixel or self._rounded_px < _INSIDE_PX

    @property
    def residual_px(self) -> float:
        """Largest part of the shift, over the axes, that rounding leaves out."""
        return self._rounded_px if self.is_copied else 0.0

    @property
    def _rounded_px(self) -> float:
        exact = np.divide(self.displacement_um, self.grid.spacing_um)
        return float(np.abs(exact - self.shift_px).max())


@dataclass(frozen=True)
class Placement:
    """Which pixels of an acquisition are kept, and where they go."""

    source: PixelBox
    """Pixels to copy, or to interpolate between, on the acquisition's own grid."""

    destination: PixelBox
    """Where they come to lie on the registered grid; of the same size if they are
    copied."""

    region: PixelBox
    """The kept region on the registered grid; larger than `destination` if the
    acquisition has not seen all of it."""

    transform: Transform
    """Acquisition to reference, before it was rounded."""

    is_copied: bool = True
    """Whether whole pixels are moved; if not, they are interpolated."""

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
        """From source to destination, in whole pixels (z, y, x), if they are copied."""
        return as_triple(np.subtract(self.destination.start, self.source.start))

    def region_source(self, spacing_um: Vector) -> PixelBox:
        """Give the region on the acquisition's own grid; may reach out of its ROI.

        Args:
            spacing_um: Of the acquisition. What is interpolated comes from a region
                that is turned or stretched: the box around it is given.
        """
        if self.is_copied:
            return self.region.shifted(as_triple(np.negative(self.shift_px)))
        return _box_around_pull(self.transform, self.region, spacing_um)


def _box_around_pull(
    transform: Transform, box: PixelBox, spacing_um: Vector
) -> PixelBox:
    """Give the whole pixels of an acquisition that hold all that a box shows.

    Args:
        transform: Acquisition to reference.
        box: On the registered grid.
        spacing_um: Pixel size of the acquisition, before and after.
    """
    ends = np.multiply([box.start, box.stop], np.array(spacing_um))
    pulled_px = transform.pull_points(transform.probe_points(ends)) / spacing_um
    return PixelBox(
        as_triple(np.floor(pulled_px.min(axis=0) + _INSIDE_PX)),
        as_triple(np.ceil(pulled_px.max(axis=0) - _INSIDE_PX)),
    )


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
        sure = [view for view in views if view.is_sure]
        for view in sure:
            if view.is_copied:
                seen = view.box.shifted(view.shift_onto(fixed.grid))
                inside = box_on_grid(seen, view.grid, fixed.grid)
                region = region.intersection(inside)
        region = _seen_by_all(
            region, fixed.grid, [view for view in sure if not view.is_copied]
        )
    return [_place(view, fixed.grid, region) for view in views]


def _place(view: View, fixed: Grid, region: PixelBox) -> Placement:
    """Place a region of the reference in an acquisition."""
    own_region = box_on_grid(region, fixed, view.grid)
    if view.is_copied:
        shift_px = view.shift_onto(fixed)
        seen = view.box.shifted(shift_px)
        return Placement.of(own_region, seen, shift_px, view.transform)
    pulled = _box_around_pull(view.transform, own_region, view.grid.spacing_um)
    axes = slice(1 if view.grid.is_flat or fixed.is_flat else 0, None)
    seen = pulled.intersection(view.box)
    is_seen = all(np.less(seen.start, seen.stop)[axes])
    nothing = PixelBox(own_region.start, own_region.start)
    destination = own_region if is_seen else nothing
    return Placement(view.box, destination, own_region, view.transform, is_copied=False)


def _seen_by_all(region: PixelBox, fixed: Grid, views: Sequence[View]) -> PixelBox:
    """Give the largest part of a region that acquisitions see that also turned."""
    if not views or region.is_empty:
        return region
    outer_um = np.multiply([region.start, region.stop], np.array(fixed.spacing_um))
    seen = []
    for view in views:
        start_um = np.multiply(view.box.start, view.grid.spacing_um)
        stop_um = np.multiply(view.box.stop, view.grid.spacing_um)
        if view.grid.is_flat:
            # Its one plane stays beside all of the others.
            start_um[0], stop_um[0] = -np.inf, np.inf
        seen.append(Seen.through(view.transform, start_um, stop_um, outer_um))
    axes = (1, 2) if fixed.is_flat else (0, 1, 2)
    found_um = find_largest_box(outer_um, seen, axes)
    if found_um is None:
        return PixelBox(region.start, region.start)
    start, stop = found_um / fixed.spacing_um
    return PixelBox(
        as_triple(np.ceil(start - _INSIDE_PX)), as_triple(np.floor(stop + _INSIDE_PX))
    )
