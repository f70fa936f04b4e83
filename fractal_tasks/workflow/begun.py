"""What an interrupted run has left to do of wells of which it has replaced images.

They were judged as a whole, from pixels that are gone: the rest is registered by the
same judgement, which every image holds, or not at all.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel

from fractal_tasks.discovery import Discovery, absolute_url
from fractal_tasks.errors import FractalTasksError, InvalidDataError
from fractal_tasks.records.judgement import (
    find_differences,
    find_pending,
    judged_otherwise,
    not_judged,
    read_applied_judgement,
    read_replacing_records,
    read_table_record,
    registered_otherwise,
)
from fractal_tasks.records.provenance import Record
from fractal_tasks.records.reference_plan import find_reference
from fractal_tasks.steps.apply_order import check_content, check_place
from fractal_tasks.steps.unknown_files import list_rewritten
from fractal_tasks.storage.plate.images import list_labels
from fractal_tasks.storage.plate.open_image import check_in_place, open_image
from fractal_tasks.storage.plate.roi_tables import read_roi_table
from fractal_tasks.storage.plate.wells import is_in_plate, read_acquisitions, well_of
from fractal_tasks.storage.urls import (
    ImageUrl,
    StorageOptions,
    is_remote_url,
    parse_image_url,
    parse_storage_options,
)
from fractal_tasks.workflow.plan import ImagePlan, Plan
from fractal_tasks.workflow.planning import Entering
from fractal_tasks.workflow.settings import Settings


@dataclass
class Begun:
    """The images of wells that are registered in part."""

    pending: list[str] = field(default_factory=list)
    """Those of which the judgement is still to be applied."""

    registered: list[str] = field(default_factory=list)
    """Those that were named, and need nothing more."""

    failures: dict[str, FractalTasksError] = field(default_factory=dict)
    """Those that cannot be registered as ordered, and why."""

    def without(self, found: Discovery) -> Discovery:
        """Give what was found without these images, but with what is wrong of them."""
        own = {*self.pending, *self.registered, *self.failures}
        return Discovery(
            [url for url in found.images if url not in own],
            [*found.registered, *self.registered],
            self.pending,
            found.failures | self.failures,
        )


def find_begun(
    zarr_urls: Sequence[str],
    settings: Mapping[str, Any],
    storage_options: StorageOptions,
) -> Begun:
    """Find the images of wells that are registered in part.

    Args:
        zarr_urls: The images that are to be registered.
        settings: Arguments of the tasks, by name; what was decided with others cannot
            be gone on with.
        storage_options: How to reach the object store they may be in.
    """
    images = [parse_image_url(url, storage_options) for url in zarr_urls]
    pending = find_pending(images, settings["registered_roi_table"])
    wells = {well_of(image) for image in pending}
    if "overwrite_input" in settings:  # all steps are to be done
        wells |= _find_finished(images)
    begun = Begun()
    for image in images if wells else ():
        if well_of(image) not in wells:
            continue
        if image in pending:
            differences = _find_differences(image, pending[image], settings)
            if differences:
                error = judged_otherwise(image, differences)
                begun.failures[image.zarr_url] = error
            else:
                begun.pending.append(image.zarr_url)
        elif read_applied_judgement(image) is not None:
            begun.registered.append(image.zarr_url)
        else:
            begun.failures[image.zarr_url] = _say_why_not(image)
    return begun


def _say_why_not(image: ImageUrl) -> FractalTasksError:
    """Say why an image has no place in the judgement of its well."""
    try:
        check_in_place(image)
    except InvalidDataError as error:
        return error
    return not_judged(image)


def without_otherwise_registered(
    found: Discovery, settings: Mapping[str, Any], storage_options: StorageOptions
) -> Discovery:
    """Name as failures what was replaced with other settings than are ordered now.

    Images that are named though they are registered, and are to be so again, are not
    looked at.

    Args:
        found: What was found.
        settings: Arguments of the tasks, by name.
        storage_options: How to reach the object store the images may be in.
    """
    failures: dict[str, FractalTasksError] = {}
    for url in found.registered:
        image = parse_image_url(url, storage_options)
        records = read_replacing_records(image)
        differences = _differences_of(image, records, settings)
        if records and not settings.get("overwrite_input", True):
            differences.append("overwrite_input=False")
        if differences:
            failures[url] = registered_otherwise(differences)
    return replace(
        found,
        registered=[url for url in found.registered if url not in failures],
        failures=found.failures | failures,
    )


def plan_pending(
    zarr_urls: Sequence[str],
    settings: Settings,
    *,
    entering: Entering = lambda url: nullcontext(),
) -> Plan:
    """As `plan_registration`, of images of which only the last task is left to do."""
    options = parse_storage_options(settings.values["storage_options"])
    images: list[ImagePlan] = []
    failures: dict[str, FractalTasksError] = {}
    for url in (parse_image_url(zarr_url, options) for zarr_url in zarr_urls):
        try:
            images.append(_plan_pending_image(url, settings, entering))
        except FractalTasksError as error:
            failures[url.zarr_url] = error
    return Plan(images, failures)


def _plan_pending_image(
    url: ImageUrl, settings: Settings, entering: Entering
) -> ImagePlan:
    order = settings.order_of(url)
    check_place(order)
    with entering(url):
        image = open_image(url)
        check_content(order, image)
        table = order.registered_roi_table
        rois = len(read_roi_table(image, table).rois)
        reference = find_reference(image, table, order.reference_acquisition)
    return ImagePlan(
        url=url,
        reference=reference,
        rois=rois,
        pairing=None,
        paired_by=None,
        labels=list_labels(image) if order.register_labels else [],
        writes=[],
        replaces=[order.target.zarr_url],
        replaces_input=order.replaces_input,
        rewrites=list_rewritten(image, list_labels(image)),
    )


def _find_finished(images: Sequence[ImageUrl]) -> set[str | None]:
    """Find the wells of which all images that were named are replaced."""
    replaced = {image for image in images if read_applied_judgement(image) is not None}
    wells = {well_of(image) for image in replaced}
    return wells - {well_of(image) for image in images if image not in replaced}


def _find_differences(
    image: ImageUrl, judgement: Record, settings: Mapping[str, Any]
) -> list[str]:
    """Say what is ordered in another way than the well was begun with."""
    records = [judgement]
    if "method" in settings:  # it is measured
        measured = read_table_record(image, settings["input_roi_table"])
        records = [*([measured] if measured else []), judgement]
    return _differences_of(image, records, settings)


def _differences_of(
    image: ImageUrl, records: Iterable[Record], settings: Mapping[str, Any]
) -> list[str]:
    """Say in which settings a run differs from the records of an earlier one."""
    values = {
        name: value.model_dump(mode="json") if isinstance(value, BaseModel) else value
        for name, value in settings.items()
    }
    texts: list[str] = []
    for record in records:
        texts += find_differences(record, values)
        registered_to = record.inputs.get("reference_image")
        if registered_to is not None and "reference" in settings:
            texts += _find_other_reference(image, registered_to, settings)
    return list(dict.fromkeys(texts))


def _find_other_reference(
    image: ImageUrl, registered_to: str, settings: Mapping[str, Any]
) -> list[str]:
    """Say in which way a run has another reference than an earlier one had.

    Args:
        image: An image of the earlier run.
        registered_to: Its reference, as `ImageUrl.seen_from` names it.
        settings: Arguments of the tasks, by name.
    """
    is_beside = "/" not in registered_to
    url = image.sibling(registered_to).zarr_url if is_beside else registered_to
    if settings["reference"] is not None:
        wanted = absolute_url(settings["reference"])
        if _is_in(url, wanted):
            return []
        return [f"reference={wanted!r} (was {url!r})"]
    if not is_beside or not is_in_plate(image):
        return [f"no reference (was {url!r})"]
    was, number = (
        read_acquisitions(image.well).get(registered_to),
        settings["reference_acquisition"],
    )
    if was in (None, number):
        return []
    return [f"reference_acquisition={number} (was {was})"]


def _is_in(image_url: str, url: str) -> bool:
    """Whether an image is the one of a url, or of the plate of that url."""
    if not (is_remote_url(image_url) or is_remote_url(url)):
        image_url, url = os.path.realpath(image_url), os.path.realpath(url)
    return f"{image_url}/".startswith(f"{url}/")
