"""Judge the estimates of a well together and write the registered ROI tables."""

import logging
from typing import Annotated, Any

from pydantic import Field, validate_call

from fractal_tasks.interrupts import stopping_on_signals
from fractal_tasks.model import (
    DEFAULT_MIN_CONFIDENCE,
    OUTCOME_ATTRIBUTE,
    OWN_GRID,
    ConsensusSettings,
    Keep,
    OutputGrid,
    Rejected,
)
from fractal_tasks.model.task_arguments import (
    TASK_CONFIG,
    InitArgsRegistrationConsensus,
    StorageOptionsText,
)
from fractal_tasks.records.table_names import format_table_name
from fractal_tasks.steps.judge_well import judge_well
from fractal_tasks.steps.well_checks import check_one_well
from fractal_tasks.storage.urls import parse_image_url, parse_storage_options

logger = logging.getLogger(__name__)


@validate_call(config=TASK_CONFIG)
def find_registration_consensus(
    *,
    zarr_url: str,
    init_args: InitArgsRegistrationConsensus,
    input_roi_table: str = "FOV_ROI_table",
    registered_roi_table: str = "{input_roi_table}_registered",
    keep: Keep = "intersection",
    output_grid: OutputGrid = OWN_GRID,
    fill_value: float = 0.0,
    subpixel: bool = False,
    min_confidence: Annotated[float, Field(ge=0, le=1)] = DEFAULT_MIN_CONFIDENCE,
    rejected: Rejected = "impute",
    rerun: bool = False,
    storage_options: StorageOptionsText = None,
) -> dict[str, Any]:
    """Find the region of each ROI that all acquisitions of a well see.

    The estimates of "Calculate Registration (image-based)" are judged together, and a
    registered ROI table is written into every acquisition of the well: its ROIs say
    where in this acquisition the common region lies, of the same size in all.

    Args:
        zarr_url: Url of the reference image of the well, or, if that is only read, of
            another image of it (set by the Fractal server).
        init_args: Images of all acquisitions of the well, found by
            `init_find_registration_consensus` (set by the Fractal server).
        input_roi_table: The ROI table that was registered, e.g. `FOV_ROI_table`.
        registered_roi_table: The new table; `{input_roi_table}` is the input's name.
        keep: `intersection` crops each ROI to what all acquisitions see; `reference`
            keeps the whole ROI of the reference; `union` makes it, and the images, so
            large that nothing any acquisition sees is lost.
        output_grid: Pixels of the registered images: each keeps its `own` size, or all
            get that of the `reference`, or one in um (y, x), e.g. `0.65`. What gets
            another size is interpolated.
        fill_value: Intensity of pixels an acquisition did not see, e.g. `0`. Not used
            with `keep="intersection"`.
        subpixel: Whether parts of a pixel are undone, too, by interpolation. If not,
            pixels of ROIs that only moved are copied, up to half a pixel off per axis.
        min_confidence: An estimate is believed if it is, in view of everything, the
            right one with at least this probability (0 to 1). Raise it, e.g. to `0.97`,
            if every wrong shift must be marked; `0` trusts all.
        rejected: What happens to a ROI of which no estimate is used and believed: none
            is probable enough, or it is so inexact that its well or plate know better.
            `impute` puts it where the expected error is smallest; `error` stops;
            `exclude` leaves the ROI out of all acquisitions of the well.
        rerun: Whether to do again what was done from the same input in the same way
            already.
        storage_options: How to reach a plate in an object store, as a JSON object, e.g.
            `{"anon": true}` for public data. Not needed if the environment says it.
            Do not put secrets here: a server stores and shows arguments.

    Returns:
        The image list update: attribute `registration`, what became of each image.

    Raises:
        InvalidInputError: An argument does not fit the images.
        InvalidDataError: No ROIs belong together, there is no common region, or
            `rejected` does not allow what was found.
        MissingStepError: "Calculate Registration (image-based)" has not run.
        PublishError: A table could not be replaced; the old one is untouched.
    """
    options = parse_storage_options(storage_options)
    reference = parse_image_url(init_args.reference_zarr_url or zarr_url, options)
    listed = [parse_image_url(url, options) for url in init_args.zarr_url_list]
    check_one_well(listed)
    settings = ConsensusSettings(
        input_roi_table=input_roi_table,
        registered_roi_table=format_table_name(registered_roi_table, input_roi_table),
        keep=keep,
        output_grid=output_grid,
        fill_value=fill_value,
        subpixel=subpixel,
        min_confidence=min_confidence,
        rejected=rejected,
    )
    logger.info("find_registration_consensus: %s, %s", init_args, settings)
    outcomes = judge_well(
        list(dict.fromkeys([reference, *listed])),
        init_args.plate,
        settings,
        is_reference_kept=bool(listed) and reference not in listed,
        unsure=[parse_image_url(url, options) for url in init_args.unsure_zarr_urls],
        rerun=rerun,
    )
    return {
        "image_list_updates": [
            {"zarr_url": image.zarr_url, "attributes": {OUTCOME_ATTRIBUTE: outcome}}
            for image, outcome in outcomes.items()
        ]
    }


if __name__ == "__main__":
    from fractal_task_tools.task_wrapper import run_fractal_task

    with stopping_on_signals():
        run_fractal_task(task_function=find_registration_consensus)
