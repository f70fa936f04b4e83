"""Register one image: move its pixels, labels and tables to where the reference is."""

import logging

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.model import ApplySettings
from fractal_tasks.records.applied import AppliedRecord, is_applied, is_up_to_date
from fractal_tasks.records.judgement import read_table_record
from fractal_tasks.records.plans import RegistrationPlan, read_plan
from fractal_tasks.records.provenance import Record
from fractal_tasks.records.reference_plan import find_reference, plan_from_reference
from fractal_tasks.records.stored_plan import StoredPlacement
from fractal_tasks.steps.apply_order import (
    ApplyOrder,
    check_content,
    check_place,
    labels_of,
)
from fractal_tasks.steps.derived_image import is_whole, write_derived_image
from fractal_tasks.steps.moved_tables import write_moved_tables
from fractal_tasks.steps.registered_pixels import (
    registered_label,
    registered_pixels,
    seen_pixels,
    warn_of_overlaps,
)
from fractal_tasks.storage.files import files_of
from fractal_tasks.storage.plate.fingerprint import fingerprint_image
from fractal_tasks.storage.plate.images import list_tables
from fractal_tasks.storage.plate.open_image import OpenImage, open_image
from fractal_tasks.storage.plate.wells import read_acquisition
from fractal_tasks.storage.plate.work import working_on
from fractal_tasks.storage.urls import ImageUrl
from fractal_tasks.transforms import PixelSizes

logger = logging.getLogger(__name__)


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
    check_place(order)
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
    image: OpenImage,
    order: ApplyOrder,
    plan: RegistrationPlan,
    acquisition: int | None,
) -> None:
    """Write the registered image, unless it is there; and list it in its well."""
    check_content(order, image)
    labels = labels_of(order, image) if order.register_labels else []
    settings = ApplySettings(
        registered_roi_table=plan.registered_roi_table,
        labels=tuple(labels),
        interpolation=order.interpolation,
        seen_label=order.seen_label,
        output_format=order.output_format,
    )
    record = _make_record(image, plan, settings)
    pixels = registered_pixels(image, plan, order.interpolation)
    moved_labels = {name: registered_label(image, name, plan) for name in labels}
    seen = {order.seen_label: seen_pixels(image, plan)} if order.seen_label else {}
    is_done = not order.replaces_input and is_up_to_date(order.target, record)
    if is_done and not order.rerun:
        is_as_written = is_whole(image, order.target, pixels, moved_labels, seen)
        if is_as_written and _has_tables(order.target, plan):
            logger.info("%s is up to date: nothing to do", order.target.zarr_url)
            _list_in_well(order, acquisition)
            return
        logger.warning("%s is not whole: it is made again", order.target.zarr_url)
    _log_plan(plan)
    warn_of_overlaps(image, plan)
    write_derived_image(
        image,
        order.target,
        pixels=pixels,
        labels=moved_labels,
        masks=seen,
        grid=plan.registered_grid,
        output_format=order.output_format,
        write_tables=lambda build: write_moved_tables(image, build, plan, labels),
        record=record.to_json(),
    )
    logger.info(
        "%s: %d ROIs registered, labels %s",
        order.target.zarr_url,
        len(plan.placements),
        labels,
    )
    _list_in_well(order, acquisition)


def _list_in_well(order: ApplyOrder, acquisition: int | None) -> None:
    """Add a new image to its well, if it is in one."""
    if not order.replaces_input and acquisition is not None:
        files_of(order.target).add_to_well(order.target, acquisition)


def _has_tables(target: ImageUrl, plan: RegistrationPlan) -> bool:
    """Whether an image that was registered before still has the reference's tables."""
    return set(plan.reference_tables) <= set(list_tables(open_image(target)))


def _make_record(
    image: OpenImage, plan: RegistrationPlan, settings: ApplySettings
) -> AppliedRecord:
    record = Record.of(
        "apply_registration_to_image",
        {
            # The plan says what of the registered table matters.
            "image": fingerprint_image(
                image, without_table=settings.registered_roi_table
            ),
            "plan": plan.fingerprint,
        },
        settings,
    )
    judged = plan.consensus
    pixels = PixelSizes(image.spacing_um, plan.reference_grid.spacing_um)
    return AppliedRecord(
        **dict(record),
        input_image=image.url.image_path,
        reference_image=plan.reference_image,
        consensus=judged,
        measured=judged
        and read_table_record(image.url, str(judged.settings["input_roi_table"])),
        placements=tuple(
            StoredPlacement.of(key, placement, pixels)
            for key, placement in plan.placements.items()
        ),
    )


def _log_plan(plan: RegistrationPlan) -> None:
    for key, placement in plan.placements.items():
        z, y, x = placement.shift_px
        logger.info(
            "%s: %s; %s px kept",
            key,
            f"moved by z={z}, y={y}, x={x} px"
            if placement.is_copied
            else f"interpolated ({placement.transform.type})",
            placement.destination.shape,
        )
