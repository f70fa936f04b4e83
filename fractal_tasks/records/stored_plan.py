"""The stored form of what *consensus* froze: placements, and the reference's tables."""

from typing import Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, JsonValue

from fractal_tasks.model import Grid, Placement, RowKey
from fractal_tasks.records.provenance import Record, roi_to_json
from fractal_tasks.storage.plate.images import list_tables
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.storage.plate.roi_table_data import RoiTableData
from fractal_tasks.storage.plate.roi_tables import (
    check_rois,
    load_roi_table,
    plain_meta,
)
from fractal_tasks.storage.plate.tables import read_table_types
from fractal_tasks.storage.urls import is_inner_path
from fractal_tasks.transforms import (
    FloatArray,
    PixelSizes,
    ReadDisplacements,
    Vector,
)
from fractal_tasks.transforms.boxes import PixelBox


class StoredPlacement(BaseModel):
    """A placement as it is stored; boxes in level-0 pixels (z, y, x)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    roi: str
    timepoint: int | None
    channel: str | None
    source: PixelBox
    destination: PixelBox
    region: PixelBox
    transform: dict[str, Any]
    """As RFC-5 has it, between the centres of pixels of these sizes:"""

    pixel_sizes: PixelSizes

    is_copied: bool
    """Whether whole pixels are moved; if not, they are interpolated."""

    core: PixelBox | None = None
    """The part of the region where this ROI goes before others; None: all of it."""

    @classmethod
    def of(cls, key: RowKey, placement: Placement, pixels: PixelSizes) -> Self:
        """Make the stored form; `pixels` are those of the two images."""
        fields = vars(placement) | {"transform": pixels.to_fields(placement.transform)}
        return cls(**vars(key), **fields, pixel_sizes=pixels)

    @property
    def key(self) -> RowKey:
        """Which row it is of."""
        return RowKey(self.roi, self.timepoint, self.channel)

    def to_placement(self, displacements: ReadDisplacements | None) -> Placement:
        """Give the placement itself.

        Raises:
            InvalidDataError: Its transform, or what that names, cannot be read.
        """
        transform = self.pixel_sizes.from_fields(self.transform, displacements)
        return Placement(
            self.source,
            self.destination,
            self.region,
            transform,
            self.is_copied,
            self.core,
        )


class StoredTable(BaseModel):
    """A ROI table of the reference."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: str
    rois: list[dict[str, JsonValue]]

    @classmethod
    def of(cls, table: RoiTableData) -> Self:
        """Make the stored form."""
        rois = [roi_to_json(roi) for roi in table.rois.values()]
        return cls(backend=table.meta.backend, rois=rois)

    def to_table(self, name: str) -> RoiTableData:
        """Build the table.

        Raises:
            ValueError: Its name or its ROIs are none.
        """
        from ngio import Roi

        if not is_inner_path(name):
            raise ValueError(f"{name!r} is no name of a table")
        rois = [Roi(**roi) for roi in self.rois]
        names = [str(roi.name) for roi in rois]
        check_rois(f"Table {name!r} of the reference", names, rois)
        table = dict(zip(names, rois, strict=True))
        return RoiTableData(name, table, plain_meta(self.backend))


class ConsensusRecord(Record):
    """What is stored beside a registered ROI table."""

    reference_image: str
    """Path of the reference image in the well, e.g. ``'0'``."""

    reference_grid: Grid
    """The pixels of the registered reference."""

    reference_um: Vector
    """Pixel size of the reference image before that."""

    border_px: tuple[int, int, int] = (0, 0, 0)
    """So many pixels of the grid lie before the first one of the reference image."""

    registered_grid: Grid
    """The pixels of the registered image."""

    placements: tuple[StoredPlacement, ...]
    reference_tables: dict[str, StoredTable]

    @property
    def border_um(self) -> FloatArray:
        """Where the first corner of the reference image lies in the registered one."""
        border: FloatArray = np.multiply(self.border_px, self.reference_grid.spacing_um)
        return border


def snapshot_roi_tables(image: OpenImage, *, skip: str) -> dict[str, RoiTableData]:
    """Read all ROI tables (not masking ROI tables) of an image but `skip`."""
    names = [name for name in list_tables(image) if name != skip]
    return {
        name: load_roi_table(image, name)
        for name, table_type in read_table_types(image, names).items()
        if table_type == "roi_table"
    }
