"""Write the registered version of an image with its labels and tables."""

import logging
from typing import Any

from pydantic import validate_call

from fractal_tasks.interrupts import stopping_on_signals
from fractal_tasks.model.output_format import OutputFormat
from fractal_tasks.model.settings import InterpolationChoice
from fractal_tasks.model.task_arguments import TASK_CONFIG, StorageOptionsText
from fractal_tasks.steps.apply_order import ApplyOrder
from fractal_tasks.steps.register_image import register_image
from fractal_tasks.steps.saved_overlays import save_registered_overlays
from fractal_tasks.storage.files import files_of
from fractal_tasks.storage.urls import parse_image_url, parse_storage_options

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
    interpolation: InterpolationChoice = "auto",
    seen_label: str | None = None,
    output_format: OutputFormat = OutputFormat(),  # noqa: B008 (frozen)
    rerun: bool = False,
    save_overlays: bool = False,
    storage_options: StorageOptionsText = None,
) -> dict[str, Any]:
    """Move the pixels of every ROI to where the reference acquisition has them.

    Writes a new image on the grid of the reference with all channels and resolution
    levels, moves labels and ROI tables along, and puts it in the place of the old one
    in a single step, or beside it.

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
        interpolation: How intensities are found between pixels, where a ROI turned or
            moved by a part of a pixel: `auto` is `linear`; `cubic` is sharper and
            slower, and may ring beside bright edges; `nearest` makes no new values.
            What moves by whole pixels is copied, and labels are never mixed.
        seen_label: Name of a label that is written with the image, e.g. `seen`: 1 where
            a pixel comes from the acquisition, 0 where nothing is known of it.
        output_format: How the new image and its labels are stored, if not as the
            input; only with `overwrite_input=False`. Pixels do not change.
        rerun: Whether to do again what was done from the same input in the same way
            already.
        save_overlays: Whether pictures of each ROI, before and after, are written
            beside the plate, into `<plate>_registration_overlays`.
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
    order = ApplyOrder.of(
        image,
        overwrite_input=overwrite_input,
        output_image_suffix=output_image_suffix,
        registered_roi_table=registered_roi_table,
        reference_acquisition=reference_acquisition,
        register_labels=register_labels,
        discard_labels=discard_labels,
        interpolation=interpolation,
        seen_label=seen_label,
        output_format=output_format,
        rerun=rerun,
        save_overlays=save_overlays,
    )
    logger.info("apply_registration_to_image: %s", order)
    is_there = register_image(order)
    if is_there and order.save_overlays:
        save_registered_overlays(order)
    update = {"zarr_url": (order.target if is_there else image).zarr_url}
    if is_there and not order.replaces_input:
        update["origin"] = image.zarr_url
    return {"image_list_updates": [update]}


if __name__ == "__main__":
    from fractal_task_tools.task_wrapper import run_fractal_task

    with stopping_on_signals():
        run_fractal_task(task_function=apply_registration_to_image)
