"""Write the registered version of an image with its labels and tables."""

import logging
from typing import Any

from pydantic import validate_call

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.model.task_arguments import TASK_CONFIG, StorageOptionsText
from fractal_tasks.steps.register_image import ApplyOrder, register_image
from fractal_tasks.storage.files import files_of
from fractal_tasks.storage.urls import (
    MAX_NAME_BYTES,
    ImageUrl,
    is_name,
    parse_image_url,
    parse_storage_options,
)

logger = logging.getLogger(__name__)


@validate_call(config=TASK_CONFIG)
def apply_registration_to_image(
    *,
    zarr_url: str,
    registered_roi_table: str,
    reference_acquisition: int = 0,
    register_labels: bool = True,
    overwrite_input: bool = True,
    output_image_suffix: str = "registered",
    discard_labels: bool = False,
    rerun: bool = False,
    storage_options: StorageOptionsText = None,
) -> dict[str, Any]:
    """Move the pixels of every ROI to where the reference acquisition has them.

    Writes a new image of the same size with all channels and resolution levels, moves
    labels and ROI tables along, and puts it in the place of the old one in a single
    step, or beside it.

    Args:
        zarr_url: Url of the image to process (set by the Fractal server).
        registered_roi_table: Registered ROI table that "Find Registration Consensus"
            wrote, e.g. `FOV_ROI_table_registered`.
        reference_acquisition: Acquisition that all others are registered to, e.g. `0`.
            The same as for the two tasks before.
        register_labels: Whether to register the labels of the image as well.
        overwrite_input: Whether the registered image takes the place of the input. If
            not, it is written beside it, with `output_image_suffix` in its name.
        output_image_suffix: Added to the name of the new image after a `_` if the input
            is kept, e.g. `registered` for `1_registered`.
        discard_labels: Only needed to overwrite an image without registering its
            labels (`register_labels=False`): confirms that its labels may be deleted.
        rerun: Whether to do again what was done from the same input in the same way
            already.
        storage_options: How to reach a plate in an object store, as a JSON object, e.g.
            `{"anon": true}` for public data. Not needed if the environment says it.
            Do not put secrets here: a server stores and shows arguments.

    Returns:
        The image list update: the url of the registered image, and of its origin if
        the input is kept; the url of the input if it has nothing to be registered to.

    Raises:
        InvalidInputError: An argument does not fit the image.
        MissingStepError: The registered ROI table is missing.
        InvalidDataError: Image, labels or tables are not as needed.
        PublishError: Writing failed; the image is untouched.
    """
    image = parse_image_url(zarr_url, parse_storage_options(storage_options))
    files_of(image).check_writable(image)
    if overwrite_input and not files_of(image).can_replace_images:
        raise InvalidInputError(
            f"{image.zarr_url}: overwrite_input=True needs a file system, as no object "
            "store can replace an image in a single step. Set overwrite_input=False: "
            "the registered image is written beside the input."
        )
    target = image if overwrite_input else _output_image(image, output_image_suffix)
    logger.info(
        "apply_registration_to_image: %s -> %s, registered_roi_table=%r, "
        "reference_acquisition=%d, register_labels=%s",
        image.zarr_url,
        target.zarr_url,
        registered_roi_table,
        reference_acquisition,
        register_labels,
    )
    is_there = register_image(
        ApplyOrder(
            url=image,
            target=target,
            registered_roi_table=registered_roi_table,
            reference_acquisition=reference_acquisition,
            register_labels=register_labels,
            discard_labels=discard_labels,
            rerun=rerun,
        )
    )
    update = {"zarr_url": (target if is_there else image).zarr_url}
    if is_there and target != image:
        update["origin"] = image.zarr_url
    return {"image_list_updates": [update]}


def _output_image(image: ImageUrl, suffix: str) -> ImageUrl:
    name = f"{image.image_path}_{suffix}"
    if not suffix.replace("_", "").isalnum() or not is_name(name):
        raise InvalidInputError(
            f"output_image_suffix={suffix!r}: needed are letters, digits and '_', e.g. "
            f"'registered', and at most {MAX_NAME_BYTES} bytes in the whole name."
        )
    return image.sibling(name)


if __name__ == "__main__":
    from fractal_task_tools.task_wrapper import run_fractal_task

    run_fractal_task(task_function=apply_registration_to_image)
