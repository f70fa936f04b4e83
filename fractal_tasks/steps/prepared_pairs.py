"""What a method gets to see of a pair of ROIs."""

import math
from collections.abc import Sequence

import numpy as np

from fractal_tasks.model import CalculateSettings
from fractal_tasks.registration.fixed_pattern import FixedPattern, MaskedPatch
from fractal_tasks.registration.local_brightness import Brightness, EvenPatch
from fractal_tasks.registration.patch import (
    ClippedPatch,
    MaxProjectionPatch,
    Patch,
    ResampledPatch,
    intensity_limits,
)
from fractal_tasks.steps.roi_pairs import RoiPair, SideRoi

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
    patches: list[Patch] = list(roi.patches)
    if is_2d and len(patches[0].shape) == 3:
        patches = [MaxProjectionPatch(patch) for patch in patches]
    if settings.normalize == "local":
        brightness = Brightness.of(patches[roi.start_level])
        patches = [EvenPatch(patch, brightness) for patch in patches]
    quantiles = settings.lower_rescale_quantile, settings.upper_rescale_quantile
    if quantiles != (0.0, 1.0):
        coarser = patches[roi.start_level :]
        small = (one for one in coarser if math.prod(one.shape) <= _MAX_SAMPLED_PX)
        limits = intensity_limits(next(small, coarser[-1]), *quantiles)
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
