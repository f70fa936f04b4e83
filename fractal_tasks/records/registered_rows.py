"""The rows of registered ROI tables: verdicts on ROIs, and where these lie.

The same verdicts are in the registered table of an acquisition before and after its
pixels were moved. Only the places differ: before, they say where the kept region lies
in the acquisition's own image; then, in the registered image, where it does in the
reference.
"""

from collections.abc import Mapping
from dataclasses import replace

from fractal_tasks.model import Grid
from fractal_tasks.records.columns import KEPT_COLUMN
from fractal_tasks.records.rows import RoiRecord
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.storage.plate.roi_table_data import RoiTableData
from fractal_tasks.storage.plate.roi_tables import read_roi_table


def read_registered_rows(
    image: OpenImage, registered_roi_table: str
) -> list[RoiRecord]:
    """Read the verdicts on an image, which may be registered already or not.

    There are none on a reference that nothing is to be registered to.

    Raises:
        InvalidDataError: The table is missing or damaged.
        MissingStepError: A translation is there, but not whole.
    """
    table = read_roi_table(image, registered_roi_table)
    is_placed = table.record is None or table.record.get("placements") != []
    rows = [
        RoiRecord.from_roi(
            roi,
            image,
            f"{image.zarr_url}: table {table.name!r}, {name!r}",
            is_placed=True,
        )
        for name, roi in table.rois.items()
    ]
    return [row for row in rows if is_placed or row.status is not None]


def read_estimates(image: OpenImage, input_roi_table: str) -> list[RoiRecord]:
    """Read what *calculate* found of the ROIs of an image, not judged yet.

    Returns:
        Empty if it has not run for the image.

    Raises:
        InvalidDataError: The table is damaged.
        MissingStepError: A translation is there, but not whole.
    """
    table = read_roi_table(image, input_roi_table)
    rows = [
        RoiRecord.from_roi(roi, image, image.where(f"table {table.name!r}, {name!r}"))
        for name, roi in table.rois.items()
    ]
    return [replace(row, status=None) for row in rows if row.candidates]


def describe_registered(
    reference_tables: Mapping[str, RoiTableData],
    own: RoiTableData,
    image: OpenImage,
    reference: Grid,
    *,
    is_frozen: bool,
) -> dict[str, RoiTableData]:
    """Give the reference's tables, the registered one with an acquisition's verdicts.

    It has the rows of the acquisition, which may have no part of some ROIs.

    Args:
        reference_tables: They describe where ROIs lie in the registered image. The
            registered one need not be among them.
        image: The acquisition. Where it or the reference has a single plane, and the
            other has not, ROIs have all of its planes.
        reference: The pixels of the reference.
        own: The registered table of the acquisition.
        is_frozen: Whether its ROIs are those that *consensus* placed. If not, it is
            not known how much of them is kept.

    Raises:
        KeyError: The registered table of the acquisition has a ROI more.
    """
    tables = dict(reference_tables)
    if image.grid.is_flat != reference.is_flat:
        depth_um = image.shape[0] * image.spacing_um[0]
        tables = {name: _with_planes(t, depth_um) for name, t in tables.items()}
    registered = tables.get(own.name)
    if registered is None:
        return tables
    rois = {}
    for name, roi in own.rois.items():
        rois[name] = roi.model_copy(update={"slices": registered.rois[name].slices})
        if not is_frozen:
            (rois[name].model_extra or {}).pop(KEPT_COLUMN, None)
    tables[own.name] = replace(registered, rois=rois)
    return tables


def _with_planes(table: RoiTableData, depth_um: float) -> RoiTableData:
    """Give the ROIs of a table all planes of an image."""
    rois = {
        name: roi
        if roi.get("z") is None
        else roi.update_slice(name="z", new_slice=(0.0, depth_um))
        for name, roi in table.rois.items()
    }
    return replace(table, rois=rois)
