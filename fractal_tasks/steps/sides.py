"""The two images that are compared, and what is read of their ROIs."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.model import NO_MASK, OTSU, CalculateSettings
from fractal_tasks.model.planes import choose_planes
from fractal_tasks.registration.combined import combine
from fractal_tasks.registration.patch import Patch
from fractal_tasks.storage.pixels.roi_patches import (
    RoiPatch,
    channel_pyramid,
    roi_pyramid,
)
from fractal_tasks.storage.plate.channels import find_channel
from fractal_tasks.storage.plate.default_rois import find_roi_table
from fractal_tasks.storage.plate.images import check_single_timepoint, find_level
from fractal_tasks.storage.plate.masks import StoredMask, find_mask, no_mask
from fractal_tasks.storage.plate.open_image import OpenImage, open_image
from fractal_tasks.storage.plate.roi_table_data import RoiTableData
from fractal_tasks.storage.plate.rois import roi_to_pixels
from fractal_tasks.storage.urls import ImageUrl
from fractal_tasks.transforms import FloatArray
from fractal_tasks.transforms.boxes import PixelBox, as_triple

_MAX_PIXEL_RATIO = 100
"""Between two acquisitions. Objectives differ by up to 20 times, units by 1000."""


@dataclass(frozen=True)
class Side:
    """One of the two images that are compared."""

    image: OpenImage
    levels: tuple[list[RoiPatch], ...]
    """Of each channel that is compared, finest level first."""

    channels: tuple[int, ...]
    """Indices of these channels."""

    start_level: int
    """Index of the level at which whole ROIs are searched."""

    table: RoiTableData
    planes: str
    """Which are compared, as `Planes` says."""

    mask: StoredMask | None = None
    """Of the pixels that are compared; None: all, or those that are bright."""

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
        channels = [roi_pyramid(levels, seen, where) for levels in self.levels]
        return SideRoi(self, seen, where, tuple(map(tuple, channels)), first)


@dataclass(frozen=True)
class SideRoi:
    """A ROI of one of the two images."""

    side: Side
    box: PixelBox
    """What is compared of it."""

    where: str
    """Names it in errors."""

    channels: tuple[tuple[RoiPatch, ...], ...]
    """Of each channel, finest level first. They keep what they have decoded."""

    first_plane: int
    """Of the whole ROI."""

    @property
    def patches(self) -> tuple[RoiPatch, ...]:
        """Those of the first channel."""
        return self.channels[0]

    @property
    def start_level(self) -> int:
        """Index of the patch at which the search starts."""
        return min(self.side.start_level, len(self.patches) - 1)

    @cached_property
    def start_patch(self) -> Patch:
        """The patch, of all channels, at which the search starts."""
        at_start = [[patches[self.start_level]] for patches in self.channels]
        return combine(at_start, 0)[0]

    def release(self) -> None:
        """Forget the pixels that were read."""
        for patches in self.channels:
            for patch in patches:
                patch.release()

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
        channels: Id, label or index of the first channel of each; left out, that of
            the settings.

    Raises:
        InvalidInputError: Channel or level are not in an image, or the mask is in
            neither.
        InvalidDataError: An image or table cannot be read.
    """
    channels = channels or (settings.wavelength_id, settings.wavelength_id)
    image = open_image(acquisition, settings.missing_length_unit)
    reference_image = open_image(reference, image.missing_unit)
    _check_pixel_sizes(reference_image, image)
    fixed = _open_side(reference_image, channels[0], settings, None)
    moving = _open_side(image, channels[1], settings, reference_image)
    is_stored = settings.mask not in {NO_MASK, OTSU}
    if is_stored and fixed.mask is None and moving.mask is None:
        raise no_mask(settings.mask, [reference_image, image])
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
    found = [find_channel(image, channel)]
    for name in settings.more_wavelength_ids:
        found.append(find_channel(image, name, "more_wavelength_ids"))
    channels = tuple(dict.fromkeys(found))
    is_stored = settings.mask not in {NO_MASK, OTSU}
    return Side(
        image=image,
        levels=tuple(channel_pyramid(image, index) for index in channels),
        channels=channels,
        start_level=find_level(image, settings.level_path),
        table=find_roi_table(image, settings.input_roi_table, reference),
        planes=settings.planes,
        mask=find_mask(image, settings.mask) if is_stored else None,
    )
