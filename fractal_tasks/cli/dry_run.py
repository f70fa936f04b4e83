"""What `register` would do to a plate, found without changing or locking anything."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fractal_tasks.storage.images import (
    check_level,
    check_single_timepoint,
    find_channel,
    list_labels,
    open_image,
)
from fractal_tasks.storage.roi_tables import read_roi_table
from fractal_tasks.storage.stores import exists, size_bytes
from fractal_tasks.storage.urls import ImageUrl, parse_storage_options
from fractal_tasks.storage.wells import group_images


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
) -> list[ImagePlan]:
    """Find out what registering images would read, write and replace.

    Args:
        zarr_urls: The images, with the reference of every well.
        settings: Values of all arguments of the three tasks.

    Raises:
        InvalidInputError: An argument does not fit an image.
        InvalidDataError: An image or table is missing or damaged.
    """
    return [
        _plan_image(image, group.reference, settings)
        for group in group_images(
            zarr_urls,
            settings["reference_acquisition"],
            parse_storage_options(settings["storage_options"]),
        )
        for image in (group.reference, *group.others)
    ]


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
    image: ImageUrl, reference: ImageUrl, settings: Mapping[str, Any]
) -> ImagePlan:
    container = open_image(image)
    check_single_timepoint(container, image)
    find_channel(container, image, settings["wavelength_id"])
    check_level(container, image, settings["level_path"])
    table = read_roi_table(container, image, settings["input_roi_table"])
    target = image
    if not settings["overwrite_input"]:
        target = image.sibling(f"{image.image_path}_{settings['output_image_suffix']}")
    changed = [
        image.location / "tables" / settings["registered_roi_table"],
        target.location,
    ]
    if image != reference:
        changed.insert(0, image.location / "tables" / table.name)
    there = {item.url: exists(item) for item in changed}
    is_reference = image == reference
    return ImagePlan(
        zarr_url=image.zarr_url,
        role="reference" if is_reference else f"registered to {reference.zarr_url}",
        rois=len(table.rois),
        labels=list_labels(container, image) if settings["register_labels"] else [],
        size_bytes=size_bytes(image.location),
        writes=[url for url, is_there in there.items() if not is_there],
        replaces=[url for url, is_there in there.items() if is_there],
    )


def _format_size(size_bytes: int) -> str:
    megabytes = size_bytes / 1e6
    return f"{megabytes:.1f} MB" if megabytes < 1000 else f"{megabytes / 1000:.1f} GB"
