"""A folder that is registered in the place of one that must not be written.

    source                           counterpart
    metadata, tables, other files    copies, which tasks may replace
    levels, labels, other folders    symbolic links: in an image nothing is written
                                     through a link, and none is followed to remove;
                                     of a remote source, copies

So it takes little space, and *apply*, which exchanges whole images, puts real pixels in
the place of the links. The url of the source is in the attributes of the counterpart.
ADR 0012 has the reasons.
"""

import logging
from pathlib import Path

from fractal_tasks.errors import InvalidInputError, PublishError
from fractal_tasks.storage.files import files_of, open_group
from fractal_tasks.storage.library_errors import library_errors
from fractal_tasks.storage.local.links import copy_linking
from fractal_tasks.storage.local.locks import image_lock
from fractal_tasks.storage.local.publish import heal, replace_directory
from fractal_tasks.storage.urls import Location, StorageOptions

logger = logging.getLogger(__name__)

SOURCE_KEY = "fractal_tasks_source"
"""Attribute of the plate or image: the url of what it is the counterpart of."""


def make_counterpart(
    source: Location, target: Path, *, folders_above_images: int
) -> None:
    """Make the counterpart of a plate or image, in one step; one that is there stays.

    Nothing is written in or beside the source.

    Args:
        source: Plate or image; on this machine an absolute path without symbolic links.
        target: Where the counterpart is to be; its parent is made if it is missing.
        folders_above_images: How deep images lie in the source: 3 in a plate on this
            machine, 0 if it is an image.

    Raises:
        InvalidInputError: Something else is at the target.
        PublishError: It could not be written; there is nothing at the target then.
    """
    make_parent(target)
    with image_lock(target):
        heal(target)
        if is_counterpart(target, source):
            return
        with replace_directory(target, image=target, validate=lambda _: None) as build:
            _fill(source, build, folders_above_images)
            write_source(build, source)


def make_parent(target: Path) -> None:
    """Make the folder that counterparts are to lie in.

    Raises:
        PublishError: It could not be made.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PublishError(
            f"{target.parent} could not be made ({error}). Check the permissions, or "
            "choose another output folder."
        ) from error


def source_of(
    image: Path, counterpart: Path, storage_options: StorageOptions | None = None
) -> Location:
    """Give what an image of a counterpart, or the counterpart, was made from."""
    inner = image.relative_to(counterpart).parts
    url = "/".join((str(_read_source(counterpart)), *inner))
    return Location(url, storage_options or {})


def restore_image(
    image: Path, counterpart: Path, storage_options: StorageOptions | None = None
) -> None:
    """Put what was made from the source in the place of a registered image.

    Args:
        image: The image, in a counterpart or the counterpart itself.
        counterpart: Plate or image.
        storage_options: How to reach the object store that the source may be in.

    Raises:
        PublishError: It could not be written; the image is what it was.
    """
    with image_lock(image):
        heal(image)
        source = source_of(image, counterpart, storage_options)
        with replace_directory(image, image=image, validate=lambda _: None) as build:
            _fill(source, build, 0)
            if image == counterpart:
                write_source(build, source)


def is_counterpart(target: Path, source: Location) -> bool:
    """Whether the counterpart of a plate or image is there.

    Raises:
        InvalidInputError: Something else is there.
    """
    if not target.exists():
        return False
    found = _read_source(target)
    if found != source.url:
        made_from = f"made from {found}" if found else "which was not made by output"
        raise InvalidInputError(
            f"{target}: found what is there already, {made_from}; needed is a place "
            f"for what is made from {source.url}. Choose another output folder, or "
            "remove it."
        )
    return True


def _read_source(counterpart: Path) -> str | None:
    try:
        source = open_group(Location(str(counterpart))).attrs.get(SOURCE_KEY)
    except library_errors():
        return None
    return source if isinstance(source, str) else None


def write_source(counterpart: Path, source: Location) -> None:
    """Note what a counterpart is made from."""
    group = open_group(Location(str(counterpart)), "r+")
    group.attrs[SOURCE_KEY] = source.url


def _fill(source: Location, target: Path, depth: int) -> None:
    if source.is_remote:
        download_image(source, target)
    else:
        copy_linking(source.path, target, depth)


def download_image(source: Location, target: Path) -> None:
    """Copy what lies in an object store or on a server."""
    files_of(source).copy_folder(source, Location(str(target)))
    size_bytes = files_of().size_bytes(Location(str(target)))
    logger.info("%s: downloaded %.1f MB", source.url, size_bytes / 1e6)
