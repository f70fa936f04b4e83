"""The same ROI table in all acquisitions of a well."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from fractal_tasks.errors import MissingStepError
from fractal_tasks.model import Measurement, RowKey
from fractal_tasks.records.rows import RoiRecord
from fractal_tasks.storage.plate.open_image import OpenImage, open_image
from fractal_tasks.storage.plate.roi_tables import (
    RoiTableData,
    check_same_rois,
    read_roi_table,
)
from fractal_tasks.storage.plate.rois import roi_to_pixels
from fractal_tasks.storage.urls import ImageUrl
from fractal_tasks.transforms.boxes import PixelBox


@dataclass(frozen=True)
class AcquisitionRows:
    """One acquisition of a well with its ROI table."""

    image: OpenImage
    acquisition: int
    table: RoiTableData

    @property
    def keys(self) -> list[RowKey]:
        """Of all rows, in the order of the table."""
        return [RowKey(name) for name in self.table.rois]

    @cached_property
    def boxes(self) -> dict[RowKey, PixelBox]:
        """The ROIs in level-0 pixels, checked against the image."""
        return {
            RowKey(name): roi_to_pixels(roi, self.image, self.where(RowKey(name)))
            for name, roi in self.table.rois.items()
        }

    def where(self, key: RowKey) -> str:
        """Name a row in errors and in the log."""
        return f"{key}, acquisition {self.acquisition} ({self.image.zarr_url})"

    def read_measurements(self) -> dict[RowKey, Measurement]:
        """Read what *calculate* stored.

        Raises:
            MissingStepError: It has not run for this acquisition.
            InvalidDataError: A column does not hold what it should.
        """
        measurements = {}
        for name, roi in self.table.rois.items():
            where = self.where(RowKey(name))
            record = RoiRecord.from_roi(roi, self.image, where)
            if not record.candidates:
                raise MissingStepError(
                    f"{where}: found no translation in the ROI table. Run 'Calculate "
                    "Registration (image-based)' for this acquisition first."
                )
            measurements[record.key] = record.measurement
        return measurements


@dataclass(frozen=True)
class WellRows:
    """The acquisitions of a well, all with the same ROIs."""

    reference: AcquisitionRows
    others: tuple[AcquisitionRows, ...]

    @property
    def well_url(self) -> str:
        """Url of the well."""
        return self.reference.image.url.well_url

    @property
    def acquisitions(self) -> tuple[AcquisitionRows, ...]:
        """All, reference first."""
        return (self.reference, *self.others)

    def without(self, keys: Collection[RowKey]) -> "WellRows":
        """Leave rows out of all tables."""
        names = {key.roi for key in keys}

        def shorten(rows: AcquisitionRows) -> AcquisitionRows:
            rois = {k: roi for k, roi in rows.table.rois.items() if k not in names}
            return replace(rows, table=replace(rows.table, rois=rois))

        return WellRows(shorten(self.reference), tuple(map(shorten, self.others)))


def read_well_rows(acquisitions: Mapping[ImageUrl, int], table: str) -> WellRows:
    """Open the images of a well and read a ROI table of each.

    Args:
        acquisitions: Acquisition by image, reference first.
        table: Name of the table.

    Raises:
        InvalidDataError: An image or table cannot be read, or the ROIs differ.
    """
    images = [open_image(url) for url in acquisitions]
    reference, *others = (
        AcquisitionRows(image, acquisitions[image.url], read_roi_table(image, table))
        for image in images
    )
    rows = WellRows(reference, tuple(others))
    check_same_rois({one.image.url: one.table for one in rows.acquisitions})
    return rows
