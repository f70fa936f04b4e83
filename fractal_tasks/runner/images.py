"""The image list, and what the output of a task does to it.

The rules are those of a Fractal server (fractal-server 2, `runner/v2/runner.py`), so
that a chain of tasks leaves the same list here as there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from pydantic import BaseModel, ConfigDict

Attribute: TypeAlias = str | int | float | bool


@dataclass(frozen=True)
class ImageEntry:
    """An image of the image list."""

    zarr_url: str
    origin: str | None = None
    """Url of the image from which a task made it."""

    types: Mapping[str, bool] = field(default_factory=dict)
    """What it is, e.g. ``{"registered": True}``."""

    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    """Where it belongs, e.g. ``{"well": "B03"}``."""


class ImageUpdate(BaseModel):
    """A new image, or what changes of one in the list."""

    zarr_url: str
    origin: str | None = None
    types: dict[str, bool] = {}
    attributes: dict[str, Attribute | None] = {}
    """None takes an attribute away."""


class UnitOutput(BaseModel):
    """What a server accepts from a unit; anything else fails the job there."""

    model_config = ConfigDict(extra="forbid")

    image_list_updates: list[ImageUpdate] = []
    image_list_removals: list[str] = []


def update_images(
    images: Sequence[ImageEntry],
    outputs: Sequence[UnitOutput],
    output_types: Mapping[str, bool],
) -> list[ImageEntry]:
    """Give the image list after a task.

    Args:
        images: The list before it.
        outputs: Of the units that did not fail. If there are some, but none changes
            the list, then all images count as changed by the task.
        output_types: Types that every new or changed image gets.
    """
    updates = [update for output in outputs for update in output.image_list_updates]
    removals = {url for output in outputs for url in output.image_list_removals}
    if outputs and not updates and not removals:
        updates = [ImageUpdate(zarr_url=image.zarr_url) for image in images]
    listed = {image.zarr_url: image for image in images}
    for update in updates:
        source = _inherited(listed, update)
        attributes = {**source.attributes, **update.attributes}
        listed[update.zarr_url] = ImageEntry(
            zarr_url=update.zarr_url,
            origin=source.origin,
            types={**source.types, **update.types, **output_types},
            attributes={k: v for k, v in attributes.items() if v is not None},
        )
    return [image for image in listed.values() if image.zarr_url not in removals]


def as_entries(images: Iterable[ImageEntry | str]) -> list[ImageEntry]:
    """Give images as entries of the list; of a bare url nothing else is known."""
    return [ImageEntry(i) if isinstance(i, str) else i for i in images]


def _inherited(listed: Mapping[str, ImageEntry], update: ImageUpdate) -> ImageEntry:
    """Give what an image has before its update: its own, or that of its origin."""
    new = ImageEntry(update.zarr_url)
    if update.origin in (None, update.zarr_url):
        return listed.get(update.zarr_url, new)
    # Also if the image is in the list: it was made anew.
    origin = listed.get(str(update.origin), new)
    return ImageEntry(update.zarr_url, update.origin, origin.types, origin.attributes)
