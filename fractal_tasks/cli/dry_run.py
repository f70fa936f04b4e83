"""What `register` would do to a plate, found without changing or locking anything."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fractal_tasks.errors import FractalTasksError, InvalidDataError, PublishError
from fractal_tasks.records.roi_pairing import pair_rois
from fractal_tasks.steps.apply_order import check_content, check_place
from fractal_tasks.steps.channel_choice import choose_channel
from fractal_tasks.storage.files import files_of
from fractal_tasks.storage.plate.channels import find_channel
from fractal_tasks.storage.plate.default_rois import find_roi_table
from fractal_tasks.storage.plate.grouping import group_images
from fractal_tasks.storage.plate.images import (
    check_single_timepoint,
    find_level,
    list_labels,
)
from fractal_tasks.storage.plate.open_image import open_image
from fractal_tasks.storage.urls import ImageUrl, parse_storage_options
from fractal_tasks.workflow.checks import order_of


@dataclass(frozen=True)
class ImagePlan:
    """What would happen to one image."""

    zarr_url: str
    role: str
    """``reference`` or ``registered to <url of the reference>``."""

    rois: int
    labels: list[str]
    """Labels that would be registered as well."""

    size_bytes: int
    """Size on disk: about what is read and what is written."""

    writes: list[str]
    """Urls of images and tables that would be new."""

    replaces: list[str]
    """Urls of images and tables that would be replaced."""


def plan_registration(
    zarr_urls: Sequence[str], settings: Mapping[str, Any]
) -> tuple[list[ImagePlan], dict[str, FractalTasksError]]:
    """Find out what registering images would read, write and replace.

    Args:
        zarr_urls: The images, with the reference of every well.
        settings: Values of all arguments of the three tasks.

    Returns:
        The plans, and the wells in which an image or table is missing or damaged, or
        an image cannot be replaced.

    Raises:
        InvalidInputError: An argument does not fit an image.
    """
    found = group_images(
        zarr_urls,
        settings["reference_acquisition"],
        parse_storage_options(settings["storage_options"]),
        settings["reference"],
    )
    plans: list[ImagePlan] = []
    failures: dict[str, FractalTasksError] = {}
    for group in found.groups:
        members = group.written if group.others else ()
        try:
            plans += [
                _plan_image(image, group.reference, settings) for image in members
            ]
        except (InvalidDataError, PublishError) as error:
            failures[group.home.well_url] = error
    return plans, failures


def describe_plan(plans: Sequence[ImagePlan]) -> str:
    """Write a plan as text, one paragraph per image and the sums at the end."""
    lines = []
    for plan in plans:
        lines += [
            f"{plan.zarr_url}: {plan.role}, {plan.rois} ROIs, "
            f"{_format_size(plan.size_bytes)}, labels {plan.labels}",
            *(f"  new      {url}" for url in plan.writes),
            *(f"  replaced {url}" for url in plan.replaces),
        ]
    sizes = [plan.size_bytes for plan in plans]
    lines.append(
        f"{len(plans)} images, {sum(plan.rois for plan in plans)} ROIs, "
        f"{_format_size(sum(sizes))} to read and about as much to write; the largest "
        f"image has {_format_size(max(sizes, default=0))}. Nothing was changed."
    )
    return "\n".join(lines)


def plan_to_json(plans: Sequence[ImagePlan]) -> dict[str, Any]:
    """Give a plan as JSON data."""
    return {
        "images": [asdict(plan) for plan in plans],
        "rois": sum(plan.rois for plan in plans),
        "size_bytes": sum(plan.size_bytes for plan in plans),
    }


def _plan_image(
    url: ImageUrl, reference: ImageUrl, settings: Mapping[str, Any]
) -> ImagePlan:
    is_reference = url == reference
    given = settings["missing_length_unit"]
    image = open_image(url, given)
    check_single_timepoint(image)
    own = settings["acquisition_wavelength_ids"]
    find_channel(image, choose_channel(url, own, settings["wavelength_id"]))
    find_level(image, settings["level_path"])
    fixed = image if is_reference else open_image(reference, given)
    name = settings["input_roi_table"]
    table = find_roi_table(image, name, fixed)
    rois = len(table.rois)
    if not is_reference:
        pairing = pair_rois(fixed, find_roi_table(fixed, name), image, table)
        rois = len(pairing.partners)
    order = order_of(url, settings)
    check_place(order)
    check_content(order, image)
    changed = [
        url.location / "tables" / settings["registered_roi_table"],
        order.target.location,
    ]
    if not is_reference:
        changed.insert(0, url.location / "tables" / table.name)
    files = files_of(url)
    there = {item.url: files.exists(item) for item in changed}
    return ImagePlan(
        zarr_url=url.zarr_url,
        role="reference" if is_reference else f"registered to {reference.zarr_url}",
        rois=rois,
        labels=list_labels(image) if settings["register_labels"] else [],
        size_bytes=files.size_bytes(url.location),
        writes=[url for url, is_there in there.items() if not is_there],
        replaces=[url for url, is_there in there.items() if is_there],
    )


def _format_size(size_bytes: int) -> str:
    megabytes = size_bytes / 1e6
    return f"{megabytes:.1f} MB" if megabytes < 1000 else f"{megabytes / 1000:.1f} GB"
