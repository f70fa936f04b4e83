"""The ROIs of two acquisitions, opened pairwise and prepared for registration."""

import logging
import math
import os
from dataclasses import dataclass

import numpy as np

from fractal_tasks.errors import InvalidDataError, InvalidInputError
from fractal_tasks.model import CalculateSettings, Pairing, RowKey
from fractal_tasks.model.planes import choose_planes
from fractal_tasks.records.roi_pairing import pair_rois
from fractal_tasks.registration.base import RegistrationMethod
from fractal_tasks.storage.pixels.roi_patches import (
    RoiPatch,
    channel_pyramid,
    roi_pyramid,
)
from fractal_tasks.storage.plate.channels import find_channel
from fractal_tasks.storage.plate.default_rois import find_roi_table
from fractal_tasks.storage.plate.images import check_single_timepoint, find_level
from fractal_tasks.storage.plate.open_image import OpenImage, open_image
from fractal_tasks.storage.plate.roi_table_data import RoiTableData
from fractal_tasks.storage.plate.rois import roi_to_pixels
from fractal_tasks.storage.urls import ImageUrl
from fractal_tasks.transforms import FloatArray
from fractal_tasks.transforms.boxes import PixelBox, as_triple

logger = logging.getLogger(__name__)

_MAX_PLANE_PX = 2**28
"""Of the coarsest level. Pyramids of gigapixel images end far below."""

_BYTES_PER_PIXEL = 12
"""At least, of the coarsest level: two images of float32, and one made of them."""

_MAX_PIXEL_RATIO = 100
"""Between two acquisitions. Objectives differ by up to 20 times, units by 1000."""


@dataclass(frozen=True)
class Side:
    """One of the two images that are compared."""

    image: OpenImage
    levels: list[RoiPatch]
    """The whole channel, finest level first."""

    channel: int
    """Index of that channel."""

    start_level: int
    """Index of the level at which whole ROIs are searched."""

    table: RoiTableData
    planes: str
    """Which are compared, as `Planes` says."""

    def open_roi(self, name: str) -> "SideRoi":
        """Find the level-0 pixels of a ROI.

        Raises:
            InvalidDataError: They are not inside the image.
        """
        where = f"{self.image.zarr_url}: table {self.table.name!r}, ROI {name!r}"
        box = roi_to_pixels(self.table.rois[name], self.image, where)
        first, *rest = box.start
        chosen = choose_planes(self.planes, box.shape[0], where)
        start, stop = first + chosen.start, first + chosen.stop
        seen = PixelBox(as_triple((start, *rest)), as_triple((stop, *box.stop[1:])))
        patches = roi_pyramid(self.levels, seen, where)
        return SideRoi(self, seen, where, tuple(patches), first)


@dataclass(frozen=True)
class SideRoi:
    """A ROI of one of the two images."""

    side: Side
    box: PixelBox
    """What is compared of it."""

    where: str
    """Names it in errors."""

    patches: tuple[RoiPatch, ...]
    """Finest level first. They keep what they have decoded."""

    first_plane: int
    """Of the whole ROI."""

    @property
    def start_level(self) -> int:
        """Index of the patch at which the search starts."""
        return min(self.side.start_level, len(self.patches) - 1)

    @property
    def start_patch(self) -> RoiPatch:
        """The patch at which the search starts."""
        return self.patches[self.start_level]

    def find_corner_um(self, *, is_flat: bool) -> FloatArray:
        """Give the first corner of what is compared.

        Args:
            is_flat: Whether that is only y and x: which planes show them says nothing
                about z.
        """
        z, y, x = self.box.start
        first = (self.first_plane if is_flat else z, y, x)
        corner: FloatArray = np.multiply(first, self.side.image.spacing_um)
        return corner


@dataclass(frozen=True)
class RoiPair:
    """A ROI of the reference, and the one to be registered that shows the same."""

    key: RowKey
    """Of the row in the acquisition's table."""

    fixed: SideRoi
    moving: SideRoi

    @property
    def is_flat(self) -> bool:
        """Whether one of both has a single plane, so that only y and x compare."""
        return min(self.fixed.box.shape[0], self.moving.box.shape[0]) == 1

    @property
    def is_uneven(self) -> bool:
        """Whether planes differ in number or distance, and so cannot be paired."""
        one, other = self.fixed.patches[0], self.moving.patches[0]
        return (one.shape[:-2], one.spacing_um[:-2]) != (
            other.shape[:-2],
            other.spacing_um[:-2],
        )

    def is_planar(self, settings: CalculateSettings) -> bool:
        """Whether only y and x are compared."""
        return settings.dimensions == "2d" or self.is_flat

    def release(self) -> None:
        """Forget the pixels that were read."""
        for patch in (*self.fixed.patches, *self.moving.patches):
            patch.release()


