"""Pair every image of the plate with its reference."""

import logging
from typing import Any

from pydantic import validate_call

from fractal_tasks.interrupts import stopping_on_signals
from fractal_tasks.model.task_arguments import (
    TASK_CONFIG,
    InitArgsRegistration,
    StorageOptionsText,
)
from fractal_tasks.steps.groups import find_groups, log_pairs
from fractal_tasks.storage.urls import parse_storage_options

logger = logging.getLogger(__name__)


@validate_call(config=TASK_CONFIG)
def init_calculate_registration(
    *,
    zarr_urls: list[str],
    zarr_dir: str,
    reference_acquisition: int = 0,
    reference: str | None = None,
    storage_options: StorageOptionsText = None,
) -> dict[str, list[dict[str, Any]]]:
    """Find the reference image of every image to be registered.

    Images are grouped by well. If a well has several images per acquisition, an image
    belongs to the reference image with the same suffix (the text after the first `_`),
    at the same place, or with the same number. A well without a reference is left out.

    Args:
        zarr_urls: Urls of the images to process (set by the Fractal server).
        zarr_dir: Folder of the dataset (set by the Fractal server; not used).
        reference_acquisition: Acquisition that all others are registered to, e.g. `0`.
            Wells without it are left out.
        reference: Plate that has the reference images, if it is another one than that
            of the images: each acquisition is then a plate of its own, e.g.
            `/data/cycle0.zarr`, and wells are paired by their names. Or the image that
            all are registered to, e.g. of images that are in no plate. It is only read.
        storage_options: How to reach a plate in an object store, as a JSON object, e.g.
            `{"anon": true}` for public data. Not needed if the environment says it.
            Do not put secrets here: a server stores and shows arguments.

    Returns:
        The parallelization list: one unit per image that is not a reference.

    Raises:
        InvalidInputError: A url is not that of an image, or the reference is neither
            plate nor image.
        InvalidDataError: No image has a reference, or there is nothing but references.
    """
    logger.info(
        "init_calculate_registration: %d images, reference_acquisition=%d, "
        "reference=%r",
        len(zarr_urls),
        reference_acquisition,
        reference,
    )
    groups = find_groups(
        zarr_urls,
        reference_acquisition,
        parse_storage_options(storage_options),
        reference,
    )
    units = [
        {
            "zarr_url": image.zarr_url,
            "init_args": InitArgsRegistration(
                reference_zarr_url=group.reference.zarr_url
            ).model_dump(),
        }
        for group in groups
        for image in group.others
    ]
    log_pairs(groups)
    logger.info("%d images to register in %d wells", len(units), len(groups))
    return {"parallelization_list": units}


if __name__ == "__main__":
    from fractal_task_tools.task_wrapper import run_fractal_task

    with stopping_on_signals():
        run_fractal_task(task_function=init_calculate_registration)
