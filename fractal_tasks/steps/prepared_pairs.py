"""What a method gets to see of a pair of ROIs."""

import logging
import math
from collections.abc import Sequence

import numpy as np

from fractal_tasks.model import OTSU, CalculateSettings
from fractal_tasks.registration.combined import combine
from fractal_tasks.registration.fixed_pattern import FixedPattern, MaskedPatch
from fractal_tasks.registration.local_brightness import Brightness, EvenPatch
from fractal_tasks.registration.patch import (
    ClippedPatch,
    MaxProjectionPatch,
    Patch,
    ResampledPatch,
    intensity_limits,
)
from fractal_tasks.registration.region import Region, RegionPatch
from fractal_tasks.steps.roi_pairs import RoiPair
from fractal_tasks.steps.sides import SideRoi

logger = logging.getLogger(__name__)

_MAX_SAMPLED_PX = 2**28
"""Of a ROI of more pixels at the level of the search, a coarser one is sampled."""


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
    channels = [_prepare_channel(one, roi, settings, is_2d) for one in roi.channels]
    region = _find_region(roi, channels[0], settings)
    if region is not None:
        channels = [
            [RegionPatch(one, region) for one in patches] for patches in channels
        ]
    quantiles = settings.lower_rescale_quantile, settings.upper_rescale_quantile
    if quantiles != (0.0, 1.0):
        channels = [_clip(patches, roi.start_level, quantiles) for patches in channels]
    patches = combine(channels, roi.start_level)
    if pattern is not None and pattern.mask.any():
        patches = [MaskedPatch(patch, pattern) for patch in patches]
    return patches


def _prepare_channel(
    read: Sequence[Patch], roi: SideRoi, settings: CalculateSettings, is_2d: bool
) -> list[Patch]:
    """Project a channel, and divide it by its brightness."""
    patches = list(read)
    if is_2d and len(patches[0].shape) == 3:
        patches = [MaxProjectionPatch(patch) for patch in patches]
    if settings.normalize == "local":
        brightness = Brightness.of(patches[roi.start_level])
        patches = [EvenPatch(patch, brightness) for patch in patches]
    return patches


def _find_region(
    roi: SideRoi, patches: Sequence[Patch], settings: CalculateSettings
) -> Region | None:
    """Find what is compared; None if that is all."""
    start_patch = patches[roi.start_level]
    if settings.mask == OTSU:
        return Region.of_bright(start_patch)
    if roi.side.mask is None:
        return None
    objects, spacing_um = roi.side.mask.read(roi.box, start_patch.spacing_um)
    if not objects.any():
        logger.warning(
            "%s: the mask %r holds nothing of it, so there is nothing to compare",
            roi.where,
            settings.mask,
        )
    ndim = len(start_patch.shape)
    if ndim == 2:
        objects = np.any(objects, axis=0)
    return Region.around(objects, spacing_um[-ndim:])


def _clip(
    patches: Sequence[Patch], start_level: int, quantiles: tuple[float, float]
) -> list[Patch]:
    """Limit intensities to what is between two quantiles."""
    coarser = patches[start_level:]
    small = (one for one in coarser if math.prod(one.shape) <= _MAX_SAMPLED_PX)
    limits = intensity_limits(next(small, coarser[-1]), *quantiles)
    return [ClippedPatch(patch, *limits) for patch in patches]


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
