"""The same ROI table in all acquisitions of a well."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fractal_tasks.storage.images import open_image
from fractal_tasks.storage.roi_tables import (
    RoiTableData,
    check_same_rois,
    read_roi_table,
)
from fractal_tasks.storage.urls import ImageUrl

if TYPE_CHECKING:
    from ngio import OmeZarrContainer


@dataclass(frozen=True)
class WellTables:
    """The images of a well, reference first, each with its ROI table."""

    acquisitions: Mapping[ImageUrl, int]
    containers: Mapping[ImageUrl, "OmeZarrContainer"]
    tables: Mapping[ImageUrl, RoiTableData]
    """All with the same ROIs."""

    @property
    def images(self) -> list[ImageUrl]:
        """The images, reference first."""
        return list(self.acquisitions)

    @property
    def reference(self) -> ImageUrl:
        """The image that the others are registered to."""
        return self.images[0]

    def where(self, image: ImageUrl, name: str) -> str:
        """Name a ROI of an image in errors and in the log."""
        return (
            f"ROI {name!r}, acquisition {self.acquisitions[image]} ({image.zarr_url})"
        )

    def without(self, names: Collection[str]) -> "WellTables":
        """Leave ROIs out of all tables."""
        tables = {
            image: replace(
                table,
                rois={
                    name: roi for name, roi in table.rois.items() if name not in names
                },
            )
            for image, table in self.tables.items()
        }
        return replace(self, tables=tables)


def read_well_tables(acquisitions: Mapping[ImageUrl, int], name: str) -> WellTables:
    """Open the images of a well and read a ROI table of each.

    Args:
        acquisitions: Acquisition by image, reference first.
        name: Name of the table.

    Raises:
        InvalidDataError: An image or table cannot be read, or the ROIs differ.
    """
    containers = {image: open_image(image) for image in acquisitions}
    tables = {
        image: read_roi_table(container, image, name)
        for image, container in containers.items()
    }
    check_same_rois(tables)
    return WellTables(acquisitions, containers, tables)
