"""Tiny plates, and their ROI tables as a row of columns."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ngio import Roi

from fractal_tasks.storage.plate.open_image import OpenImage, open_image
from fractal_tasks.storage.plate.roi_table_data import RoiTableData
from fractal_tasks.storage.plate.roi_tables import read_roi_table, replace_roi_table
from fractal_tasks.storage.urls import ImageUrl, parse_image_url
from fractal_tasks.transforms import PixelSizes

TABLE = "FOV_ROI_table"
REGISTERED = "FOV_ROI_table_registered"
WHERE = "ROI 'FOV_2', acquisition 1"

PIXEL_UM = 0.325
PIXELS = PixelSizes.same((1.0, PIXEL_UM, PIXEL_UM))
FIELD_PX = 32
FIELD_UM = FIELD_PX * PIXEL_UM

TINY = {
    "fields_y": 1,
    "fields_x": 2,
    "field_size_px": FIELD_PX,
    "levels": 3,
    "acquisitions": 2,
    "channels": 1,
}
"""Options of a plate of two fields side by side, 32 x 64 pixels in all."""


def image_url(plate: Path, acquisition: int, well: str = "A/01") -> ImageUrl:
    return parse_image_url(f"{plate}/{well}/{acquisition}")


def open_acquisition(plate: Path, acquisition: int) -> OpenImage:
    return open_image(image_url(plate, acquisition))


def read_rows(image: OpenImage, name: str = TABLE) -> RoiTableData:
    """Read a table as it is on disk now."""
    return read_roi_table(open_image(image.url), name)


def write_rows(
    url: ImageUrl,
    rois: list[Roi],
    name: str = TABLE,
    record: Mapping[str, Any] | None = None,
) -> None:
    """Write a ROI table as an earlier task, or another package, would."""
    meta = read_roi_table(open_image(url), TABLE).meta
    replace_roi_table(url, name, rois=rois, meta=meta, record=dict(record or {}))


def edit_rows(url: ImageUrl, columns: Mapping[str, Any], name: str = TABLE) -> None:
    """Change columns in all rows of a table, and keep what else it says."""
    table = read_roi_table(open_image(url), name)
    rois = [roi.model_copy(update=columns) for roi in table.rois.values()]
    replace_roi_table(url, name, rois=rois, meta=table.meta, record=table.record or {})


def without_columns(roi: Roi, *names: str) -> Roi:
    """Give a ROI without some of its columns."""
    left = {k: v for k, v in (roi.model_extra or {}).items() if k not in names}
    return Roi(name=roi.name, slices=roi.slices, label=roi.label, **left)
