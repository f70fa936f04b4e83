"""The plan of a registered table that another package wrote, or somebody changed.

Nothing is frozen beside it, so it is made from the reference's table of the same name,
as fractal-tasks-core does.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.model import Placement, RowKey
from fractal_tasks.records.columns import read_pixel_sizes, read_stored_transform
from fractal_tasks.records.plans import RegistrationPlan, check_placements
from fractal_tasks.records.registered_rows import describe_registered
from fractal_tasks.records.stored_plan import ConsensusRecord, snapshot_roi_tables
from fractal_tasks.storage.plate.displacements import displacements_of
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.storage.plate.roi_table_data import RECORD_KEY, RoiTableData
from fractal_tasks.storage.plate.roi_tables import read_roi_table
from fractal_tasks.storage.plate.rois import roi_extent_um
from fractal_tasks.storage.plate.wells import (
    choose_reference,
    format_acquisitions,
    read_acquisitions,
)
from fractal_tasks.storage.urls import ImageUrl
from fractal_tasks.transforms import Translation
from fractal_tasks.transforms.boxes import PixelBox, as_triple, box_from_um

if TYPE_CHECKING:
    from ngio import Roi


def find_reference(
    image: OpenImage, registered_roi_table: str, reference_acquisition: int
) -> ImageUrl:
    """Find the image that an image of a well was registered to.

    Raises:
        InvalidDataError: The well has no such acquisition, or it is ambiguous.
    """
    stored = ConsensusRecord.read(read_roi_table(image, registered_roi_table).record)
    if stored is not None:
        return image.url.sibling(stored.reference_image)
    acquisitions = read_acquisitions(image.url.well)
    references = [
        image.url.sibling(path)
        for path, acquisition in acquisitions.items()
        if acquisition == reference_acquisition
    ]
    if not references:
        raise InvalidDataError(
            f"{image.zarr_url}: the well has {format_acquisitions(acquisitions)}; "
            f"needed is reference_acquisition={reference_acquisition}. Choose one of "
            "these."
        )
    return choose_reference(image.url, references)


def plan_from_reference(
    image: OpenImage, reference: OpenImage, registered_roi_table: str
) -> RegistrationPlan:
    """Make the plan from the reference's registered table, as the peer does.

    Args:
        image: The image to register.
        reference: What it was registered to. The caller holds its lock: it is never
            read while it is being replaced.
        registered_roi_table: Name of the table, in both.

    Raises:
        InvalidDataError: The tables do not fit the image or each other.
    """
    table = read_roi_table(image, registered_roi_table)
    reference_table = read_roi_table(reference, registered_roi_table)
    _check_described(table, reference_table, image, reference)
    for name, roi in table.rois.items():
        where = f"{image.zarr_url}: table {table.name!r}, {name!r}"
        _check_not_lost(roi, image, where)
        _check_moved(roi, image, where)
    plan = RegistrationPlan(
        registered_roi_table=table.name,
        reference_image=reference.url.image_path,
        reference_grid=reference.grid,
        registered_grid=image.grid.registered_to(reference.grid),
        placements={
            RowKey(name): _place_between(
                roi, reference_table.rois[name], image, reference
            )
            for name, roi in table.rois.items()
        },
        reference_tables=describe_registered(
            {
                name: _without_record(described)
                for name, described in (
                    *snapshot_roi_tables(reference, skip=table.name).items(),
                    (table.name, reference_table),
                )
            },
            table,
            image,
            reference.grid,
            is_frozen=False,
        ),
    )
    check_placements(plan, image)
    return plan


def _check_described(
    table: RoiTableData,
    reference_table: RoiTableData,
    image: OpenImage,
    reference: OpenImage,
) -> None:
    extra = [name for name in table.rois if name not in reference_table.rois]
    if extra:
        raise InvalidDataError(
            f"{image.where(f'table {table.name!r}')} has the ROIs {extra}, which that "
            f"of the reference ({reference.zarr_url}) has not: it has "
            f"{list(reference_table.rois)}. Remove or rename them, or run 'Find "
            "Registration Consensus' again."
        )


def _without_record(table: RoiTableData) -> RoiTableData:
    """Leave out what made a table: in the registered image it would be a plan anew."""
    meta = table.meta.model_copy()
    (meta.model_extra or {}).pop(RECORD_KEY, None)
    return replace(table, meta=meta)


def _check_not_lost(roi: "Roi", image: OpenImage, where: str) -> None:
    """Refuse a ROI without size: all numbers of a table whose file is lost are 0."""
    start_um, length_um = roi_extent_um(roi, image)
    if box_from_um(start_um, length_um, image.spacing_um).is_empty:
        raise InvalidDataError(
            f"{where}: found a ROI of {length_um.tolist()} um (z, y, x); needed is at "
            "least one pixel. A file of the table may be lost: run 'Find Registration "
            "Consensus' again."
        )


def _check_moved(roi: "Roi", image: OpenImage, where: str) -> None:
    """Refuse a ROI that turned: two boxes do not tell how."""
    pixels = read_pixel_sizes(roi, image.spacing_um, where)
    transform = read_stored_transform(roi, pixels, displacements_of(image.url), where)
    if not isinstance(transform, Translation | None):
        raise InvalidDataError(
            f"{where}: found a transform of type {transform.type!r}, and no plan of "
            "'Find Registration Consensus' beside the table; needed is a translation, "
            "or the plan. Run 'Find Registration Consensus' again."
        )


def _place_between(
    roi: "Roi", reference_roi: "Roi", image: OpenImage, reference: OpenImage
) -> Placement:
    """Move a ROI onto the reference's; the size is that of the reference's ROI."""
    start_um, _ = roi_extent_um(roi, image)
    reference_um, length_um = roi_extent_um(reference_roi, image)
    registered = image.grid.registered_to(reference.grid)
    region = box_from_um(reference_um, length_um, image.spacing_um)
    source = box_from_um(start_um, length_um, image.spacing_um)
    shift_px = as_triple(np.subtract(region.start, source.start))
    seen = PixelBox((0, 0, 0), image.shape).shifted(shift_px)
    z_um, y_um, x_um = (reference_um - start_um).tolist()
    return Placement.of(
        region=region,
        # Here pixels go where the image has room, not where a ROI of it ends.
        seen=seen.intersection(PixelBox((0, 0, 0), registered.shape)),
        shift_px=shift_px,
        transform=Translation((z_um, y_um, x_um)),
    )
