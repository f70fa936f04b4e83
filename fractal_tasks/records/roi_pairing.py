"""Which ROIs of two acquisitions of a well belong together."""

import math
from typing import TYPE_CHECKING, TypeAlias

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.model import Item, Pairing, pair_items
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.storage.plate.roi_table_data import RoiTableData
from fractal_tasks.storage.plate.rois import roi_extent_um

if TYPE_CHECKING:
    from ngio import Roi

STAGE_COLUMNS = ("y_micrometer_original", "x_micrometer_original")
"""Where the stage was at the first corner of a ROI, as Fractal's converters note it."""


_Tables: TypeAlias = tuple[tuple[OpenImage, RoiTableData], ...]
"""Reference first."""

_SHOWN = 5
"""ROIs that an error lists."""


def pair_rois(
    reference: OpenImage, fixed: RoiTableData, image: OpenImage, moving: RoiTableData
) -> Pairing:
    """Pair the ROIs of an acquisition with those of the reference.

    Places are those of the stage, if both tables tell them all; if these tell nothing,
    those in the images. The same tables give the same pairs in every step.

    Args:
        reference: The reference.
        fixed: Its ROI table.
        image: The acquisition.
        moving: Its ROI table.

    Raises:
        InvalidDataError: No ROI of the acquisition has a partner.
    """
    tables = ((reference, fixed), (image, moving))
    rois = [roi for _, table in tables for roi in table.rois.values()]
    if all(_stage_um(roi) is not None for roi in rois):
        pairing = _pair(tables, of_stage=True)
        if pairing.partners and "order" not in pairing.paired_by.values():
            return pairing
    pairing = _pair(tables, of_stage=False)
    if not pairing.partners:
        raise _nothing_paired(tables)
    return pairing


def _pair(tables: _Tables, *, of_stage: bool) -> Pairing:
    fixed, moving = (
        [_to_item(roi, image, of_stage) for roi in table.rois.values()]
        for image, table in tables
    )
    return pair_items(fixed, moving)


def _nothing_paired(tables: _Tables) -> InvalidDataError:
    found = "; ".join(
        f"{image.zarr_url} has {len(table.rois)}, {list(table.rois)[:_SHOWN]}"
        for image, table in tables
    )
    return InvalidDataError(
        f"Table {tables[0][1].name!r}: no ROI of the acquisition has the name or the "
        f"place of one of the reference, and their numbers differ: {found}. Give "
        "an input_roi_table that both have; or, where only one of them has the table, "
        "choose that acquisition as reference_acquisition."
    )


def _to_item(roi: "Roi", image: OpenImage, of_stage: bool) -> Item:
    start_um, length_um = roi_extent_um(roi, image)
    size_um = float(length_um[1]), float(length_um[2])
    start = _stage_um(roi) if of_stage else None
    y, x = start or (float(start_um[1]), float(start_um[2]))
    name = str(roi.name)
    return Item(name, name, (y + size_um[0] / 2, x + size_um[1] / 2), size_um)


def _stage_um(roi: "Roi") -> tuple[float, float] | None:
    """Read where the stage was; None if that is not known."""
    extra = roi.model_extra or {}
    try:
        y, x = (float(extra[column]) for column in STAGE_COLUMNS)
    except (KeyError, TypeError, ValueError):
        return None
    return (y, x) if math.isfinite(y) and math.isfinite(x) else None
