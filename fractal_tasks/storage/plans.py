"""What *find consensus* freezes so that *apply* reads nothing but its own image.

The plan lives in the attributes of the registered ROI table, so that table and plan
are replaced in one step. A registered table that another package wrote has no plan:
then it is made from the reference's table of the same name.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fractal_tasks.errors import InvalidDataError, MissingStepError
from fractal_tasks.storage.images import (
    check_fill_value,
    list_tables,
    open_image,
    roi_extent_um,
    spacing_of,
    spatial_shape,
)
from fractal_tasks.storage.reading import describe_cause, library_errors
from fractal_tasks.storage.roi_tables import (
    RoiTableData,
    check_rois,
    check_same_rois,
    plain_meta,
    read_roi_table,
    read_table_types,
)
from fractal_tasks.storage.stores import lock_image
from fractal_tasks.storage.urls import ImageUrl, is_inner_path
from fractal_tasks.storage.wells import (
    choose_reference,
    format_acquisitions,
    read_acquisitions,
)
from fractal_tasks.transforms import (
    Translation,
    transform_from_json,
    transform_to_json,
)
from fractal_tasks.transforms.boxes import PixelBox, as_triple, box_from_um

if TYPE_CHECKING:
    from ngio import Image, OmeZarrContainer, Roi

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RoiMove:
    """What to do with one ROI, in level-0 pixels of the acquisition's own grid."""

    source: PixelBox
    """Pixels to copy; inside the image."""

    destination: PixelBox
    """Where they go; same size."""

    region: PixelBox
    """The kept region; larger than `destination` if it was not seen as a whole."""

    transform: str
    """Acquisition to reference, as JSON text."""

    @property
    def shift_px(self) -> tuple[int, int, int]:
        """From source to destination, in whole pixels (z, y, x)."""
        return as_triple(np.subtract(self.destination.start, self.source.start))

    def to_record(self) -> dict[str, Any]:
        """Give the move as JSON fields."""
        return {
            "source_px": self.source.to_lists(),
            "destination_px": self.destination.to_lists(),
            "region_px": self.region.to_lists(),
            "transform": self.transform,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "RoiMove":
        """Build from the fields `to_record` gives."""
        transform_from_json(record["transform"])
        return cls(
            source=PixelBox.from_lists(record["source_px"]),
            destination=PixelBox.from_lists(record["destination_px"]),
            region=PixelBox.from_lists(record["region_px"]),
            transform=record["transform"],
        )


@dataclass(frozen=True)
class RegistrationPlan:
    """All that *apply* has to know about one acquisition."""

    version: str
    registered_roi_table: str
    reference_image: str
    """Path of the reference image in the well, e.g. ``'0'``."""

    settings: dict[str, Any]
    moves: dict[str, RoiMove]
    reference_tables: dict[str, RoiTableData]
    """The reference's ROI tables, which describe the registered image."""

    @property
    def fill_value(self) -> float:
        """Intensity of pixels of the registered image that come from nowhere."""
        keeps_reference = self.settings.get("keep") == "reference"
        return float(self.settings["fill_value"]) if keeps_reference else 0.0

    def applied_record(self) -> dict[str, Any]:
        """Give what is stored in the registered image: all but the tables."""
        return {
            "task": "find_registration_consensus",
            "version": self.version,
            "registered_roi_table": self.registered_roi_table,
            "reference_image": self.reference_image,
            "settings": self.settings,
            "rois": {name: move.to_record() for name, move in self.moves.items()},
        }

    def to_record(self) -> dict[str, Any]:
        """Give the plan as JSON fields for the registered table's attributes."""
        tables = {
            name: {
                "backend": table.meta.backend,
                "rois": [_roi_to_json(roi) for roi in table.rois.values()],
            }
            for name, table in self.reference_tables.items()
        }
        return {**self.applied_record(), "reference_tables": tables}

    @classmethod
    def from_record(cls, record: Mapping[str, Any], where: str) -> "RegistrationPlan":
        """Build from the fields `to_record` gives.

        Args:
            record: The fields.
            where: Names the table in errors.

        Raises:
            InvalidDataError: The fields are not those of a plan.
        """
        try:
            plan = cls(
                version=str(record["version"]),
                registered_roi_table=str(record["registered_roi_table"]),
                reference_image=str(record["reference_image"]),
                settings=dict(record["settings"]),
                moves={
                    name: RoiMove.from_record(move)
                    for name, move in record["rois"].items()
                },
                reference_tables={
                    name: _table_from_record(name, table)
                    for name, table in record["reference_tables"].items()
                },
            )
            _ = plan.fill_value
        except library_errors() as error:
            raise InvalidDataError(
                f"{where}: the plan stored beside it is damaged "
                f"({describe_cause(error)}). Run 'Find Registration Consensus' again."
            ) from error
        return plan


def _table_from_record(name: str, record: Mapping[str, Any]) -> RoiTableData:
    """Build a table of the reference from the fields of a plan."""
    from ngio import Roi

    if not is_inner_path(name):
        raise ValueError(f"{name!r} is no name of a table")
    rois = [Roi(**roi) for roi in record["rois"]]
    names = [str(roi.name) for roi in rois]
    check_rois(f"Table {name!r} of the reference", names, rois)
    table = dict(zip(names, rois, strict=True))
    return RoiTableData(name, table, plain_meta(record["backend"]))


def _roi_to_json(roi: "Roi") -> dict[str, Any]:
    """Give a ROI as plain JSON values; missing values of a table are left out.

    Sorted, as ngio reads the further columns in any order: each run the same bytes.
    """
    extras = {
        key: value.item() if isinstance(value, np.generic) else value
        for key, value in sorted((roi.model_extra or {}).items())
    }
    present = {
        key: value
        for key, value in extras.items()
        if value is not None and not (isinstance(value, float) and math.isnan(value))
    }
    return {
        "name": roi.name,
        "slices": [part.model_dump() for part in roi.slices],
        "label": None if roi.label is None else int(roi.label),
        "space": roi.space,
        **present,
    }


def snapshot_roi_tables(
    container: "OmeZarrContainer", image: ImageUrl, *, skip: str
) -> dict[str, RoiTableData]:
    """Read all ROI tables (not masking ROI tables) of an image but `skip`."""
    return {
        name: read_roi_table(container, image, name)
        for name, table_type in read_table_types(container, image).items()
        if table_type == "roi_table" and name != skip
    }


def read_plan(
    container: "OmeZarrContainer",
    image: ImageUrl,
    registered_roi_table: str,
    reference_acquisition: int,
) -> RegistrationPlan:
    """Read how to register an image from its registered ROI table.

    Raises:
        MissingStepError: There is no such table: find consensus has not run.
        InvalidDataError: The table, or the reference's, does not fit the image.
    """
    tables = list_tables(container, image)
    if registered_roi_table not in tables:
        raise MissingStepError(
            f"{image.zarr_url}: found the tables {tables}; needed is "
            f"the registered ROI table {registered_roi_table!r}. Run 'Calculate "
            "Registration (image-based)' and 'Find Registration Consensus' first."
        )
    table = read_roi_table(container, image, registered_roi_table)
    level = container.get_image()
    if table.record is not None and "reference_tables" in table.record:
        where = f"{image.zarr_url}: table {registered_roi_table!r}"
        plan = RegistrationPlan.from_record(table.record, where)
        if _agrees(plan, table, level):
            _check_reference(plan, image, reference_acquisition)
            _check_moves(plan, level, image)
            check_fill_value(container, image, plan.fill_value)
            return plan
        logger.warning(
            "%s: table %r was changed after 'Find Registration Consensus'; its ROIs "
            "are used as they are now",
            image.zarr_url,
            registered_roi_table,
        )
    plan = _plan_from_reference(container, image, table, reference_acquisition)
    _check_moves(plan, level, image)
    return plan


def _agrees(plan: RegistrationPlan, table: RoiTableData, level: "Image") -> bool:
    """Whether the ROIs of the table still lie where the plan says."""
    if set(plan.moves) != set(table.rois):
        return False
    for name, move in plan.moves.items():
        start, length = roi_extent_um(table.rois[name], level)
        box = box_from_um(start, length, spacing_of(level))
        back = as_triple(np.negative(move.shift_px))
        expected = move.region.shifted(back)
        axes = slice(None) if "z" in level.axes else slice(1, None)
        if (
            box.start[axes] != expected.start[axes]
            or box.stop[axes] != (expected.stop[axes])
        ):
            return False
    return True


def _check_reference(
    plan: RegistrationPlan, image: ImageUrl, reference_acquisition: int
) -> None:
    acquisitions = read_acquisitions(image.well)
    found = acquisitions.get(plan.reference_image)
    if found != reference_acquisition:
        raise InvalidDataError(
            f"{image.zarr_url}: table {plan.registered_roi_table!r} was registered to "
            f"image {plan.reference_image!r} of acquisition {found}; "
            f"reference_acquisition={reference_acquisition} is asked for. Use the same "
            "reference_acquisition in all three tasks; the well has "
            f"{format_acquisitions(acquisitions)}."
        )


def _check_moves(plan: RegistrationPlan, level: "Image", image: ImageUrl) -> None:
    whole = PixelBox((0, 0, 0), spatial_shape(level))
    for name, move in plan.moves.items():
        for what, box in (("source", move.source), ("destination", move.destination)):
            if (
                box.is_empty
                or box.intersection(whole) != box
                or box.shape != move.source.shape
            ):
                raise InvalidDataError(
                    f"{image.zarr_url}: table {plan.registered_roi_table!r}, ROI "
                    f"{name!r}: the {what} pixels {box.to_lists()} (z, y, x) are empty "
                    f"or reach out of the image of {whole.stop} pixels, or are not as "
                    f"many as the source pixels {move.source.to_lists()}. Run 'Find "
                    "Registration Consensus' again."
                )


def _plan_from_reference(
    container: "OmeZarrContainer",
    image: ImageUrl,
    table: RoiTableData,
    reference_acquisition: int,
) -> RegistrationPlan:
    """Make the plan from the reference's registered table, as the peer does.

    The reference is read under its lock, so never while it is being replaced.
    """
    acquisitions = read_acquisitions(image.well)
    references = [
        image.sibling(path)
        for path, acquisition in acquisitions.items()
        if acquisition == reference_acquisition
    ]
    if not references:
        raise InvalidDataError(
            f"{image.zarr_url}: the well has {format_acquisitions(acquisitions)}; "
            f"needed is reference_acquisition={reference_acquisition}. Choose one of "
            "these."
        )
    reference = choose_reference(image, references)
    if reference == image:
        reference_table = table
        tables = snapshot_roi_tables(container, image, skip=table.name)
    else:
        with lock_image(reference):
            other = open_image(reference)
            reference_table = read_roi_table(other, reference, table.name)
            tables = snapshot_roi_tables(other, reference, skip=table.name)
    check_same_rois({reference: reference_table, image: table})
    tables[table.name] = reference_table
    level = container.get_image()
    for name, roi in table.rois.items():
        _check_not_lost(roi, level, f"{image.zarr_url}: table {table.name!r}, {name!r}")
    return RegistrationPlan(
        version="unknown",
        registered_roi_table=table.name,
        reference_image=reference.image_path,
        settings={},
        moves={
            name: _move_between(roi, reference_table.rois[name], level)
            for name, roi in table.rois.items()
        },
        reference_tables=tables,
    )


def _check_not_lost(roi: "Roi", level: "Image", where: str) -> None:
    """Refuse a ROI without size: all numbers of a table whose file is lost are 0."""
    start_um, length_um = roi_extent_um(roi, level)
    if box_from_um(start_um, length_um, spacing_of(level)).is_empty:
        raise InvalidDataError(
            f"{where}: found a ROI of {length_um.tolist()} um (z, y, x); needed is at "
            "least one pixel. A file of the table may be lost: run 'Find Registration "
            "Consensus' again."
        )


def _move_between(roi: "Roi", reference_roi: "Roi", level: "Image") -> RoiMove:
    """Move a ROI onto the reference's; the size is that of the reference's ROI."""
    spacing_um = spacing_of(level)
    start_um, _ = roi_extent_um(roi, level)
    reference_um, length_um = roi_extent_um(reference_roi, level)
    destination = box_from_um(reference_um, length_um, spacing_um)
    source = box_from_um(start_um, length_um, spacing_um)
    z, y, x = (float(value) for value in reference_um - start_um)
    whole = PixelBox((0, 0, 0), spatial_shape(level))
    shift = as_triple(np.subtract(destination.start, source.start))
    seen = destination.intersection(whole).intersection(
        source.intersection(whole).shifted(shift)
    )
    return RoiMove(
        source=seen.shifted(as_triple(np.negative(shift))),
        destination=seen,
        region=destination,
        transform=transform_to_json(Translation((z, y, x))),
    )
