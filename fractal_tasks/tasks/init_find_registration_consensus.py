"""List the images of each well that have to agree on a common region."""

import logging
from typing import Any

from pydantic import validate_call

from fractal_tasks.storage.wells import group_images
from fractal_tasks.task_io import InitArgsRegistrationConsensus

logger = logging.getLogger(__name__)


@validate_call
def init_find_registration_consensus(
    *,
    zarr_urls: list[str],
    zarr_dir: str,
    reference_acquisition: int = 0,
) -> dict[str, list[dict[str, Any]]]:
    """Find the images of all acquisitions of every well.

    Args:
        zarr_urls: Urls of the images to process (set by the Fractal server).
        zarr_dir: Folder of the dataset (set by the Fractal server; not used).
        reference_acquisition: Acquisition that all others are registered to, e.g. `0`.
            The same as for "Calculate Registration (image-based)".

    Returns:
        The parallelization list: one unit per well, at the url of its reference.

    Raises:
        InvalidInputError: A url is not that of an image in a plate.
        InvalidDataError: A well lacks the reference acquisition, or it is ambiguous.
    """
    logger.info(
        "init_find_registration_consensus: %d images, reference_acquisition=%d",
        len(zarr_urls),
        reference_acquisition,
    )
    groups = group_images(zarr_urls, reference_acquisition)
    units = [
        {
            "zarr_url": group.reference.zarr_url,
            "init_args": InitArgsRegistrationConsensus(
                zarr_url_list=[
                    image.zarr_url for image in (group.reference, *group.others)
                ]
            ).model_dump(),
        }
        for group in groups
    ]
    logger.info("%d wells", len(units))
    return {"parallelization_list": units}


if __name__ == "__main__":
    from fractal_task_tools.task_wrapper import run_fractal_task

    run_fractal_task(task_function=init_find_registration_consensus)
