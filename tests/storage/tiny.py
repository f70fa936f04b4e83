"""A plate as small as it gets, its tables, and what of a plate can be compared."""

import re
from typing import Any

from ngio import Roi

from fractal_tasks.storage.plate.open_image import open_image
from fractal_tasks.storage.plate.roi_table_data import RoiTableData
from fractal_tasks.storage.plate.roi_tables import read_roi_table
from fractal_tasks.storage.urls import parse_image_url

TINY: dict[str, Any] = {
    "field_size_px": 32,
    "acquisitions": 2,
    "channels": 1,
    "levels": 3,
    "nuclei_per_mm2": 2500,
}
"""Options of `make_plate`: one well, `A/01`, of two fields side by side."""

WELL = "A/01"
TABLE = "FOV_ROI_table"


def read_table(zarr_url: str, name: str = TABLE) -> RoiTableData:
    return read_roi_table(open_image(parse_image_url(zarr_url)), name)


def make_roi(name: str, x_um: float = 0.0, length_um: float = 5.0, **more: Any) -> Roi:
    slices = {"z": (0, 1), "y": (0, length_um), "x": (x_um, length_um)}
    return Roi.from_values(name=name, slices=slices, **more)


def without_versions(tree: dict[str, bytes]) -> dict[str, bytes]:
    """Blank what a plate tells of the versions of its files: they have their times."""
    version = re.compile(rb'("(?:image|pixels|reference_pixels)": )"[0-9a-f]{16}"')
    return {key: version.sub(rb'\1"..."', content) for key, content in tree.items()}
