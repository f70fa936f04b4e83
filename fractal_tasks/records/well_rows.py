"""The ROIs of all acquisitions of a well, those that belong together under one name."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from fractal_tasks.errors import MissingStepError
from fractal_tasks.model import Measurement, RowKey
from fractal_tasks.records.roi_pairing import pair_rois
from fractal_tasks.records.rows import RoiRecord
from fractal_tasks.storage.plate.default_rois import find_roi_table
from fractal_tasks.storage.plate.open_image import OpenImage, open_image
from fractal_tasks.storage.plate.roi_table_data import RoiTableData
from fractal_tasks.storage.plate.rois import roi_to_pixels
from fractal_tasks.storage.urls import ImageUrl
from fractal_tasks.transforms import PixelSizes
from fractal_tasks.transforms.boxes import PixelBox


@dataclass(frozen=True)
class AcquisitionRows:
    """One acquisition of a well with its ROI table."""

    image: OpenImage
    acquisition: int
    table: RoiTableData
    """The rows that have a partner in the reference, by the partner's name, which is
    also theirs here."""

    unsure: frozenset[RowKey] = frozenset()
    """Rows that nothing but their order pairs with the reference's."""

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

    def without(self, keys: Collection[RowKey]) -> "AcquisitionRows":
        """Leave rows out."""
        names = {key.roi for key in keys}
        rois = {k: roi for k, roi in self.table.rois.items() if k not in names}
        return replace(self, table=replace(self.table, rois=rois))

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
    """The acquisitions of a well; the others have ROIs of the reference, or fewer."""

    reference: AcquisitionRows
    others: tuple[AcquisitionRows, ...]
    is_reference_kept: bool = False
    """Whether the reference is only read, e.g. as it is in another plate."""

    @property
    def well_url(self) -> str:
        """Url of the well; the reference may be in another plate."""
        return self.acquisitions[-1].image.url.well_url

    @property
    def written(self) -> tuple[AcquisitionRows, ...]:
        """All that get a registered table: not a reference that is only read."""
        return self.others if self.is_reference_kept else self.acquisitions

    @property
    def reference_path(self) -> str:
        """The reference as plans name it: its path in the well, or its url."""
        url = self.reference.image.url
        return url.zarr_url if self.is_reference_kept else url.image_path

    @property
    def acquisitions(self) -> tuple[AcquisitionRows, ...]:
        """All, reference first."""
        return (self.reference, *self.others)

    def pixels_of(self, rows: AcquisitionRows) -> PixelSizes:
        """Give the pixels that transforms of an acquisition lead from and to."""
        return PixelSizes(rows.image.spacing_um, self.reference.image.spacing_um)

    def without(self, keys: Collection[RowKey]) -> "WellRows":
        """Leave rows out of all tables."""
        others = tuple(rows.without(keys) for rows in self.others)
        return replace(self, reference=self.reference.without(keys), others=others)


def read_well_rows(
    acquisitions: Mapping[ImageUrl, int], table: str, *, is_reference_kept: bool = False
) -> WellRows:
    """Open the images of a well, read a ROI table of each, and pair the rows.

    Args:
        acquisitions: Acquisition by image, reference first.
        table: Name of the table.
        is_reference_kept: Whether the reference is only read.

    Raises:
        InvalidDataError: An image or table cannot be read, or no ROIs belong together.
    """
    reference_url, *other_urls = acquisitions
    others = [open_image(url) for url in other_urls]
    # It was compared with them, and has no table yet in which that could be noted.
    first = open_image(reference_url, others[0].missing_unit if others else None)
    reference = AcquisitionRows(
        first, acquisitions[first.url], find_roi_table(first, table)
    )
    return WellRows(
        reference,
        tuple(
            _read_paired(image, acquisitions[image.url], reference) for image in others
        ),
        is_reference_kept,
    )


def _read_paired(
    image: OpenImage, acquisition: int, reference: AcquisitionRows
) -> AcquisitionRows:
    """Read the rows of an acquisition under the names of the reference's."""
    table = find_roi_table(image, reference.table.name, reference.image)
    pairing = pair_rois(reference.image, reference.table, image, table)
    rois = {
        partner: table.rois[own].model_copy(update={"name": partner})
        for own, partner in pairing.partners.items()
    }
    unsure = frozenset(
        RowKey(pairing.partners[own])
        for own, how in pairing.paired_by.items()
        if how == "order"
    )
    return AcquisitionRows(image, acquisition, replace(table, rois=rois), unsure)
