"""Estimate the transform of every ROI of an acquisition onto the reference."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import Field, validate_call
from threadpoolctl import threadpool_limits

from fractal_tasks import __version__
from fractal_tasks.errors import InvalidInputError
from fractal_tasks.qc.verdict import MIN_CONFIDENCE
from fractal_tasks.registration.base import RegistrationMethod
from fractal_tasks.registration.fixed_pattern import (
    FixedPattern,
    MaskedPatch,
    find_fixed_pattern,
)
from fractal_tasks.registration.patch import (
    ClippedPatch,
    MaxProjectionPatch,
    Patch,
    ResampledPatch,
    intensity_limits,
)
from fractal_tasks.registration.phase_cross_correlation import PhaseCrossCorrelation
from fractal_tasks.registration.registry import Method
from fractal_tasks.storage.images import (
    check_level,
    check_single_timepoint,
    find_channel,
    open_image,
    roi_to_pixels,
    spacing_of,
)
from fractal_tasks.storage.roi_columns import (
    ALTERNATIVES_COLUMN,
    CONFIDENCE_COLUMN,
    EVIDENCE_COLUMNS,
    STATUS_COLUMN,
    TRANSFORM_COLUMN,
    TRANSLATION_COLUMNS,
    StoredAlternative,
    alternatives_to_json,
)
from fractal_tasks.storage.roi_patches import RoiPatch, channel_pyramid, roi_pyramid
from fractal_tasks.storage.roi_tables import (
    RoiTableData,
    check_same_rois,
    check_table_replaceable,
    read_roi_table,
    replace_roi_table,
)
from fractal_tasks.storage.stores import check_writable, heal_image, lock_image
from fractal_tasks.storage.urls import (
    ImageUrl,
    parse_image_url,
    parse_storage_options,
)
from fractal_tasks.storage.wells import read_acquisition
from fractal_tasks.task_io import (
    TASK_CONFIG,
    InitArgsRegistration,
    StorageOptionsText,
)
from fractal_tasks.transforms import Transform, Translation, transform_to_json
from fractal_tasks.transforms.boxes import PixelBox

if TYPE_CHECKING:
    from ngio import Image, Roi

    from fractal_tasks.registration.estimate import Estimate

logger = logging.getLogger(__name__)

Dimensions = Literal["auto", "2d", "3d"]
Quantile = Annotated[float, Field(ge=0, le=1)]

_STILL_BINS = 1.5
"""A shift below this many bins of the fixed pattern may be the pattern itself."""


@validate_call(config=TASK_CONFIG)
def calculate_registration(
    *,
    zarr_url: str,
    init_args: InitArgsRegistration,
    wavelength_id: str,
    method: Method = PhaseCrossCorrelation(),  # noqa: B008 (frozen)
    lower_rescale_quantile: Quantile = 0.0,
    upper_rescale_quantile: Quantile = 0.99,
    input_roi_table: str = "FOV_ROI_table",
    level_path: str = "2",
    dimensions: Dimensions = "auto",
    storage_options: StorageOptionsText = None,
) -> None:
    """Estimate how each ROI of this acquisition moved against the reference.

    Every ROI is compared with the ROI of the same name in the reference acquisition.
    The translation in micrometres, with the confidence and the evidence for it, is
    stored in the ROI table of this acquisition.

    Args:
        zarr_url: Url of the image to process (set by the Fractal server).
        init_args: Reference image, found by `init_calculate_registration` (set by the
            Fractal server).
        wavelength_id: Channel to compare, e.g. `A01_C01`. Choose a stain that is in
            every acquisition, such as the nuclear stain.
        method: How the images are compared. `phase_cross_correlation` suits most
            images, in 2D and 3D; `chi2_shift` compares intensities directly, 2D only.
        lower_rescale_quantile: Intensities below this quantile (0 to 1) are treated as
            equal. Raise it, e.g. to `0.1`, if the dark background has structure.
        upper_rescale_quantile: Intensities above this quantile (0 to 1) of the pixels
            that stand out from the background are treated as equal. Lower it, e.g. to
            `0.9`, if there is bright debris.
        input_roi_table: ROIs to register one by one, e.g. `FOV_ROI_table` for the
            fields of view or `well_ROI_table` for the whole well at once.
        level_path: Resolution level at which the whole ROI is searched, e.g. `2`. A
            lower number sees finer structure and takes longer. The result is refined at
            full resolution in any case.
        dimensions: `2d` registers the maximum projection in y and x and leaves z alone,
            `3d` registers y, x and z, `auto` is `3d` for stacks and `2d` for one plane.
        storage_options: How to reach a plate in an object store, as a JSON object, e.g.
            `{"anon": true}` for public data. Not needed if the environment says it.
            Do not put secrets here: a server stores and shows arguments.

    Raises:
        InvalidInputError: An argument does not fit the images.
        InvalidDataError: Images or ROI tables are not as needed.
        PublishError: The ROI table could not be replaced; the old one is untouched.
    """
    options = parse_storage_options(storage_options)
    image = parse_image_url(zarr_url, options)
    reference = parse_image_url(init_args.reference_zarr_url, options)
    check_writable(image)
    if lower_rescale_quantile >= upper_rescale_quantile:
        raise InvalidInputError(
            f"lower_rescale_quantile={lower_rescale_quantile} must be less than "
            f"upper_rescale_quantile={upper_rescale_quantile}."
        )
    logger.info(
        "calculate_registration: %s onto %s, wavelength_id=%r, method=%r, "
        "input_roi_table=%r, level_path=%r, dimensions=%r",
        image.zarr_url,
        reference.zarr_url,
        wavelength_id,
        method,
        input_roi_table,
        level_path,
        dimensions,
    )
    acquisition = read_acquisition(image)
    with lock_image(image):
        heal_image(image)
        moving = _open_side(image, wavelength_id, level_path, input_roi_table)
        fixed = _open_side(reference, wavelength_id, level_path, input_roi_table)
        check_same_rois({reference: fixed.table, image: moving.table})
        check_table_replaceable(image, input_roi_table)
        pairs = {
            name: (_open_roi(fixed, name), _open_roi(moving, name))
            for name in moving.table.rois
        }
        for name, (fixed_roi, moving_roi) in pairs.items():
            _check_dimensions(method, dimensions, name, fixed_roi.box, moving_roi.box)
        pattern = _find_pattern(list(pairs.values()))
        rois = []
        for name, (fixed_roi, moving_roi) in pairs.items():
            estimate = _register_roi(
                fixed_roi,
                moving_roi,
                method=method,
                dimensions=dimensions,
                quantiles=(lower_rescale_quantile, upper_rescale_quantile),
                pattern=pattern,
            )
            _log_estimate(name, acquisition, estimate)
            rois.append(_updated_roi(moving.table.rois[name], estimate))
        replace_roi_table(
            image,
            input_roi_table,
            rois=rois,
            meta=moving.table.meta,
            record={
                "task": "calculate_registration",
                "version": __version__,
                "reference_image": reference.image_path,
                "wavelength_id": wavelength_id,
                "method": method.model_dump(),
                "lower_rescale_quantile": lower_rescale_quantile,
                "upper_rescale_quantile": upper_rescale_quantile,
                "level_path": level_path,
                "dimensions": dimensions,
            },
        )
    _log_summary(image, acquisition, rois)


@dataclass(frozen=True)
class _Side:
    """One of the two images that are compared."""

    url: ImageUrl
    image: "Image"
    """Level 0."""

    levels: list[RoiPatch]
    """The whole channel, finest level first."""

    start_level: int
    table: RoiTableData


@dataclass(frozen=True)
class _Roi:
    side: _Side
    box: PixelBox
    where: str

    @property
    def patches(self) -> list[Patch]:
        """The ROI, finest level first."""
        return list(roi_pyramid(self.side.levels, self.box, self.where))

    @property
    def start_patch(self) -> Patch:
        """The ROI at the level where the search starts."""
        patches = self.patches
        return patches[min(self.side.start_level, len(patches) - 1)]


def _open_side(
    url: ImageUrl, wavelength_id: str, level_path: str, roi_table: str
) -> _Side:
    container = open_image(url)
    check_single_timepoint(container, url)
    return _Side(
        url=url,
        image=container.get_image(),
        levels=channel_pyramid(container, find_channel(container, url, wavelength_id)),
        start_level=check_level(container, url, level_path),
        table=read_roi_table(container, url, roi_table),
    )


def _open_roi(side: _Side, name: str) -> _Roi:
    """Find the level-0 pixels of a ROI, checked against the image."""
    where = f"{side.url.zarr_url}: table {side.table.name!r}, ROI {name!r}"
    box = roi_to_pixels(side.table.rois[name], side.image, where)
    return _Roi(side, box, where)


def _check_dimensions(
    method: RegistrationMethod,
    dimensions: Dimensions,
    name: str,
    fixed: PixelBox,
    moving: PixelBox,
) -> None:
    planes = min(fixed.shape[0], moving.shape[0])
    if dimensions == "3d" and planes == 1:
        raise InvalidInputError(
            f"ROI {name!r}: dimensions='3d' needs a stack, found one plane. Choose "
            "'auto' or '2d'."
        )
    if dimensions != "2d" and planes > 1 and 3 not in method.dimensionalities:
        raise InvalidInputError(
            f"ROI {name!r}: found a stack of {planes} planes, and the method is for 2D "
            "images only. Choose dimensions='2d' to register the maximum projection, "
            "or the method 'phase_cross_correlation'."
        )


def _find_pattern(pairs: Sequence[tuple[_Roi, _Roi]]) -> FixedPattern | None:
    """Find what the camera shows in all ROIs, and say how much it is."""
    pattern = find_fixed_pattern(
        [fixed.start_patch for fixed, _ in pairs],
        [moving.start_patch for _, moving in pairs],
    )
    if pattern is not None and pattern.mask.any():
        logger.info(
            "%.2f %% of the camera shows the same in all ROIs (hot pixels, dust) and "
            "is left out",
            100 * pattern.mask.mean(),
        )
    return pattern


def _register_roi(
    fixed: _Roi,
    moving: _Roi,
    *,
    method: RegistrationMethod,
    dimensions: Dimensions,
    quantiles: tuple[float, float],
    pattern: FixedPattern | None,
) -> "Estimate":
    fixed_patches = _prepared(fixed, dimensions, quantiles, pattern)
    moving_patches = _prepared(moving, dimensions, quantiles, pattern)
    moving_patches = [_on_spacing(moving_patches, patch) for patch in fixed_patches]
    # Tasks run side by side: more threads would only wait for each other, at full load.
    with threadpool_limits(1, "blas"):
        estimate = method.estimate(
            fixed_patches,
            moving_patches,
            start_level=min(fixed.side.start_level, len(fixed_patches) - 1),
        )
    if (
        pattern is not None
        and _is_still(estimate, pattern)
        and pattern.explains(fixed.start_patch, moving.start_patch)
    ):
        # What was found is the camera, not the sample.
        estimate = replace(estimate, confidence=0.0)
    return _in_image_frame(estimate, fixed, moving)


def _is_still(estimate: "Estimate", pattern: FixedPattern) -> bool:
    """Tell whether the shift is too small to leave a fixed pattern."""
    _, y, x = _translation_of(estimate.transform)
    return bool(np.all(np.abs((y, x)) < np.multiply(_STILL_BINS, pattern.spacing_um)))


def _prepared(
    roi: _Roi,
    dimensions: Dimensions,
    quantiles: tuple[float, float],
    pattern: FixedPattern | None,
) -> list[Patch]:
    patches = roi.patches
    if dimensions == "2d" and len(patches[0].shape) == 3:
        patches = [MaxProjectionPatch(patch) for patch in patches]
    if quantiles != (0.0, 1.0):
        coarse = patches[min(roi.side.start_level, len(patches) - 1)]
        limits = intensity_limits(coarse, *quantiles)
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


def _in_image_frame(estimate: "Estimate", fixed: _Roi, moving: _Roi) -> "Estimate":
    """Turn transforms between ROI corners into ones between the images."""
    corners = [
        np.multiply(roi.box.start, spacing_of(roi.side.image))
        for roi in (fixed, moving)
    ]

    def move(transform: Transform) -> Translation:
        z, y, x = np.add(_translation_of(transform), corners[0] - corners[1]).tolist()
        return Translation((z, y, x))

    return replace(
        estimate,
        transform=move(estimate.transform),
        alternatives=tuple(
            replace(other, transform=move(other.transform))
            for other in estimate.alternatives
        ),
    )


def _translation_of(transform: Transform) -> tuple[float, float, float]:
    z, y, x = transform.map_points(np.zeros((1, 3)))[0].tolist()
    return z, y, x


def _updated_roi(roi: "Roi", estimate: "Estimate") -> "Roi":
    evidence = (
        estimate.error_um,
        estimate.similarity_before,
        estimate.similarity_after,
        estimate.overlap,
    )
    return roi.model_copy(
        update={
            **dict(
                zip(
                    TRANSLATION_COLUMNS,
                    _translation_of(estimate.transform),
                    strict=True,
                )
            ),
            **dict(zip(EVIDENCE_COLUMNS, evidence, strict=True)),
            CONFIDENCE_COLUMN: estimate.confidence,
            STATUS_COLUMN: "measured",
            TRANSFORM_COLUMN: transform_to_json(estimate.transform),
            ALTERNATIVES_COLUMN: alternatives_to_json(
                StoredAlternative(
                    _translation_of(other.transform), other.confidence, other.error_um
                )
                for other in estimate.alternatives
            ),
        }
    )


def _log_estimate(name: str, acquisition: int, estimate: "Estimate") -> None:
    z, y, x = _translation_of(estimate.transform)
    logger.info(
        "ROI %r, acquisition %d: translation z=%.3f, y=%.3f, x=%.3f um, confidence "
        "%.2f, similarity %.2f -> %.2f, overlap %.2f",
        name,
        acquisition,
        z,
        y,
        x,
        estimate.confidence,
        estimate.similarity_before,
        estimate.similarity_after,
        estimate.overlap,
    )


def _log_summary(image: ImageUrl, acquisition: int, rois: Sequence["Roi"]) -> None:
    extras = [roi.model_extra or {} for roi in rois]
    lengths = [
        float(np.linalg.norm([extra[column] for column in TRANSLATION_COLUMNS]))
        for extra in extras
    ]
    confidences = [extra[CONFIDENCE_COLUMN] for extra in extras]
    logger.info(
        "%s: acquisition %d, %d ROIs registered, %d with a confidence below %s; "
        "translation median %.2f um, maximum %.2f um",
        image.zarr_url,
        acquisition,
        len(rois),
        sum(confidence < MIN_CONFIDENCE for confidence in confidences),
        MIN_CONFIDENCE,
        float(np.median(lengths)),
        max(lengths),
    )


if __name__ == "__main__":
    from fractal_task_tools.task_wrapper import run_fractal_task

    run_fractal_task(task_function=calculate_registration)
