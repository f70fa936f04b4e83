"""Estimate the transform of every ROI of an acquisition onto the reference."""

import logging
from typing import Annotated

from pydantic import Field, validate_call

from fractal_tasks.interrupts import stopping_on_signals
from fractal_tasks.model import (
    ALL_PLANES,
    DEFAULT_LEVEL_PATH,
    DEFAULT_ROI_TABLE,
    NO_MASK,
    USUAL_LENGTH_UNIT,
    CalculateSettings,
    Dimensions,
    LengthUnit,
    Normalize,
    Planes,
)
from fractal_tasks.model.task_arguments import (
    TASK_CONFIG,
    InitArgsRegistration,
    StorageOptionsText,
)
from fractal_tasks.registration.phase_cross_correlation import PhaseCrossCorrelation
from fractal_tasks.registration.registry import Method
from fractal_tasks.report.output import find_overlay_folder
from fractal_tasks.steps.measure_rois import measure_rois
from fractal_tasks.steps.saved_overlays import save_estimated_overlays
from fractal_tasks.storage.urls import parse_image_url, parse_storage_options

logger = logging.getLogger(__name__)

Quantile = Annotated[float, Field(ge=0, le=1)]


@validate_call(config=TASK_CONFIG)
def calculate_registration(
    *,
    zarr_url: str,
    init_args: InitArgsRegistration,
    wavelength_id: str,
    more_wavelength_ids: list[str] = [],  # noqa: B006 (never changed)
    acquisition_wavelength_ids: dict[str, str] = {},  # noqa: B006 (never changed)
    method: Method = PhaseCrossCorrelation(),  # noqa: B008 (frozen)
    lower_rescale_quantile: Quantile = 0.0,
    upper_rescale_quantile: Quantile = 0.99,
    input_roi_table: str = DEFAULT_ROI_TABLE,
    level_path: str = DEFAULT_LEVEL_PATH,
    dimensions: Dimensions = "auto",
    planes: Planes = ALL_PLANES,
    normalize: Normalize = "none",
    mask: str = NO_MASK,
    missing_length_unit: LengthUnit = USUAL_LENGTH_UNIT,
    rerun: bool = False,
    save_overlays: bool = False,
    storage_options: StorageOptionsText = None,
) -> None:
    """Estimate how each ROI of this acquisition moved against the reference.

    Every ROI is compared with the one of the reference that has its name, or else its
    place. Its transform is stored in the ROI table of this acquisition, with confidence
    and evidence. What was done from the same images in the same way is not done again.

    Args:
        zarr_url: Url of the image to process (set by the Fractal server).
        init_args: Reference image, found by `init_calculate_registration` (set by the
            Fractal server).
        wavelength_id: Channel to compare, by wavelength id, e.g. `A01_C01`, label, e.g.
            `DAPI`, or index. Choose a stain of all acquisitions, such as the nuclei's.
        more_wavelength_ids: Further channels, named likewise, that are compared
            together with it, in all acquisitions. Give some if one shows too little.
        acquisition_wavelength_ids: Channel of acquisitions in which it is another one,
            by number, e.g. `{"1": "A02_C02"}`, or by the name of an image in no plate.
        method: How the images are compared. `phase_cross_correlation` suits most;
            `elastix` also finds what stretched, was sheared or tilted.
        lower_rescale_quantile: Intensities below this quantile (0 to 1) are treated as
            equal. Raise it, e.g. to `0.1`, if the dark background has structure.
        upper_rescale_quantile: Intensities above this quantile (0 to 1) of what stands
            out are treated as equal. Lower it, e.g. to `0.9`, if debris is bright.
        input_roi_table: ROIs to register one by one, e.g. `FOV_ROI_table`, or
            `well_ROI_table` for the whole well at once. Where the default is missing,
            the whole image is one ROI.
        level_path: Level at which the whole ROI is searched, e.g. `2`, or one like it.
            A lower number takes longer. The result is that of full resolution.
        dimensions: `2d` registers the maximum projection in y and x and leaves z alone,
            `3d` registers y, x and z, `auto` is `3d` for stacks and `2d` for one plane.
        planes: Planes of a stack that are compared: `all`, so many in the middle, e.g.
            `5`, or the first to the last, e.g. `2-9`, from 0. All of them are moved.
        normalize: `local` divides by the brightness around each place before images
            are compared. Choose it if illumination or background mislead.
        mask: What is compared, with what is within 5 um: `none` for all; a label or a
            masking ROI table, by name, for its objects (in the images that have it);
            `otsu` for what is bright.
        missing_length_unit: Unit of lengths in images whose metadata do not say it,
            e.g. `nanometer`.
        rerun: Whether to do again what was done in the same way already.
        save_overlays: Whether pictures of each ROI are written beside the plate.
        storage_options: How to reach a plate in an object store, as a JSON object, e.g.
            `{"anon": true}`. No secrets here: a server stores and shows arguments.

    Raises:
        InvalidInputError: An argument does not fit the images.
        InvalidDataError: Images or ROI tables are not as needed.
        PublishError: The ROI table could not be replaced; the old one is untouched.
    """
    options = parse_storage_options(storage_options)
    image = parse_image_url(zarr_url, options)
    pictures = find_overlay_folder(image) if save_overlays else None
    reference = parse_image_url(init_args.reference_zarr_url, options)
    settings = CalculateSettings.of(
        wavelength_id=wavelength_id,
        more_wavelength_ids=tuple(more_wavelength_ids),
        method=method,
        lower_rescale_quantile=lower_rescale_quantile,
        upper_rescale_quantile=upper_rescale_quantile,
        input_roi_table=input_roi_table,
        level_path=level_path,
        dimensions=dimensions,
        planes=planes,
        normalize=normalize,
        mask=mask,
        missing_length_unit=missing_length_unit,
    )
    logger.info("calculate_registration: %s, %s, %s", zarr_url, init_args, settings)
    channels = acquisition_wavelength_ids
    measure_rois(image, reference, method, settings, channels=channels, rerun=rerun)
    if pictures is not None:
        save_estimated_overlays(image, pictures, input_roi_table)


if __name__ == "__main__":
    from fractal_task_tools.task_wrapper import run_fractal_task

    with stopping_on_signals():
        run_fractal_task(task_function=calculate_registration)
