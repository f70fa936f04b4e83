"""An image of a plate that is open for reading.

It is only what belongs together: where the image lies, and ngio's view of it. What can
be asked of it are functions beside it, in `images`, `rois` and `roi_tables`.
"""

import logging
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.model import USUAL_LENGTH_UNIT, Grid, LengthUnit
from fractal_tasks.storage.files import files_of
from fractal_tasks.storage.plate.given_unit import read_given_unit
from fractal_tasks.storage.plate.levels import (
    check_inner_paths,
    check_levels,
    check_pixels,
    spacing_of,
    spatial_shape,
)
from fractal_tasks.storage.plate.multiscale import Multiscale, as_um
from fractal_tasks.storage.plate.roi_table_data import RoiTableData
from fractal_tasks.storage.plate.versions import reading_ome
from fractal_tasks.storage.upstream import group_handler_of, open_container
from fractal_tasks.storage.urls import ImageUrl
from fractal_tasks.transforms import FloatArray, Vector

if TYPE_CHECKING:
    from ngio import Image, Label, OmeZarrContainer

logger = logging.getLogger(__name__)

_SAME_SIZE = 1e-6
"""Pixel sizes that differ by less than this part are the same, stored with rounding."""


@dataclass(frozen=True)
class OpenImage:
    """An image of a plate, opened and known to be whole but for its pixels."""

    url: ImageUrl
    container: "OmeZarrContainer"
    given_unit: LengthUnit | None = None
    """Unit of metadata without one, as it was given for this step."""

    roi_tables: dict[str, RoiTableData] = field(
        default_factory=dict, compare=False, repr=False
    )
    """Those that were read of it: one of a full well takes seconds."""

    @cached_property
    def missing_unit(self) -> LengthUnit:
        """Unit of metadata without one, as it was given for this or an earlier step."""
        return self.given_unit or read_given_unit(self.container, self.zarr_url)

    @cached_property
    def unit_um(self) -> Vector:
        """How many micrometres one unit in the metadata is (z, y, x)."""
        multiscale = self.multiscale
        missing = USUAL_LENGTH_UNIT if multiscale.has_unit else self.missing_unit
        return multiscale.units_um(as_um(missing), self.zarr_url)

    @cached_property
    def multiscale(self) -> Multiscale:
        """What its metadata say of its levels."""
        return Multiscale.of(group_handler_of(self.container).load_attrs())

    @property
    def zarr_url(self) -> str:
        """The url as text."""
        return self.url.zarr_url

    @property
    def level(self) -> "Image":
        """The level of full resolution."""
        return self.container.get_image()

    @cached_property
    def axes(self) -> tuple[str, ...]:
        """Names of the axes; ngio reads the metadata for each time it is asked."""
        return tuple(self.level.axes)

    @cached_property
    def spacing_um(self) -> Vector:
        """Size of a level-0 pixel (z, y, x)."""
        return spacing_of(self.level, self.unit_um)

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """Number of level-0 pixels along z, y, x; 1 for an axis the image lacks."""
        return spatial_shape(self.level)

    @cached_property
    def grid(self) -> Grid:
        """The pixels of level 0, and where its metadata say that they lie."""
        multiscale = self.multiscale
        places = [
            (
                np.multiply(multiscale.in_space(scale, 1.0), self.unit_um),
                np.multiply(multiscale.in_space(origin, 0.0), self.unit_um),
            )
            for scale, origin in multiscale.levels().values()
        ]
        (size_um, origin_um), (last_um, last_origin_um) = places[0], places[-1]
        grown_um = last_um - size_um
        origin_px = np.divide(
            last_origin_um - origin_um,
            grown_um,
            out=np.zeros(3),
            where=np.abs(grown_um) > _SAME_SIZE * size_um,
        )
        return Grid(
            self.shape, self.spacing_um, _as_vector(origin_um), _as_vector(origin_px)
        )

    def label_unit_um(self, label: "Label") -> Vector:
        """Give how many micrometres one unit in the metadata of a label is.

        Without a unit, a label has that of its image.
        """
        multiscale = Multiscale.of(group_handler_of(label).load_attrs())
        return multiscale.units_um(self.unit_um, self.where("a label"))

    def label_spacing_um(self, label: "Label") -> Vector:
        """Give the pixel size of a level of a label (z, y, x)."""
        return spacing_of(label, self.label_unit_um(label))

    def where(self, what: str = "") -> str:
        """Name the image, or something in it, in errors and in the log.

        Args:
            what: E.g. `"table 'FOV_ROI_table'"`.
        """
        return f"{self.zarr_url}: {what}" if what else self.zarr_url


def open_image(url: ImageUrl, missing_unit: LengthUnit | None = None) -> OpenImage:
    """Open an image of a plate for reading.

    Args:
        url: Where it lies.
        missing_unit: Unit of its lengths, if the metadata do not say it; left out, the
            one that an earlier step noted, or micrometres.

    Raises:
        InvalidDataError: There is no OME-Zarr image at the url.
    """
    check_in_place(url)
    files_of(url).check_metadata(url.location)
    store = files_of(url).open_store(url.location)
    with reading_ome(
        url.location,
        f"{url.zarr_url}: found no OME-Zarr image that can be opened",
        "Convert or copy the image again, or take it out of the metadata of its well.",
    ):
        container = open_container(store)
        paths = container.level_paths
        check_inner_paths(url, "level", paths)
        # They are kept: whoever asks for one later does not read it again.
        image = OpenImage(url, container, missing_unit)
        levels = [container.get_image(path=path) for path in paths]
        for level in levels:
            check_pixels(level, image.unit_um, url.zarr_url)
        check_levels(levels, url.zarr_url)
        if not image.multiscale.has_unit:
            _report_missing_unit(image)
    return image


def check_in_place(url: ImageUrl) -> None:
    """Refuse an image that an interrupted run has set aside.

    Raises:
        InvalidDataError: It has, and nobody has finished it yet.
    """
    files = files_of(url)
    if files.exists(url.location) or not files.exists(url.well):
        return
    if url.image_path in files.find_interrupted(url.well):
        raise InvalidDataError(
            f"{url.zarr_url}: a run was interrupted between the two steps in which it "
            "replaces the image, and has set it aside. 'fractal-tasks heal' on the "
            "plate puts it in its place, as the next run of the same command does."
        )


def _report_missing_unit(image: OpenImage) -> None:
    is_given = image.missing_unit != USUAL_LENGTH_UNIT
    logger.log(
        logging.INFO if is_given else logging.WARNING,
        "%s: its metadata have no unit of length; with missing_length_unit=%r, an "
        "argument of 'Calculate Registration (image-based)', its pixels are %s um (z, "
        "y, x)",
        image.zarr_url,
        image.missing_unit,
        image.spacing_um,
    )


def _as_vector(values: FloatArray) -> Vector:
    z, y, x = values.tolist()
    return z, y, x
