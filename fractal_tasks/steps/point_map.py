"""Where places of an acquisition lie in the reference, and the way back."""

from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from fractal_tasks.errors import InvalidInputError, MissingStepError
from fractal_tasks.records.applied import read_applied_record
from fractal_tasks.records.stored_plan import ConsensusRecord, StoredPlacement
from fractal_tasks.storage.files import files_of
from fractal_tasks.storage.plate.displacements import displacements_of
from fractal_tasks.storage.plate.images import list_tables
from fractal_tasks.storage.plate.open_image import OpenImage, open_image
from fractal_tasks.storage.plate.roi_tables import read_roi_table
from fractal_tasks.storage.plate.rois import roi_extent_um
from fractal_tasks.storage.urls import ImageUrl
from fractal_tasks.transforms import (
    FloatArray,
    PixelSizes,
    ReadDisplacements,
    Transform,
    Vector,
)
from fractal_tasks.transforms.boxes import PixelBox

Side: TypeAlias = Literal["acquisition", "reference"]


@dataclass(frozen=True)
class MappedPoints:
    """Points that were mapped, in their order."""

    points_um: FloatArray
    """Shape ``(n, 3)`` or ``(n, 2)``, as they were given; NaN where no ROI is."""

    rois: tuple[str | None, ...]
    """By the transform of which ROI each was mapped."""

    is_seen: npt.NDArray[np.bool_]
    """Whether each lies in what is kept of its ROI in the reference, or in the ROI in
    the acquisition. Elsewhere its image may show nothing of it."""


@dataclass(frozen=True)
class PointMap:
    """The transforms of an acquisition, and where each of them holds.

    Points are micrometres from the first corner of an image, z, y, x or y, x.

    Example:
        >>> from fractal_tasks.transforms import Translation
        >>> box = np.array([[0.0, 0.0, 0.0], [1.0, 50.0, 50.0]])
        >>> moved = Translation((0.0, 2.0, -1.0))
        >>> point_map = PointMap({"FOV_1": moved}, {"FOV_1": box}, {"FOV_1": box})
        >>> point_map.to_reference([[10.0, 20.0], [10.0, 70.0]])
        ... # doctest: +NORMALIZE_WHITESPACE
        MappedPoints(points_um=array([[12., 19.], [nan, nan]]), rois=('FOV_1', None),
            is_seen=array([ True, False]))
        >>> point_map.to_acquisition([[12.0, 19.0]]).points_um.tolist()
        [[10.0, 20.0]]
    """

    transforms: dict[str, Transform]
    """Acquisition to reference, by the name of the ROI."""

    acquisition_um: dict[str, FloatArray] = field(repr=False)
    """Where ROIs lie in the acquisition: first and last corner, shape ``(2, 3)``."""

    reference_um: dict[str, FloatArray] = field(repr=False)
    """The same in the reference: what is kept of them."""

    core_um: dict[str, FloatArray] = field(default_factory=dict, repr=False)
    """The part of it where a ROI goes before others that reach into it."""

    def to_reference(self, points_um: npt.ArrayLike) -> MappedPoints:
        """Say where points of the acquisition lie in the reference.

        Args:
            points_um: Shape ``(n, 3)`` or ``(n, 2)``.

        Raises:
            InvalidInputError: They have another shape.
        """
        return self.map_points(points_um, "reference")

    def to_acquisition(self, points_um: npt.ArrayLike) -> MappedPoints:
        """Say where in the acquisition lies what the reference shows at points.

        Args:
            points_um: Shape ``(n, 3)`` or ``(n, 2)``.

        Raises:
            InvalidInputError: They have another shape.
        """
        return self.map_points(points_um, "acquisition")

    def map_by(self, roi: str, points_um: npt.ArrayLike, to: Side) -> FloatArray:
        """Map points by the transform of one ROI, wherever they lie."""
        return self._map_in_space(self._in_space(points_um), roi, to)[
            :, -np.shape(points_um)[-1] :
        ]

    def map_points(self, points_um: npt.ArrayLike, to: Side) -> MappedPoints:
        """Do either, as `to` says."""
        points = self._in_space(points_um)
        mapped = np.full(points.shape, np.nan)
        names: list[str | None] = [None] * len(points)
        axes = slice(3 - np.shape(points_um)[-1], None)
        is_seen = np.zeros(len(points), dtype=bool)
        # Of ROIs that overlap the later one counts that has seen it, as for their
        # pixels; and first the one that is there in the reference.
        if to == "reference":
            boxes, there_um = [*self.acquisition_um.items()], self.reference_um
        else:
            boxes = [*self.reference_um.items(), *self.core_um.items()]
            there_um = self.acquisition_um
        for name, box_um in boxes:
            inside = np.flatnonzero(_is_inside(points, box_um, axes))
            found = self._map_in_space(points[inside], name, to)
            seen = _is_inside(found, there_um[name], axes)
            better = seen | ~is_seen[inside]
            mapped[inside[better]] = found[better]
            is_seen[inside] |= seen
            for index in inside[better]:
                names[index] = name
        return MappedPoints(mapped[:, axes], tuple(names), is_seen)

    def without_border(self, border_um: FloatArray) -> "PointMap":
        """Count places of the reference from a corner that lies so far inside."""
        if not border_um.any():
            return self
        return PointMap(
            {
                roi: transform.in_frames(np.zeros(3), -border_um)
                for roi, transform in self.transforms.items()
            },
            self.acquisition_um,
            {roi: box - border_um for roi, box in self.reference_um.items()},
            {roi: box - border_um for roi, box in self.core_um.items()},
        )

    def _map_in_space(self, points: FloatArray, roi: str, to: Side) -> FloatArray:
        transform = self.transforms[roi]
        if to == "reference":
            return transform.map_points(points)
        return transform.pull_points(points)

    def _in_space(self, points_um: npt.ArrayLike) -> FloatArray:
        points = np.asarray(points_um, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] not in {2, 3}:
            raise InvalidInputError(
                f"points_um: found an array of shape {points.shape}; needed is one of "
                "(n, 3) for z, y, x, or (n, 2) for y, x."
            )
        # Without z they lie in the middle of the stack, where its turn does not move
        # them in y and x.
        boxes = self.acquisition_um.values()
        z_um = float(np.mean([box[:, 0] for box in boxes])) if boxes else 0.0
        in_space = np.full((len(points), 3), z_um)
        in_space[:, 3 - points.shape[1] :] = points
        return in_space


