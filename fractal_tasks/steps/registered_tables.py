"""Write what *consensus* decided: a registered ROI table with its plan."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fractal_tasks.model import Canvas, Grid, Placement, RowKey, Verdict
from fractal_tasks.records.provenance import Record
from fractal_tasks.records.rows import RoiRecord, without_record
from fractal_tasks.records.stored_plan import (
    ConsensusRecord,
    StoredPlacement,
    StoredTable,
)
from fractal_tasks.records.well_rows import AcquisitionRows, WellRows
from fractal_tasks.storage.plate.roi_table_data import RoiTableData
from fractal_tasks.storage.plate.roi_tables import plain_meta, replace_roi_table
from fractal_tasks.storage.plate.tables import remove_unused_displacements
from fractal_tasks.transforms import PixelSizes, Vector
from fractal_tasks.transforms.base import collect_displacements
from fractal_tasks.transforms.boxes import AXES, PixelBox

if TYPE_CHECKING:
    from ngio import Roi

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RegisteredAcquisition:
    """One acquisition of a well, and what was decided about its rows."""

    rows: AcquisitionRows
    verdicts: Mapping[RowKey, Verdict]
    placements: Mapping[RowKey, Placement]
    canvas: Canvas

    @property
    def grid(self) -> Grid:
        """The pixels of its registered image."""
        return self.canvas.grid_of(self.rows.image.grid)

    def to_rois(self, pixels: PixelSizes) -> list["Roi"]:
        """Give the rows of the registered table: the kept regions, and the verdicts.

        Args:
            pixels: Those of this acquisition and of the reference.
        """
        rois = []
        image = self.rows.image
        larger = np.divide(self.grid.spacing_um, image.spacing_um).prod()
        for key in self.rows.keys:
            roi, verdict = self.rows.table.rois[key.roi], self.verdicts[key]
            placement = self.placements[key]
            kept = placement.destination.size * larger / self.rows.boxes[key].size
            record = RoiRecord.of(
                roi,
                image,
                (verdict.candidate,),
                pixels,
                status=verdict.status,
                reason=verdict.reason,
                # What is turned is not wholly in the box around it.
                kept=min(1.0, float(kept)),
            )
            source = placement.region_source(self.grid.spacing_um, image.spacing_um)
            rois.append(record.to_roi(_put_roi(roi, source, image.spacing_um)))
        return rois


@dataclass(frozen=True)
class RegisteredWell:
    """The acquisitions of a well that are registered."""

    acquisitions: tuple[RegisteredAcquisition, ...]
    """Reference first, and at least one other."""

    canvas: Canvas


def write_registered_tables(
    well: WellRows,
    registered: RegisteredWell,
    reference_tables: Mapping[str, RoiTableData],
    record: Record,
) -> None:
    """Write the registered table into every acquisition of a well.

    Args:
        well: The well; the caller holds the locks of what is written in it.
        registered: What becomes of its acquisitions.
        reference_tables: The further ROI tables of the reference, by name.
        record: What the tables were made from; `registered_roi_table` in its settings
            is their name.

    Raises:
        PublishError: A table could not be replaced; the old one is untouched.
    """
    name = str(record.settings["registered_roi_table"])
    acquisitions, canvas = registered.acquisitions, registered.canvas
    reference = acquisitions[0].rows
    rows_of = [one.to_rois(well.pixels_of(one.rows)) for one in acquisitions]
    moved = [_move_table(table, canvas) for table in reference_tables.values()]
    own = _describe_reference(name, acquisitions[0], rows_of[0])
    # They go into the plan of every acquisition, and are made into JSON once.
    frozen_tables = {table.name: StoredTable.of(table) for table in (*moved, own)}
    kept = int(well.is_reference_kept)
    for one, rois in list(zip(acquisitions, rows_of, strict=True))[kept:]:
        pixels = PixelSizes(one.rows.image.spacing_um, canvas.grid.spacing_um)
        plan = ConsensusRecord(
            **dict(record),
            reference_image=well.reference_path,
            reference_grid=canvas.grid,
            reference_um=reference.image.spacing_um,
            border_px=canvas.pad_px,
            registered_grid=one.grid,
            placements=tuple(
                StoredPlacement.of(key, placement, pixels)
                for key, placement in one.placements.items()
            ),
            reference_tables=frozen_tables,
        )
        replace_roi_table(
            one.rows.image.url,
            name,
            rois=rois,
            meta=plain_meta(one.rows.table.meta.backend),
            record=plan.to_json(),
            unit_um=one.rows.table.unit_um,
            missing_unit=one.rows.image.missing_unit,
            displacements=collect_displacements(
                verdict.candidate.transform for verdict in one.verdicts.values()
            ),
        )
        remove_unused_displacements(one.rows.image.url)
    logger.info(
        "Well %s: wrote table %r into %d acquisitions",
        well.well_url,
        name,
        len(acquisitions) - kept,
    )


def write_unregistered_table(
    rows: AcquisitionRows, well: WellRows, record: Record
) -> None:
    """Write a registered table that says that an image is not registered.

    It has no placements, so that *apply* leaves the image as it is.

    Args:
        rows: Those of the image; the caller holds its lock.
        well: The well; its reference is what it might have been registered to, or the
            image itself.
        record: What was looked at.

    Raises:
        PublishError: The table could not be replaced; the old one is untouched.
    """
    rois = [without_record(roi) for roi in rows.table.rois.values()]
    if rows is not well.reference:
        rois = [
            RoiRecord.of(
                roi,
                rows.image,
                rows.read_measurements()[RowKey(str(roi.name))].candidates,
                well.pixels_of(rows),
                status="unresolved",
                reason="not registered: nothing says that it shows what the reference "
                "does",
            ).to_roi(roi)
            for roi in rois
        ]
    plan = ConsensusRecord(
        **dict(record),
        reference_image=well.reference_path,
        reference_grid=well.reference.image.grid,
        reference_um=well.reference.image.spacing_um,
        registered_grid=rows.image.grid,
        placements=(),
        reference_tables={},
    )
    replace_roi_table(
        rows.image.url,
        str(record.settings["registered_roi_table"]),
        rois=rois,
        meta=plain_meta(rows.table.meta.backend),
        record=plan.to_json(),
        unit_um=rows.table.unit_um,
        missing_unit=rows.image.missing_unit,
    )


def _describe_reference(
    name: str, reference: RegisteredAcquisition, rows: Sequence["Roi"]
) -> RoiTableData:
    """Give the registered table of the reference as it is after its registration."""
    step_um = reference.grid.spacing_um
    rois = {
        str(roi.name): _put_roi(
            roi, reference.placements[RowKey(str(roi.name))].region, step_um
        )
        for roi in rows
    }
    return RoiTableData(name, rois, plain_meta(reference.rows.table.meta.backend))


def _move_table(table: RoiTableData, canvas: Canvas) -> RoiTableData:
    """Give a table of the reference as it is after its registration."""
    if not any(canvas.pad_px):
        return table
    rois = table.rois
    for axis, first_um in zip(AXES, canvas.first_um, strict=True):
        rois = {key: _shift_roi(roi, axis, first_um) for key, roi in rois.items()}
    return replace(table, rois=rois)


def _shift_roi(roi: "Roi", axis: str, by_um: float) -> "Roi":
    part = roi.get(axis)
    if part is None or part.start is None:
        return roi
    return roi.update_slice(name=axis, new_slice=(part.start + by_um, part.length))


def _put_roi(roi: "Roi", box: PixelBox, step_um: Vector) -> "Roi":
    """Put a ROI where a box of pixels lies; axes it does not have are not added."""
    for axis, start, length, step in zip(
        AXES, box.start, box.shape, step_um, strict=True
    ):
        if roi.get(axis) is not None:
            roi = roi.update_slice(name=axis, new_slice=(start * step, length * step))
    return roi
