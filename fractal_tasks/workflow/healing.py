"""Finish or remove what interrupted runs left of the images of plates."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from fractal_tasks.discovery import absolute_url, discover_images
from fractal_tasks.errors import FractalTasksError
from fractal_tasks.storage.files import files_of
from fractal_tasks.storage.urls import ImageUrl, StorageOptions, parse_image_url

logger = logging.getLogger(__name__)

State: TypeAlias = Literal["healed", "left", "in use", "failed"]


@dataclass(frozen=True)
class Interrupted:
    """An image of which an interrupted run left something."""

    zarr_url: str
    state: State
    """`left`: nothing was changed; `in use`: a worker holds its lock, and what lies
    there is probably what it builds."""

    reason: str = ""
    """Why it failed."""


def heal_images(
    urls: Sequence[str],
    storage_options: StorageOptions | None = None,
    *,
    dry_run: bool = False,
) -> list[Interrupted]:
    """Heal the images of plates, wells and folders of images, finished ones included.

    Args:
        urls: Plates, wells or images. Of an image, all that lie beside it are looked
            at: what is left of one that is not listed yet has no url of its own.
        storage_options: How to reach the object store they may be in. There, nothing
            is left that the next run does not write over.
        dry_run: Whether to find only, and change nothing.

    Returns:
        What was found, in the order of the plates.

    Raises:
        InvalidInputError: A url is no plate, well or image.
        InvalidDataError: A plate cannot be read, or has no images.
        PublishError: A folder cannot be listed.
    """
    store = storage_options or {}
    named = [parse_image_url(absolute_url(url), store) for url in urls]
    # An image between two renames is not at its place: nothing would be found there.
    results = [
        _heal(image, dry_run=dry_run)
        for image in dict.fromkeys(named)
        if files_of(image).exists(image.well)
        and image.image_path in files_of(image).find_interrupted(image.well)
    ]
    if dry_run and results:
        return results
    found = discover_images(urls, store)
    images = [parse_image_url(url, store) for url in (*found.images, *found.registered)]
    return results + heal_beside(images, dry_run=dry_run)


def heal_beside(
    images: Sequence[ImageUrl], *, dry_run: bool = False
) -> list[Interrupted]:
    """Heal all that lies beside images which were found already; see `heal_images`."""
    beside = {image.well: image for image in images}
    return [
        _heal(image.sibling(name), dry_run=dry_run)
        for folder, image in beside.items()
        for name in files_of(folder).find_interrupted(folder)
    ]


def _heal(image: ImageUrl, *, dry_run: bool) -> Interrupted:
    files = files_of(image)
    try:
        if not dry_run:
            with files.lock_free_image(image) as is_free:
                if not is_free:
                    return Interrupted(image.zarr_url, "in use")
                files.heal_image(image)
        unclear = files.find_unclear(image)
        is_left = image.image_path in files.find_interrupted(image.well)
    except FractalTasksError as error:
        return Interrupted(image.zarr_url, "failed", str(error))
    if unclear:
        reason = (
            f"nothing in {', '.join(unclear)} says what it is of. Remove it by hand if "
            "it is not needed"
        )
        return Interrupted(image.zarr_url, "failed", reason)
    if dry_run:
        return Interrupted(image.zarr_url, "left")
    if is_left:
        reason = (
            "the image is whole, but what is left beside it could not be removed, as "
            "the log says. Change its permissions, or let somebody run 'heal' who may"
        )
        return Interrupted(image.zarr_url, "failed", reason)
    logger.info("%s: what an interrupted run left is cleared", image.zarr_url)
    return Interrupted(image.zarr_url, "healed")