def open_sides(
    reference: ImageUrl,
    acquisition: ImageUrl,
    settings: CalculateSettings,
    channels: tuple[str, str] | None = None,
) -> tuple[Side, Side]:
    """Open the two images that are compared, reference first.

    Args:
        reference: What is compared with.
        acquisition: What is registered.
        settings: What is compared.
        channels: Id, label or index of the channel of each; left out, that of the
            settings.

    Raises:
        InvalidInputError: Channel or level are not in an image.
        InvalidDataError: An image or table cannot be read.
    """
    channels = channels or (settings.wavelength_id, settings.wavelength_id)
    image = open_image(acquisition, settings.missing_length_unit)
    reference_image = open_image(reference, image.missing_unit)
    _check_pixel_sizes(reference_image, image)
    fixed = _open_side(reference_image, channels[0], settings, None)
    moving = _open_side(image, channels[1], settings, reference_image)
    return fixed, moving


def _check_pixel_sizes(reference: OpenImage, image: OpenImage) -> None:
    """Refuse pixels so different that a unit must be wrong."""
    ratios = np.divide(image.spacing_um[1:], reference.spacing_um[1:])
    if (np.maximum(ratios, 1 / ratios) > _MAX_PIXEL_RATIO).any():
        raise InvalidDataError(
            f"{image.zarr_url}: found pixels of {_format_um(image)} um, and of "
            f"{_format_um(reference)} um in {reference.zarr_url}; needed are sizes "
            f"less than {_MAX_PIXEL_RATIO} times apart. Correct pixel size and unit in "
            "the metadata, or missing_length_unit where they have no unit."
        )


def _format_um(image: OpenImage) -> str:
    return " x ".join(f"{size:.4g}" for size in image.spacing_um[1:])


def _open_side(
    image: OpenImage,
    channel: str,
    settings: CalculateSettings,
    reference: OpenImage | None,
) -> Side:
    check_single_timepoint(image)
    index = find_channel(image, channel)
    return Side(
        image=image,
        levels=channel_pyramid(image, index),
        channel=index,
        start_level=find_level(image, settings.level_path),
        table=find_roi_table(image, settings.input_roi_table, reference),
        planes=settings.planes,
    )


def open_pairs(
    fixed: Side, moving: Side, method: RegistrationMethod, settings: CalculateSettings
) -> list[RoiPair]:
    """Pair the ROIs of two images, in the order of the moving one's table.

    Raises:
        InvalidInputError: The method cannot register their number of planes.
        InvalidDataError: A ROI is not inside its image, or none have a partner.
    """
    pairing = pair_rois(fixed.image, fixed.table, moving.image, moving.table)
    _log_pairing(pairing, fixed, moving)
    pairs = [
        RoiPair(RowKey(name), fixed.open_roi(partner), moving.open_roi(name))
        for name, partner in pairing.partners.items()
    ]
    for pair in pairs:
        _check_dimensions(pair, method, settings)
        _check_memory(pair, settings)
    return pairs


def _log_pairing(pairing: Pairing, fixed: Side, moving: Side) -> None:
    """Say what was compared with what, and what was left out."""
    renamed = [
        f"{own!r} with {partner!r}"
        for own, partner in pairing.partners.items()
        if own != partner
    ]
    # By their names is what everybody expects.
    level = (
        logging.INFO if set(pairing.paired_by.values()) <= {"name"} else logging.WARNING
    )
    logger.log(
        level,
        "%s: ROIs are paired with those of %s: %s%s",
        moving.image.zarr_url,
        fixed.image.zarr_url,
        pairing.describe(),
        f" ({', '.join(renamed)})" if renamed else "",
    )
    for image, alone, other in (
        (moving.image, pairing.moving_alone, fixed.image),
        (fixed.image, pairing.fixed_alone, moving.image),
    ):
        if alone:
            logger.warning(
                "%s: the ROIs %s have no partner in %s and are not registered to it",
                image.zarr_url,
                list(alone),
                other.zarr_url,
            )


def _check_dimensions(
    pair: RoiPair, method: RegistrationMethod, settings: CalculateSettings
) -> None:
    if settings.dimensions == "3d" and pair.is_flat:
        raise InvalidInputError(
            f"{pair.key}: dimensions='3d' needs a stack, found one plane. Choose "
            "'auto' or '2d'."
        )
    if not pair.is_planar(settings) and 3 not in method.dimensionalities:
        planes = pair.moving.box.shape[0]
        raise InvalidInputError(
            f"{pair.key}: found a stack of {planes} planes, and the method is for 2D "
            "images only. Choose dimensions='2d' to register the maximum projection, "
            "or the method 'phase_cross_correlation'."
        )


def _check_memory(pair: RoiPair, settings: CalculateSettings) -> None:
    """Refuse what a search would read for hours, or be killed for."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    is_2d = pair.is_planar(settings)
    for side in (pair.fixed, pair.moving):
        shape = side.patches[-1].shape
        needed = _BYTES_PER_PIXEL * math.prod(shape[-2:] if is_2d else shape)
        if needed > memory or math.prod(shape[-2:]) > _MAX_PLANE_PX:
            raise InvalidDataError(
                f"{side.where}: found {' x '.join(map(str, shape))} pixels at the "
                f"coarsest level; a search reads all of them, and needs at most "
                f"{_MAX_PLANE_PX} in a plane and {memory / _BYTES_PER_PIXEL:.0f} in "
                "this machine's memory. Choose a ROI table of single fields as "
                "input_roi_table, or convert the image again with more levels."
            )
