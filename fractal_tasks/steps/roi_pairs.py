"""The ROIs of two acquisitions, opened pairwise and prepared for registration."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.model import CalculateSettings, Pairing, RowKey
from fractal_tasks.records.roi_pairing import pair_rois
from fractal_tasks.registration.base import RegistrationMethod
from fractal_tasks.registration.fixed_pattern import FixedPattern, MaskedPatch
from fractal_tasks.registration.patch import (
    ClippedPatch,
    MaxProjectionPatch,
    Patch,
    ResampledPatch,
    intensity_limits,
)
from fractal_tasks.storage.pixels.roi_patches import (
    RoiPatch,
    channel_pyramid,
    roi_pyramid,
)
from fractal_tasks.storage.plate.channels import find_channel
from fractal_tasks.storage.plate.default_rois import find_roi_table
from fractal_tasks.storage.plate.images import check_single_timepoint, find_level
from fractal_tasks.storage.plate.open_image import OpenImage, open_image
from fractal_tasks.storage.plate.roi_tables import RoiTableData
from fractal_tasks.storage.plate.rois import roi_to_pixels
from fractal_tasks.storage.urls import ImageUrl
from fractal_tasks.transforms import FloatArray
from fractal_tasks.transforms.boxes import PixelBox

logger = logging.getLogger(__name__)


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

    def open_roi(self, name: str) -> "SideRoi":
        """Find the level-0 pixels of a ROI.

        Raises:
            InvalidDataError: They are not inside the image.
        """
        where = f"{self.image.zarr_url}: table {self.table.name!r}, ROI {name!r}"
        box = roi_to_pixels(self.table.rois[name], self.image, where)
        patches = roi_pyramid(self.levels, box, where)
        return SideRoi(self, box, where, tuple(patches))


@dataclass(frozen=True)
class SideRoi:
    """A ROI of one of the two images."""

    side: Side
    box: PixelBox
    where: str
    """Names it in errors."""

    patches: tuple[RoiPatch, ...]
    """Finest level first. They keep what they have decoded."""

    @property
    def start_level(self) -> int:
        """Index of the patch at which the search starts."""
        return min(self.side.start_level, len(self.patches) - 1)

    @property
    def start_patch(self) -> RoiPatch:
        """The patch at which the search starts."""
        return self.patches[self.start_level]

    @property
    def corner_um(self) -> FloatArray:
        """The first corner in the image."""
        corner: FloatArray = np.multiply(self.box.start, self.side.image.spacing_um)
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
    fixed = _open_side(reference_image, channels[0], settings, None)
    moving = _open_side(image, channels[1], settings, reference_image)
    return fixed, moving


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
    return pairs


def _log_pairing(pairing: Pairing, fixed: Side, moving: Side) -> None:
    """Say what was compared with what, and what was left out."""
    renamed = [
        f"{own!r} with {partner!r}"
        for own, partner in pairing.partners.items()
        if own != partner
    ]
    logger.info(
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
    is_stack = settings.dimensions != "2d" and not pair.is_flat
    if is_stack and 3 not in method.dimensionalities:
        planes = pair.moving.box.shape[0]
        raise InvalidInputError(
            f"{pair.key}: found a stack of {planes} planes, and the method is for 2D "
            "images only. Choose dimensions='2d' to register the maximum projection, "
            "or the method 'phase_cross_correlation'."
        )


def prepare_pair(
    pair: RoiPair, settings: CalculateSettings, pattern: FixedPattern | None
) -> tuple[list[Patch], list[Patch]]:
    """Give the patches of a pair as a method gets them: of one spacing per level."""
    is_2d = settings.dimensions == "2d" or (pair.is_flat and pair.is_uneven)
    fixed = _prepare(pair.fixed, settings, pattern, is_2d=is_2d)
    moving = _prepare(pair.moving, settings, pattern, is_2d=is_2d)
    return fixed, [_on_spacing(moving, patch) for patch in fixed]


def _prepare(
    roi: SideRoi,
    settings: CalculateSettings,
    pattern: FixedPattern | None,
    *,
    is_2d: bool,
) -> list[Patch]:
    """Project, clip and mask the patches of a ROI, as far as asked for."""
    patches: list[Patch] = list(roi.patches)
    if is_2d and len(patches[0].shape) == 3:
        patches = [MaxProjectionPatch(patch) for patch in patches]
    quantiles = settings.lower_rescale_quantile, settings.upper_rescale_quantile
    if quantiles != (0.0, 1.0):
        limits = intensity_limits(patches[roi.start_level], *quantiles)
        patches = [ClippedPatch(patch, *limits) for patch in patches]
    if pattern is not None and pattern.mask.any():
        patches = [MaskedPatch(patch, pattern) for patch in patches]
    return patches


def _on_spacing(candidates: Sequence[Patch], fixed: Patch) -> Patch:
    """Give the moving patch on the pixel size of `fixed`, resampled if need be.

    Of the levels that are not coarser than `fixed` the coarsest is used.
    """
    fine_enough = [
        patch
        for patch in candidates
        if np.all(np.divide(patch.spacing_um, fixed.spacing_um) < 1 + 1e-3)
    ]
    patch = fine_enough[-1] if fine_enough else candidates[0]
    if np.allclose(patch.spacing_um, fixed.spacing_um, rtol=1e-6, atol=0):
        return patch
    return ResampledPatch(patch, fixed.spacing_um)
