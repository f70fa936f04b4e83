"""Write what *consensus* decided: a registered ROI table with its plan."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fractal_tasks.model import Placement, RowKey, Verdict
from fractal_tasks.records.provenance import Record
from fractal_tasks.records.rows import RoiRecord, without_record
from fractal_tasks.records.stored_plan import (
    ConsensusRecord,
    StoredPlacement,
    StoredTable,
)
from fractal_tasks.records.well_rows import AcquisitionRows, WellRows
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.storage.plate.roi_table_data import RoiTableData
from fractal_tasks.storage.plate.roi_tables import plain_meta, replace_roi_table
from fractal_tasks.storage.plate.tables import remove_unused_displacements
from fractal_tasks.transforms import PixelSizes
from fractal_tasks.transforms.base import collect_displacements
from fractal_tasks.transforms.boxes import AXES

if TYPE_CHECKING:
    from ngio import Roi

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RegisteredAcquisition:
    """One acquisition of a well, and what was decided about its rows."""

    rows: AcquisitionRows
    verdicts: Mapping[RowKey, Verdict]
    placements: Mapping[RowKey, Placement]

    def to_rois(self, pixels: PixelSizes) -> list["Roi"]:
        """Give the rows of the registered table: the kept regions, and the verdicts.

        Args:
            pixels: Those of this acquisition and of the reference.
        """
        rois = []
        for key in self.rows.keys:
            roi, verdict = self.rows.table.rois[key.roi], self.verdicts[key]
            placement = self.placements[key]
            record = RoiRecord.of(
                roi,
                self.rows.image,
                (verdict.candidate,),
                pixels,
                status=verdict.status,
                reason=verdict.reason,
                kept=placement.destination.size / self.rows.boxes[key].size,
            )
            moved = _move_roi(roi, placement, self.rows.image)
            rois.append(record.to_roi(moved))
        return rois


def write_registered_tables(
    well: WellRows,
    acquisitions: Sequence[RegisteredAcquisition],
    reference_tables: Mapping[str, RoiTableData],
    record: Record,
) -> None:
    """Write the registered table into every acquisition of a well.

    Args:
        well: The well; the caller holds the locks of what is written in it.
        acquisitions: Those that are registered, reference first. Without any, nothing
            is done.
        reference_tables: The further ROI tables of the reference, by name.
        record: What the tables were made from; `registered_roi_table` in its settings
            is their name.

    Raises:
        PublishError: A table could not be replaced; the old one is untouched.
    """
    if not acquisitions:
        return
    name = str(record.settings["registered_roi_table"])
    registered = [one.to_rois(well.pixels_of(one.rows)) for one in acquisitions]
    reference = acquisitions[0].rows
    own = RoiTableData(
        name,
        {str(roi.name): roi for roi in registered[0]},
        plain_meta(reference.table.meta.backend),
    )
    # They go into the plan of every acquisition, and are made into JSON once.
    frozen_tables = {
        table.name: StoredTable.of(table) for table in (*reference_tables.values(), own)
    }
    kept = int(well.is_reference_kept)
    for one, rois in list(zip(acquisitions, registered, strict=True))[kept:]:
        pixels = well.pixels_of(one.rows)
        plan = ConsensusRecord(
            **dict(record),
            reference_image=well.reference_path,
            reference_grid=reference.image.grid,
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


def _move_roi(roi: "Roi", placement: Placement, image: OpenImage) -> "Roi":
    """Put a ROI where the kept region lies; axes it does not have are not added."""
    box = placement.region_source(image.spacing_um)
    for axis, start, length, step in zip(
        AXES, box.start, box.shape, image.spacing_um, strict=True
    ):
        if roi.get(axis) is not None:
            roi = roi.update_slice(name=axis, new_slice=(start * step, length * step))
    return roi
