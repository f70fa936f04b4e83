"""Write the registered version of an image with its labels and tables."""

import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from pydantic import validate_call

from fractal_tasks import __version__
from fractal_tasks.errors import InvalidInputError
from fractal_tasks.storage.applied import (
    add_to_well,
    check_plate,
    is_applied,
    is_up_to_date,
)
from fractal_tasks.storage.images import list_labels, open_image, open_labels
from fractal_tasks.storage.plans import RegistrationPlan, read_plan
from fractal_tasks.storage.stores import check_writable, heal_image, lock_image
from fractal_tasks.storage.urls import (
    MAX_NAME_BYTES,
    ImageUrl,
    is_name,
    parse_image_url,
    parse_storage_options,
)
from fractal_tasks.storage.wells import read_acquisition
from fractal_tasks.task_io import TASK_CONFIG, StorageOptionsText

if TYPE_CHECKING:
    from ngio import OmeZarrContainer

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
        storage_options: How to reach a plate in an object store, as a JSON object, e.g.
            `{"anon": true}` for public data. Not needed if the environment says it.
            Do not put secrets here: a server stores and shows arguments.

    Returns:
        The image list update: the url of the registered image, and of its origin if
        the input is kept.

    Raises:
        InvalidInputError: An argument does not fit the image.
        MissingStepError: The registered ROI table is missing.
        InvalidDataError: Image, labels or tables are not as needed.
        PublishError: Writing failed; the image is untouched.
    """
    image = parse_image_url(zarr_url, parse_storage_options(storage_options))
    check_writable(image)
    if image.is_remote and overwrite_input:
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
    acquisition = read_acquisition(image)
    if not overwrite_input:
        check_plate(image)
    with ExitStack() as locks:
        for url in dict.fromkeys([image, target]):
            locks.enter_context(lock_image(url))
            heal_image(url)
        container = open_image(image)
        if is_applied(container, image, registered_roi_table):
            logger.info(
                "%s is already registered from table %r: nothing to do",
                image.zarr_url,
                registered_roi_table,
            )
            return {"image_list_updates": [{"zarr_url": image.zarr_url}]}
        plan = read_plan(container, image, registered_roi_table, reference_acquisition)
        if overwrite_input and not register_labels and not discard_labels:
            _refuse_to_lose_labels(container, image)
        labels = list_labels(container, image) if register_labels else []
        _write(container, image, target, plan, labels)
        if target != image:
            add_to_well(target, acquisition)
    if target == image:
        return {"image_list_updates": [{"zarr_url": image.zarr_url}]}
    return {
        "image_list_updates": [{"zarr_url": target.zarr_url, "origin": image.zarr_url}]
    }


def _output_image(image: ImageUrl, suffix: str) -> ImageUrl:
    name = f"{image.image_path}_{suffix}"
    if not suffix.replace("_", "").isalnum() or not is_name(name):
        raise InvalidInputError(
            f"output_image_suffix={suffix!r}: needed are letters, digits and '_', e.g. "
            f"'registered', and at most {MAX_NAME_BYTES} bytes in the whole name."
        )
    return image.sibling(name)


def _refuse_to_lose_labels(container: "OmeZarrContainer", image: ImageUrl) -> None:
    labels = list_labels(container, image)
    if labels:
        raise InvalidInputError(
            f"{image.zarr_url}: register_labels=False with overwrite_input=True would "
            f"delete the labels {labels}. Set register_labels=True to register them, "
            "overwrite_input=False to keep the input, or discard_labels=True to "
            "delete them."
        )


def _write(
    container: "OmeZarrContainer",
    image: ImageUrl,
    target: ImageUrl,
    plan: RegistrationPlan,
    labels: list[str],
) -> None:
    from fractal_tasks.storage.registered_image import (
        SourceImage,
        build_registered_image,
        replace_image,
        validate_registered_image,
    )
    from fractal_tasks.storage.writes import finished_writes

    record = {
        **plan.applied_record(),
        "task": "apply_registration_to_image",
        "version": __version__,
        "input_image": image.image_path,
        "labels": labels,
    }
    if target != image and is_up_to_date(target, record):
        logger.info("%s is up to date: nothing to do", target.zarr_url)
        return
    open_labels(container, image, labels)
    source = SourceImage(image, container, tuple(labels))
    _log_plan(plan)
    with (
        replace_image(
            target,
            input_image=image.image_path,
            validate=lambda build: validate_registered_image(source, build),
        ) as build,
        finished_writes(),
    ):
        build_registered_image(source, build, plan, record)
    logger.info(
        "%s: %d ROIs registered, labels %s", target.zarr_url, len(plan.moves), labels
    )


def _log_plan(plan: RegistrationPlan) -> None:
    for name, move in plan.moves.items():
        logger.info(
            "ROI %r: moved by z=%d, y=%d, x=%d px; %s px kept",
            name,
            *move.shift_px,
            move.destination.shape,
        )


if __name__ == "__main__":
    from fractal_task_tools.task_wrapper import run_fractal_task

    run_fractal_task(task_function=apply_registration_to_image)
