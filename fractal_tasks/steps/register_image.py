"""Register one image: move its pixels, labels and tables to where the reference is."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.model import ApplySettings
from fractal_tasks.records.applied import AppliedRecord, is_applied, is_up_to_date
from fractal_tasks.records.plans import RegistrationPlan, read_plan
from fractal_tasks.records.provenance import Record
from fractal_tasks.records.reference_plan import find_reference, plan_from_reference
from fractal_tasks.records.stored_plan import StoredPlacement
from fractal_tasks.steps.derived_image import is_whole, write_derived_image
from fractal_tasks.steps.moved_tables import write_moved_tables
from fractal_tasks.steps.registered_pixels import (
    registered_label,
    registered_pixels,
    warn_of_overlaps,
)
from fractal_tasks.storage.files import files_of
from fractal_tasks.storage.plate.fingerprint import fingerprint_image
from fractal_tasks.storage.plate.images import list_labels, list_tables, open_labels
from fractal_tasks.storage.plate.open_image import OpenImage, open_image
from fractal_tasks.storage.plate.wells import read_acquisition
from fractal_tasks.storage.plate.work import working_on
from fractal_tasks.storage.urls import ImageUrl

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ApplyOrder:
    """What *apply* is to do with an image."""

    url: ImageUrl
    target: ImageUrl
    """The image itself, to be replaced, or a new one of its well."""

    registered_roi_table: str
    reference_acquisition: int
    register_labels: bool
    discard_labels: bool
    """Whether labels that are not registered may be deleted with the image."""

    rerun: bool
    """Whether to make again what was made in the same way already."""


def register_image(order: ApplyOrder) -> bool:
    """Write the registered version of an image.

    Returns:
        Whether there is one; not if *consensus* found nothing to register it to.

    Raises:
        InvalidInputError: An argument does not fit the image.
        MissingStepError: The registered ROI table is missing.
        InvalidDataError: Image, labels or tables are not as needed.
        PublishError: Writing failed; the image is untouched.
    """
    acquisition = read_acquisition(order.url)
    with working_on(order.url, order.target):
        image = open_image(order.url)
        if _is_done(image, order):
            return True
        plan = read_plan(image, order.registered_roi_table, order.reference_acquisition)
        if plan is not None and not plan.placements:
            logger.info(
                "%s is not registered to anything: left as it is", order.url.zarr_url
            )
            return False
        if plan is not None:
            _write(image, order, plan, acquisition)
            return True
        reference = find_reference(
            image, order.registered_roi_table, order.reference_acquisition
        )
    # All locks are taken at once, in the order of all other workers: whoever held one
    # and waited for another could be waited for.
    with working_on(order.url, order.target, reference):
        image = open_image(order.url)
        if _is_done(image, order):
            return True
        plan = plan_from_reference(
            image, open_image(reference), order.registered_roi_table
        )
        _write(image, order, plan, acquisition)
    return True


def _is_done(image: OpenImage, order: ApplyOrder) -> bool:
    """Whether the image itself is a registered one, with nothing to register again.

    Raises:
        InvalidInputError: It is, but should be made again.
    """
    if not is_applied(image, order.registered_roi_table):
        return False
    if order.rerun:
        raise InvalidInputError(
            f"{image.zarr_url}: this image is registered from table "
            f"{order.registered_roi_table!r} already, in the place of its input, which "
            "is gone. Leave rerun away; to register it anew, restore the input."
        )
    logger.info(
        "%s is already registered from table %r: nothing to do",
        image.zarr_url,
        order.registered_roi_table,
    )
    return True


def _write(
    image: OpenImage, order: ApplyOrder, plan: RegistrationPlan, acquisition: int
) -> None:
    """Write the registered image, unless it is there; and list it in its well."""
    labels = list_labels(image)
    if not order.register_labels:
        if order.target == order.url and not order.discard_labels:
            _refuse_to_lose(labels, image)
        labels = []
    record = _make_record(image, plan, labels)
    replaces_input = order.target == order.url
    # Asked in any case: it also refuses to write over what is not ours.
    if not replaces_input and is_up_to_date(order.target, record) and not order.rerun:
        if _has_all(image, order.target, plan, labels):
            logger.info("%s is up to date: nothing to do", order.target.zarr_url)
            files_of(order.target).add_to_well(order.target, acquisition)
            return
        logger.warning("%s is not whole: it is made again", order.target.zarr_url)
    open_labels(image, labels)
    _log_plan(plan)
    warn_of_overlaps(image, plan)
    write_derived_image(
        image,
        order.target,
        pixels=registered_pixels(image, plan),
        labels={name: registered_label(image, name, plan) for name in labels},
        write_tables=lambda build: write_moved_tables(image, build, plan, labels),
        record=record.to_json(),
    )
    logger.info(
        "%s: %d ROIs registered, labels %s",
        order.target.zarr_url,
        len(plan.placements),
        labels,
    )
    if not replaces_input:
        files_of(order.target).add_to_well(order.target, acquisition)


def _has_all(
    image: OpenImage, target: ImageUrl, plan: RegistrationPlan, labels: Sequence[str]
) -> bool:
    """Whether nothing was taken from an image that was registered before."""
    if not is_whole(image, target, labels):
        return False
    return set(plan.reference_tables) <= set(list_tables(open_image(target)))


def _refuse_to_lose(labels: Sequence[str], image: OpenImage) -> None:
    if labels:
        raise InvalidInputError(
            f"{image.zarr_url}: register_labels=False with overwrite_input=True would "
            f"delete the labels {labels}. Set register_labels=True to register them, "
            "overwrite_input=False to keep the input, or discard_labels=True to "
            "delete them."
        )


def _make_record(
    image: OpenImage, plan: RegistrationPlan, labels: Sequence[str]
) -> AppliedRecord:
    table = plan.registered_roi_table
    record = Record.of(
        "apply_registration_to_image",
        {
            # The plan says what of the registered table matters.
            "image": fingerprint_image(image, without_table=table),
            "plan": plan.fingerprint,
        },
        ApplySettings(registered_roi_table=table, labels=tuple(labels)),
    )
    return AppliedRecord(
        **dict(record),
        input_image=image.url.image_path,
        reference_image=plan.reference_image,
        consensus=plan.consensus,
        placements=tuple(
            StoredPlacement.of(key, placement)
            for key, placement in plan.placements.items()
        ),
    )


def _log_plan(plan: RegistrationPlan) -> None:
    for key, placement in plan.placements.items():
        logger.info(
            "%s: moved by z=%d, y=%d, x=%d px; %s px kept",
            key,
            *placement.shift_px,
            placement.destination.shape,
        )
