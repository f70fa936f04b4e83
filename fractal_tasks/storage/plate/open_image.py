"""An image of a plate that is open for reading.

It is only what belongs together: where the image lies, and ngio's view of it. What can
be asked of it are functions beside it, in `images`, `rois` and `roi_tables`.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fractal_tasks.storage.files import files_of
from fractal_tasks.storage.library_errors import reading
from fractal_tasks.storage.plate.levels import (
    check_inner_paths,
    check_pixels,
    spacing_of,
    spatial_shape,
)
from fractal_tasks.storage.upstream import open_container
from fractal_tasks.storage.urls import ImageUrl

if TYPE_CHECKING:
    from ngio import Image, OmeZarrContainer


@dataclass(frozen=True)
class OpenImage:
    """An image of a plate, opened and known to be whole but for its pixels."""

    url: ImageUrl
    container: "OmeZarrContainer"

    @property
    def zarr_url(self) -> str:
        """The url as text."""
        return self.url.zarr_url

    @property
    def level(self) -> "Image":
        """The level of full resolution."""
        return self.container.get_image()

    @property
    def spacing_um(self) -> tuple[float, float, float]:
        """Size of a level-0 pixel (z, y, x)."""
        return spacing_of(self.level)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of level-0 pixels along z, y, x; 1 for an axis the image lacks."""
        return spatial_shape(self.level)

    def where(self, what: str = "") -> str:
        """Name the image, or something in it, in errors and in the log.

        Args:
            what: E.g. `"table 'FOV_ROI_table'"`.
        """
        return f"{self.zarr_url}: {what}" if what else self.zarr_url


def open_image(url: ImageUrl) -> OpenImage:
    """Open an image of a plate for reading.

    Raises:
        InvalidDataError: There is no OME-Zarr image at the url.
    """
    store = files_of(url).open_store(url.location)
    with reading(
        f"{url.zarr_url}: found no OME-Zarr image that can be opened",
        "Check the zarr_url, and convert the image again if it is damaged.",
    ):
        container = open_container(store)
        paths = container.level_paths
        check_inner_paths(url, "level", paths)
        # They are kept: whoever asks for one later does not read it again.
        for path in paths:
            check_pixels(url, container.get_image(path=path))
    return OpenImage(url, container)
