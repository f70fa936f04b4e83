"""Where the pixels of a ROI come from and go to.

What only moved is copied: all acquisitions get their boxes from one rounding of each
translation to whole level-0 pixels, so boxes that belong together have the same size.
What also turned or stretched is interpolated, and what moved by a part of a pixel, if
that is asked for: each pixel of the kept region comes from where the transform says.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from fractal_tasks.model.canvas import Canvas
from fractal_tasks.model.common_region import Seen, find_largest_box
from fractal_tasks.model.grid import Grid, box_on_grid
from fractal_tasks.model.settings import Keep
from fractal_tasks.model.view import View
from fractal_tasks.transforms import FloatArray, Transform, Vector
from fractal_tasks.transforms.base import list_points
from fractal_tasks.transforms.boxes import PixelBox, as_triple

_INSIDE_PX = 1e-3
"""What reaches out by less shows nothing of the next pixel, whose centre is half a
pixel away: the largest box is found with some rounding."""


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

    core: PixelBox | None = None
    """The part of the region where this ROI goes before others; None: all of it."""

    @classmethod
    def of(
        cls,
        region: PixelBox,
        seen: PixelBox,
        shift_px: tuple[int, int, int],
        transform: Transform,
        core: PixelBox | None = None,
    ) -> Self:
        """Place what an acquisition has seen of a region.

        Args:
            region: The kept region, on the registered grid.
            seen: What the acquisition has seen, on the registered grid.
            shift_px: From the acquisition's own grid to the registered one.
            transform: The same, exactly.
            core: The part of the region where this ROI goes before others.
        """
        destination = region.intersection(seen)
        back = as_triple(np.negative(shift_px))
        source = destination.shifted(back)
        return cls(source, destination, region, transform, core=core)

    @property
    def shift_px(self) -> tuple[int, int, int]:
        """From source to destination, in whole pixels (z, y, x), if they are copied."""
        return as_triple(np.subtract(self.destination.start, self.source.start))

    def region_source(self, registered_um: Vector, own_um: Vector) -> PixelBox:
        """Give the region on the acquisition's own grid; may reach out of its ROI.

        What is interpolated comes from a region that is turned or stretched: the box
        around it is given.

        Args:
            registered_um: Pixel size of the registered image.
            own_um: Pixel size of the acquisition.
        """
        if self.is_copied:
            return self.region.shifted(as_triple(np.negative(self.shift_px)))
        return _box_around_pull(self.transform, self.region, registered_um, own_um)

    def within_core(self) -> "Placement | None":
        """Give what goes before pixels of other ROIs; None if there is no such part."""
        if self.core is None:
            return None
        destination = self.destination.intersection(self.core)
        if destination.is_empty:
            return None
        if not self.is_copied:
            return replace(self, destination=destination)
        source = destination.shifted(as_triple(np.negative(self.shift_px)))
        return replace(self, source=source, destination=destination)


def _box_around_pull(
    transform: Transform, box: PixelBox, registered_um: Vector, own_um: Vector
) -> PixelBox:
    """Give the whole pixels of an acquisition that hold all that a box shows.

    Args:
        transform: Acquisition to reference.
        box: On the registered grid.
        registered_um: Pixel size of that.
        own_um: Pixel size of the acquisition.
    """
    ends = np.multiply([box.start, box.stop], np.array(registered_um))
    pulled_px = transform.pull_points(transform.probe_points(ends)) / own_um
    return _whole_pixels_around(pulled_px)


def _whole_pixels_around(points_px: FloatArray) -> PixelBox:
    return PixelBox(
        as_triple(np.floor(points_px.min(axis=0) + _INSIDE_PX)),
        as_triple(np.ceil(points_px.max(axis=0) - _INSIDE_PX)),
    )


def place_views(
    fixed: View, moving: Sequence[View], keep: Keep, canvas: Canvas | None = None
) -> list[Placement]:
    """Find the kept region of a ROI and where each acquisition's pixels go.

    Args:
        fixed: The reference's view of the ROI.
        moving: The views of the other acquisitions.
        keep: `"intersection"` keeps what all see, which may be empty, but for those
            that are not sure; `"reference"` keeps the whole ROI of `fixed`; `"union"`
            also what any of the others sees that is sure.
        canvas: What they are placed on; left out, the pixels of the reference.

    Returns:
        One placement for `fixed` and for each of `moving`, in this order. Registered
        images of one pixel size get regions of exactly the same size.
    """
    canvas = canvas or Canvas(fixed.grid)
    views = [view.on(canvas) for view in (fixed, *moving)]
    sure = [view for view in views if view.is_sure]
    region = canvas.place(fixed.box, fixed.grid)
    core = None
    if keep == "intersection":
        for view in sure:
            if view.is_copied:
                region = region.intersection(_seen_on(view, canvas.grid))
        region = _seen_by_all(
            region, canvas.grid, [view for view in sure if not view.is_copied]
        )
    elif keep == "union":
        core, boxes = region, [region, *(_seen_on(view, canvas.grid) for view in sure)]
        whole = PixelBox((0, 0, 0), canvas.grid.shape)
        region = _box_around(boxes).intersection(whole)
    return [_place(view, canvas.grid, region, core) for view in views]


def find_canvas(
    rows: Iterable[tuple[View, Sequence[View]]], keep: Keep, canvas: Canvas
) -> Canvas:
    """Make a canvas as large as what is kept.

    Args:
        rows: The reference's view, and those of the others, of each ROI.
        keep: As for `place_views`.
        canvas: As large as the reference image.
    """
    if keep != "union":
        return canvas
    return canvas.around(
        _seen_on(view.on(canvas), canvas.grid)
        for fixed, moving in rows
        for view in (fixed, *moving)
        if view.is_sure
    )


def _seen_on(view: View, canvas: Grid) -> PixelBox:
    """Give the box of a canvas that a view sees, or that is around what it sees."""
    grid = view.registered or view.grid
    if view.is_copied:
        return box_on_grid(view.box.shifted(view.shift_onto(canvas)), grid, canvas)
    ends_um = np.multiply([view.box.start, view.box.stop], view.grid.spacing_um)
    mapped = view.transform.map_points(list_points(ends_um))
    box = _whole_pixels_around(mapped / canvas.spacing_um)
    if grid.is_flat or canvas.is_flat:
        return PixelBox((0, *box.start[1:]), (canvas.shape[0], *box.stop[1:]))
    return box


def _box_around(boxes: Sequence[PixelBox]) -> PixelBox:
    return PixelBox(
        as_triple(np.min([box.start for box in boxes], axis=0)),
        as_triple(np.max([box.stop for box in boxes], axis=0)),
    )


def _place(
    view: View, canvas: Grid, region: PixelBox, core: PixelBox | None
) -> Placement:
    """Place a region of a canvas in an acquisition."""
    grid = view.registered or view.grid
    own_region = box_on_grid(region, canvas, grid)
    own_core = None if core is None else box_on_grid(core, canvas, grid)
    if view.is_copied:
        shift_px = view.shift_onto(canvas)
        seen = view.box.shifted(shift_px)
        return Placement.of(own_region, seen, shift_px, view.transform, own_core)
    pulled = _box_around_pull(
        view.transform, own_region, grid.spacing_um, view.grid.spacing_um
    )
    axes = slice(1 if view.grid.is_flat or canvas.is_flat else 0, None)
    seen = pulled.intersection(view.box)
    is_seen = all(np.less(seen.start, seen.stop)[axes])
    nothing = PixelBox(own_region.start, own_region.start)
    return Placement(
        view.box,
        own_region if is_seen else nothing,
        own_region,
        view.transform,
        is_copied=False,
        core=own_core,
    )


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
