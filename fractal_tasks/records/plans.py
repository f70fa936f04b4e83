"""What *find consensus* freezes so that *apply* reads nothing but its own image.

The plan lives in the attributes of the registered ROI table, so that table and plan
are replaced in one step. A registered table that another package wrote has no plan:
then it is made from the reference's table of the same name (`reference_plan`).
"""

import logging
from collections.abc import Mapping
from dataclasses import astuple, dataclass, replace
from typing import Any

from fractal_tasks.errors import (
    DisplacementsError,
    InvalidDataError,
    MissingStepError,
)
from fractal_tasks.model import Grid, Placement, RowKey
from fractal_tasks.records.provenance import Record, fingerprint
from fractal_tasks.records.registered_rows import describe_registered
from fractal_tasks.records.stored_plan import (
    ConsensusRecord,
    StoredTable,
)
from fractal_tasks.storage.library_errors import describe_cause, library_errors
from fractal_tasks.storage.plate.displacements import displacements_of
from fractal_tasks.storage.plate.images import check_fill_value, list_tables
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.storage.plate.roi_table_data import RoiTableData
from fractal_tasks.storage.plate.roi_tables import read_roi_table
from fractal_tasks.storage.plate.rois import roi_extent_um
from fractal_tasks.storage.plate.wells import format_acquisitions, read_acquisitions
from fractal_tasks.transforms import ReadDisplacements
from fractal_tasks.transforms.boxes import PixelBox, box_from_um

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RegistrationPlan:
    """All that *apply* has to know about one acquisition."""

    registered_roi_table: str
    reference_image: str
    """Path of the reference image in the well, e.g. ``'0'``; if it is only read, its
    url."""

    reference_grid: Grid
    """The pixels of the registered reference."""

    registered_grid: Grid
    """The pixels of the registered image."""

    placements: Mapping[RowKey, Placement]
    """None: the image is not registered to anything, and stays as it is."""

    reference_tables: Mapping[str, RoiTableData]
    """The reference's ROI tables, which describe the registered image. The rows of the
    registered one have this acquisition's verdicts."""

    fill_value: float = 0.0
    """Intensity of pixels of the registered image that come from nowhere."""

    consensus: Record | None = None
    """What the plan was made from; None if another package wrote the table."""

    @property
    def fingerprint(self) -> str:
        """A text that differs where plans do."""
        placements = [(str(key), repr(one)) for key, one in self.placements.items()]
        tables = {
            name: StoredTable.of(table).model_dump(mode="json")
            for name, table in self.reference_tables.items()
        }
        grids = astuple(self.reference_grid), astuple(self.registered_grid)
        return fingerprint([grids, placements, tables, self.fill_value])


def _plan_from_record(
    stored: Mapping[str, Any], displacements: ReadDisplacements, where: str
) -> RegistrationPlan:
    """Build the plan from what *find consensus* stored.

    Raises:
        InvalidDataError: It is damaged.
    """
    try:
        record = ConsensusRecord.model_validate(stored)
        is_filled = record.settings["keep"] != "intersection"
        return RegistrationPlan(
            registered_roi_table=str(record.settings["registered_roi_table"]),
            reference_image=record.reference_image,
            reference_grid=record.reference_grid,
            registered_grid=record.registered_grid,
            placements={
                one.key: one.to_placement(displacements) for one in record.placements
            },
            reference_tables={
                name: table.to_table(name)
                for name, table in record.reference_tables.items()
            },
            fill_value=float(str(record.settings["fill_value"])) if is_filled else 0.0,
            consensus=record.provenance,
        )
    except DisplacementsError:
        raise
    except library_errors() as error:
        raise _damaged(where, error) from error


def _damaged(where: str, error: Exception) -> InvalidDataError:
    return InvalidDataError(
        f"{where}: the plan stored beside it is damaged "
        f"({describe_cause(error)}). Run 'Find Registration Consensus' again."
    )


