"""List the images of each well that have to agree on a common region."""

import logging
from typing import Any

from pydantic import validate_call

from fractal_tasks.interrupts import stopping_on_signals
from fractal_tasks.model.task_arguments import (
    TASK_CONFIG,
    InitArgsRegistrationConsensus,
    StorageOptionsText,
)
from fractal_tasks.steps.groups import find_groups
from fractal_tasks.steps.plate_movement import find_plate_evidence, read_centres
from fractal_tasks.storage.urls import parse_storage_options

logger = logging.getLogger(__name__)


@validate_call(config=TASK_CONFIG)
def init_find_registration_consensus(
    *,
    zarr_urls: list[str],
    zarr_dir: str,
    reference_acquisition: int = 0,
    reference: str | None = None,
    input_roi_table: str = "FOV_ROI_table",
    storage_options: StorageOptionsText = None,
) -> dict[str, list[dict[str, Any]]]:
    """Find the images of all acquisitions of every well, and how the plate moved.

    Args:
        zarr_urls: Urls of the images to process (set by the Fractal server).
        zarr_dir: Folder of the dataset (set by the Fractal server; not used).
        reference_acquisition: Acquisition that all others are registered to, e.g. `0`.
            The same as for "Calculate Registration (image-based)".
        reference: Plate that has the reference images, if it is another one than that
            of the images, or the image that all are registered to. The same as for
            "Calculate Registration (image-based)".
        input_roi_table: The ROI table that was registered, e.g. `FOV_ROI_table`. It
            says how the other wells of a plate moved, for a well in which no estimate
            can be believed.
        storage_options: How to reach a plate in an object store, as a JSON object, e.g.
            `{"anon": true}` for public data. Not needed if the environment says it.
            Do not put secrets here: a server stores and shows arguments.

    Returns:
        The parallelization list: one unit per well, at the url of its reference.

    Raises:
        InvalidInputError: A url is not that of an image, or the reference is neither
            plate nor image.
        InvalidDataError: No image has a reference, or there is nothing but references.
    """
    logger.info(
        "init_find_registration_consensus: %d images, reference_acquisition=%d, "
        "reference=%r, input_roi_table=%r",
        len(zarr_urls),
        reference_acquisition,
        reference,
        input_roi_table,
    )
    options = parse_storage_options(storage_options)
    groups = find_groups(zarr_urls, reference_acquisition, options, reference)
    centres = read_centres(groups, input_roi_table)
    units = [
        {
            "zarr_url": group.written[0].zarr_url,
            "init_args": InitArgsRegistrationConsensus(
                zarr_url_list=[image.zarr_url for image in group.written],
                reference_zarr_url=group.reference.zarr_url,
                unsure_zarr_urls=sorted(image.zarr_url for image in group.unsure),
                plate=find_plate_evidence(group.home, centres, input_roi_table),
            ).model_dump(exclude_none=True),
        }
        for group in groups
    ]
    logger.info(
        "%d wells; %d acquisitions of wells say how their plate moved",
        len(units),
        len(centres),
    )
    return {"parallelization_list": units}


if __name__ == "__main__":
    from fractal_task_tools.task_wrapper import run_fractal_task

    with stopping_on_signals():
        run_fractal_task(task_function=init_find_registration_consensus)
