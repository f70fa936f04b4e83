"""The ROIs of two acquisitions, opened pairwise and prepared for registration."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.model import CalculateSettings, RowKey
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
from fractal_tasks.storage.plate.images import (
    check_level,
    check_single_timepoint,
    find_channel,
)
from fractal_tasks.storage.plate.open_image import OpenImage, open_image
from fractal_tasks.storage.plate.roi_tables import (
    RoiTableData,
    check_same_rois,
    read_roi_table,
)
from fractal_tasks.storage.plate.rois import roi_to_pixels
from fractal_tasks.storage.urls import ImageUrl
from fractal_tasks.transforms import FloatArray
from fractal_tasks.transforms.boxes import PixelBox


@dataclass(frozen=True)
class Side:
    """One of the two images that are compared."""

    image: OpenImage
    levels: list[RoiPatch]
    """The whole channel, finest level first."""

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
    """A ROI of the reference and the one of the same name to be registered."""

    key: RowKey
    fixed: SideRoi
    moving: SideRoi

    def release(self) -> None:
        """Forget the pixels that were read."""
        for patch in (*self.fixed.patches, *self.moving.patches):
            patch.release()


def open_sides(
    reference: ImageUrl, acquisition: ImageUrl, settings: CalculateSettings
) -> tuple[Side, Side]:
    """Open the two images that are compared, reference first.

    Raises:
        InvalidInputError: Channel or level are not in an image.
        InvalidDataError: An image or table cannot be read, or the ROIs differ.
    """
    moving = _open_side(acquisition, settings)
    fixed = _open_side(reference, settings)
    check_same_rois({reference: fixed.table, acquisition: moving.table})
    return fixed, moving


def _open_side(url: ImageUrl, settings: CalculateSettings) -> Side:
    image = open_image(url)
    check_single_timepoint(image)
    return Side(
        image=image,
        levels=channel_pyramid(
            image.container, find_channel(image, settings.wavelength_id)
        ),
        start_level=check_level(image, settings.level_path),
        table=read_roi_table(image, settings.input_roi_table),
    )


def pair_rois(
    fixed: Side, moving: Side, method: RegistrationMethod, settings: CalculateSettings
) -> list[RoiPair]:
    """Pair the ROIs of two images by name, in the order of the moving one's table.

    Raises:
        InvalidInputError: The method cannot register their number of planes.
        InvalidDataError: A ROI is not inside its image.
    """
    pairs = [
        RoiPair(RowKey(name), fixed.open_roi(name), moving.open_roi(name))
        for name in moving.table.rois
    ]
    for pair in pairs:
        _check_dimensions(pair, method, settings)
    return pairs


def _check_dimensions(
    pair: RoiPair, method: RegistrationMethod, settings: CalculateSettings
) -> None:
    planes = min(pair.fixed.box.shape[0], pair.moving.box.shape[0])
    if settings.dimensions == "3d" and planes == 1:
        raise InvalidInputError(
            f"{pair.key}: dimensions='3d' needs a stack, found one plane. Choose "
            "'auto' or '2d'."
        )
    if settings.dimensions != "2d" and planes > 1 and 3 not in method.dimensionalities:
        raise InvalidInputError(
            f"{pair.key}: found a stack of {planes} planes, and the method is for 2D "
            "images only. Choose dimensions='2d' to register the maximum projection, "
            "or the method 'phase_cross_correlation'."
        )


def prepare_pair(
    pair: RoiPair, settings: CalculateSettings, pattern: FixedPattern | None
) -> tuple[list[Patch], list[Patch]]:
    """Give the patches of a pair as a method gets them: of one spacing per level."""
    fixed = _prepare(pair.fixed, settings, pattern)
    moving = _prepare(pair.moving, settings, pattern)
    return fixed, [_on_spacing(moving, patch) for patch in fixed]


def _prepare(
    roi: SideRoi, settings: CalculateSettings, pattern: FixedPattern | None
) -> list[Patch]:
    """Project, clip and mask the patches of a ROI, as far as asked for."""
    patches: list[Patch] = list(roi.patches)
    if settings.dimensions == "2d" and len(patches[0].shape) == 3:
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