def read_point_map(url: ImageUrl, registered_roi_table: str) -> PointMap:
    """Read the transforms of an acquisition, and where they hold.

    Args:
        url: The acquisition: before *apply* the map leads to the reference image as it
            is; or the registered image, to places as in that.
        registered_roi_table: The table that *find consensus* wrote; of a registered
            image it is known.

    Raises:
        InvalidDataError: There is no image, or its records are damaged.
        MissingStepError: *Find consensus* has not run.
    """
    applied = read_applied_record(url)
    if applied is None:
        found, border_um = _read_judged(url, registered_roi_table)
        return found.without_border(border_um)
    beside = url.sibling(applied.input_image)
    if beside != url and files_of(beside).exists(beside.location):
        # There ROIs are whole.
        table = str(applied.settings["registered_roi_table"])
        return _read_judged(beside, table)[0]
    registered_um = open_image(url).spacing_um
    return _make(applied.placements, {}, registered_um, displacements_of(url))


def read_placements(
    url: ImageUrl, registered_roi_table: str
) -> tuple[StoredPlacement, ...]:
    """Read what was decided about the ROIs of an acquisition; see `read_point_map`."""
    applied = read_applied_record(url)
    if applied is not None:
        return applied.placements
    record = _read_consensus(open_image(url), registered_roi_table)
    grid_um = record.reference_grid.spacing_um
    if not record.border_um.any() and record.reference_um == grid_um:
        return record.placements
    found = []
    for stored in record.placements:
        placement = stored.to_placement(displacements_of(url))
        whole = placement.transform.in_frames(np.zeros(3), -record.border_um)
        moved = replace(placement, transform=whole)
        pixels = PixelSizes(stored.pixel_sizes.moving_um, record.reference_um)
        found.append(StoredPlacement.of(stored.key, moved, pixels))
    return tuple(found)


def _read_judged(url: ImageUrl, table: str) -> tuple[PointMap, FloatArray]:
    """Read the map to the registered reference, and where the reference lies in it."""
    image = open_image(url)
    record = _read_consensus(image, table)
    own = _read_rois(image, str(record.settings["input_roi_table"]))
    registered_um = record.registered_grid.spacing_um
    found = _make(record.placements, own, registered_um, displacements_of(url))
    return found, record.border_um


def _read_consensus(image: OpenImage, registered_roi_table: str) -> ConsensusRecord:
    tables = list_tables(image)
    record = None
    if registered_roi_table in tables:
        record = ConsensusRecord.read(
            read_roi_table(image, registered_roi_table).record
        )
    if record is None:
        raise MissingStepError(
            f"{image.zarr_url}: found no transforms in the tables {tables}; needed is "
            f"the registered ROI table {registered_roi_table!r} with its record. Run "
            "'Calculate Registration (image-based)' and 'Find Registration Consensus' "
            "first, or name the table."
        )
    return record


def _read_rois(image: OpenImage, table: str) -> dict[str, FloatArray]:
    """Read where ROIs lie; none if the table is gone."""
    if table not in list_tables(image):
        return {}
    extents = {
        name: roi_extent_um(roi, image)
        for name, roi in read_roi_table(image, table).rois.items()
    }
    return {
        name: np.array([start, start + length])
        for name, (start, length) in extents.items()
    }


def _make(
    placements: tuple[StoredPlacement, ...],
    own: dict[str, FloatArray],
    registered_um: Vector,
    displacements: ReadDisplacements,
) -> PointMap:
    """Make the map of ROIs, of which those that are gone end where their pixels do."""
    transforms, acquisition, reference, cores = {}, {}, {}, {}
    for stored in placements:
        placement = stored.to_placement(displacements)
        transforms[stored.roi] = placement.transform
        source_um = _to_um(placement.source, stored.pixel_sizes.moving_um)
        acquisition[stored.roi] = own.get(stored.roi, source_um)
        reference[stored.roi] = _to_um(placement.region, registered_um)
        if placement.core is not None:
            cores[stored.roi] = _to_um(placement.core, registered_um)
    return PointMap(transforms, acquisition, reference, cores)


def _is_inside(
    points: FloatArray, box_um: FloatArray, axes: slice
) -> npt.NDArray[np.bool_]:
    """Tell which points, shape ``(n, 3)``, lie in a box, along some axes."""
    start_um, stop_um = box_um
    inside = (points >= start_um)[:, axes] & (points < stop_um)[:, axes]
    return np.asarray(inside.all(axis=1))


def _to_um(box: PixelBox, spacing_um: Vector) -> FloatArray:
    corners: FloatArray = np.multiply([box.start, box.stop], np.array(spacing_um))
    return corners