def read_plan(
    image: OpenImage, registered_roi_table: str, reference_acquisition: int
) -> RegistrationPlan | None:
    """Read how to register an image from its registered ROI table.

    Returns:
        None if nothing is frozen there, or the table was changed since: then
        `plan_from_reference` makes the plan.

    Raises:
        MissingStepError: There is no such table: find consensus has not run.
        InvalidDataError: The plan is damaged or does not fit the image.
    """
    tables = list_tables(image)
    if registered_roi_table not in tables:
        raise MissingStepError(
            f"{image.zarr_url}: found the tables {tables}; needed is "
            f"the registered ROI table {registered_roi_table!r}. Run 'Calculate "
            "Registration (image-based)' and 'Find Registration Consensus' first."
        )
    table = read_roi_table(image, registered_roi_table)
    if table.record is None or "placements" not in table.record:
        return None
    where = f"{image.zarr_url}: table {registered_roi_table!r}"
    plan = _plan_from_record(table.record, displacements_of(image.url), where)
    if not plan.placements:
        return plan
    if not _agrees(plan, table, image):
        _check_replaceable(plan, where)
        logger.warning(
            "%s: table %r was changed after 'Find Registration Consensus'; its ROIs "
            "are used as they are now",
            image.zarr_url,
            registered_roi_table,
        )
        return None
    _check_reference(plan, image, reference_acquisition)
    check_placements(plan, image)
    check_fill_value(image, plan.fill_value)
    try:
        described = describe_registered(
            plan.reference_tables, table, image, plan.reference_grid, is_frozen=True
        )
    except KeyError as error:
        raise _damaged(where, error) from error
    return replace(plan, reference_tables=described)


def _agrees(plan: RegistrationPlan, table: RoiTableData, image: OpenImage) -> bool:
    """Whether the ROIs of the table still lie where the plan says."""
    if {key.roi for key in plan.placements} != set(table.rois):
        return False
    axes = slice(None) if "z" in image.level.axes else slice(1, None)
    for key, placement in plan.placements.items():
        box = box_from_um(*roi_extent_um(table.rois[key.roi], image), image.spacing_um)
        expected = placement.region_source(
            plan.registered_grid.spacing_um, image.spacing_um
        )
        if (
            box.start[axes] != expected.start[axes]
            or box.stop[axes] != expected.stop[axes]
        ):
            return False
    return True


def _check_replaceable(plan: RegistrationPlan, where: str) -> None:
    """Refuse a changed table if where its ROIs lie does not tell all.

    The reference may have no table of this name; and boxes are of whole pixels.
    """
    interpolated = [
        key.roi for key, placement in plan.placements.items() if not placement.is_copied
    ]
    if interpolated:
        raise InvalidDataError(
            f"{where} was changed after 'Find Registration Consensus', and boxes do "
            f"not say by what part of a pixel the ROIs {interpolated} moved, or how "
            "they turned. Run 'Find Registration Consensus' again."
        )
    if "/" in plan.reference_image:
        raise InvalidDataError(
            f"{where} was changed after 'Find Registration Consensus', and it was "
            f"registered to an image that is only read, {plan.reference_image}. "
            "Correct the translations in the table that was registered, and run 'Find "
            "Registration Consensus' again."
        )


def _check_reference(
    plan: RegistrationPlan, image: OpenImage, reference_acquisition: int
) -> None:
    if "/" in plan.reference_image:
        return  # only read, and not of an acquisition of this plate
    acquisitions = read_acquisitions(image.url.well)
    found = acquisitions.get(plan.reference_image)
    if found != reference_acquisition:
        raise InvalidDataError(
            f"{image.zarr_url}: table {plan.registered_roi_table!r} was registered to "
            f"image {plan.reference_image!r} of acquisition {found}; "
            f"reference_acquisition={reference_acquisition} is asked for. Use the same "
            "reference_acquisition in all three tasks; the well has "
            f"{format_acquisitions(acquisitions)}."
        )


def check_placements(plan: RegistrationPlan, image: OpenImage) -> None:
    """Refuse what lies outside the image.

    Raises:
        InvalidDataError: Names the ROI.
    """
    for key, placement in plan.placements.items():
        source, destination = placement.source, placement.destination
        where = f"{image.zarr_url}: table {plan.registered_roi_table!r}, {key}"
        for what, box, shape in (
            ("source", source, image.shape),
            ("destination", destination, plan.registered_grid.shape),
        ):
            if (
                box.is_empty
                or box.intersection(PixelBox((0, 0, 0), shape)) != box
                or (placement.is_copied and box.shape != source.shape)
            ):
                raise InvalidDataError(
                    f"{where}: the {what} pixels {box.to_lists()} (z, y, x) are empty "
                    f"or reach out of the image of {shape} pixels, or are not as "
                    f"many as the source pixels {source.to_lists()}. Run 'Find "
                    "Registration Consensus' again."
                )
