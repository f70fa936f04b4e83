"""Which images show ROIs before and after registration, and where in them these lie."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import median

import numpy as np

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.records.applied import AppliedRecord
from fractal_tasks.records.rows import RoiRecord
from fractal_tasks.storage.plate.displacements import displacements_of
from fractal_tasks.storage.plate.images import list_labels, list_tables
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.storage.plate.roi_tables import load_roi_table
from fractal_tasks.storage.plate.rois import roi_extent_um
from fractal_tasks.transforms import FloatArray, Transform

Places = Callable[[FloatArray], FloatArray]
"""From points of the reference, shape ``(n, 3)``, to points of an image."""

_MAX_NAMED = 20
"""More ROIs nobody reads in an error."""


@dataclass(frozen=True)
class Tables:
    """The ROI tables that say how ROIs moved."""

    registered: str
    """With the verdicts."""

    estimates: str


@dataclass(frozen=True)
class Shown:
    """An image, and where in it lies what is at places of the reference."""

    image: OpenImage
    channel: int
    places: Places


@dataclass(frozen=True)
class State:
    """How reference and acquisition lie on each other."""

    title: str
    sides: tuple[Shown, Shown]


@dataclass(frozen=True)
class ShownPair:
    """ROIs in the reference, and the images that show them."""

    box_um: FloatArray
    """First and last corner in the reference, shape ``(2, 3)``."""

    pixel_um: float
    """Of full resolution."""

    states: tuple[State, ...]
    note: str
    """What of a stack is shown; '' of planes."""


@dataclass(frozen=True)
class Pair:
    """An acquisition and its reference, and how its ROIs moved."""

    image: OpenImage
    reference: OpenImage
    registered: tuple[OpenImage, OpenImage] | None
    """What lies beside both, or in the place of the reference."""

    applied: AppliedRecord | None
    """How the acquisition was registered, if in its place."""

    channels: tuple[int, int]
    rows: Mapping[str, RoiRecord]
    tables: Tables = field(repr=False)

    def show(self, roi: str | None = None) -> ShownPair:
        """Give what shows a ROI, or all of them.

        Raises:
            InvalidInputError: There is no such ROI.
        """
        if roi is not None and roi not in self.rows:
            names = list(self.rows)
            more = len(names) - _MAX_NAMED
            raise InvalidInputError(
                f"{self.image.zarr_url}: found no ROI {roi!r}; it has "
                f"{names[:_MAX_NAMED]}{f' and {more} more' if more > 0 else ''}. "
                "Choose one of these."
            )
        names = list(self.rows) if roi is None else [roi]
        boxes = [self._box_of(name) for name in names]
        return ShownPair(
            np.array([np.min(boxes, axis=0)[0], np.max(boxes, axis=0)[1]]),
            max(self.reference.spacing_um[1:]),
            tuple(self._list_states(names, boxes)),
            self._describe_depth(names),
        )

    def _list_states(
        self, names: Sequence[str], boxes: Sequence[FloatArray]
    ) -> list[State]:
        fixed, own = (
            Shown(image, channel, lambda points: points)
            for image, channel in zip(
                (self.reference, self.image), self.channels, strict=True
            )
        )
        found = [self.rows[name].candidates for name in names]
        transforms = [one[0].transform if one else None for one in found]
        known = [one for one in transforms if one is not None]
        if self.applied is not None:
            after = State("after", (fixed, own))
            if not known:
                return [after]
            # Its pixels lie where the reference has them; back they are moved by the
            # map, which leads on from where the acquisition had them.
            border_um = self._border_um(names)
            parts = [
                (
                    _moved(box, _shifted(one.pull_points, border_um)),
                    _shifted(one.map_points, border_um),
                )
                for box, one in zip(boxes, transforms, strict=True)
                if one is not None
            ]
            back = Shown(self.image, self.channels[1], _piece(parts))
            return [State("before: moved back by the transform", (fixed, back)), after]
        if not known:
            return [State("as it is", (fixed, own))]
        before = State("before", (fixed, own))
        if self.registered is not None:
            first, second = (
                Shown(image, channel, _placed(self.reference, image))
                for image, channel in zip(self.registered, self.channels, strict=True)
            )
            return [before, State("after", (first, second))]
        parts = [
            (box, one.pull_points)
            for box, one in zip(boxes, transforms, strict=True)
            if one is not None
        ]
        moved = Shown(self.image, self.channels[1], _piece(parts))
        return [before, State("after: moved by the transform", (fixed, moved))]

    def _box_of(self, name: str) -> FloatArray:
        """Give where a ROI lies in the reference."""
        if name in self._reference_boxes:
            return self._reference_boxes[name]
        row = self.rows[name]
        half = np.divide(row.size_um, 2)
        box: FloatArray = np.array([row.centre_um - half, row.centre_um + half])
        if self.applied is None and row.candidates:
            return _moved(box, row.candidates[0].transform.map_points)
        return box

    @cached_property
    def _reference_boxes(self) -> dict[str, FloatArray]:
        """Boxes of the ROIs of the reference, unless the acquisition has them."""
        found: dict[str, FloatArray] = {}
        if self.applied is not None:
            return found
        names = list_tables(self.reference)
        for table in (self.tables.estimates, self.tables.registered):
            if table in names:
                for name, roi in load_roi_table(self.reference, table).rois.items():
                    start, length = roi_extent_um(roi, self.reference)
                    found[name] = np.array([start, start + length])
        return found

    def _border_um(self, names: Sequence[str]) -> FloatArray:
        """Give how far the registered reference begins before the reference did."""
        read = displacements_of(self.image.url)
        for stored in self.applied.placements if self.applied else ():
            row = self.rows.get(stored.roi)
            if stored.roi in names and row is not None and row.candidates:
                own = row.candidates[0].transform
                return _difference(stored.to_placement(read).transform, own)
        return np.zeros(3)

    def _describe_depth(self, names: Sequence[str]) -> str:
        planes = max(self.image.shape[0], self.reference.shape[0])
        if planes == 1:
            return ""
        rows = [self.rows[name] for name in names if self.rows[name].candidates]
        text = "brightest of all planes"
        if not rows:
            return text
        shift_um = median(row.displacement_um[0] for row in rows)
        return f"{text}; shift in z {shift_um:+.2f} µm"

    @cached_property
    def labels(self) -> tuple[str | None, str | None]:
        """Labels of reference and acquisition; of the same name, if there are such."""
        pair = self.registered or (self.reference, self.image)
        first, second = (list_labels(image) for image in pair)
        both = [name for name in first if name in second]
        if both:
            return both[0], both[0]
        return next(iter(first), None), next(iter(second), None)


def _piece(parts: Sequence[tuple[FloatArray, Places]]) -> Places:
    """Map points by the first of the boxes that they lie in; a single one has all."""
    if len(parts) == 1:
        return parts[0][1]

    def map_points(points: FloatArray) -> FloatArray:
        mapped = np.full(points.shape, np.nan)
        left = np.ones(len(points), dtype=bool)
        for (start, stop), places in parts:
            inside = (points >= start)[:, 1:] & (points < stop)[:, 1:]
            chosen = left & inside.all(axis=1)
            mapped[chosen] = places(points[chosen])
            left &= ~chosen
        return mapped

    return map_points


def _moved(box_um: FloatArray, places: Places) -> FloatArray:
    """Move a box as its centre is moved."""
    centre = box_um.mean(axis=0)
    return np.asarray(box_um + places(centre[None])[0] - centre)


def _shifted(places: Places, by_um: FloatArray) -> Places:
    """Let points be counted, before and after they are mapped, from elsewhere."""
    return lambda points: places(points - by_um) + by_um


def _placed(reference: OpenImage, registered: OpenImage) -> Places:
    """Give where points of the reference lie in a registered image."""
    offset = np.subtract(reference.grid.origin_um, registered.grid.origin_um)
    return lambda points: points + offset


def _difference(first: Transform, second: Transform) -> FloatArray:
    origin = np.zeros((1, 3))
    return np.asarray(first.map_points(origin)[0] - second.map_points(origin)[0])
