"""Whether an image is still the one that was worked on."""

import hashlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import astuple

from fractal_tasks.storage.file_version import FileVersion
from fractal_tasks.storage.files import files_of
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.transforms.warp import FOLDER

_ROOT_METADATA = (".zattrs", ".zgroup", "zarr.json")
_TABLES = "tables"
_DIGITS = 16


def fingerprint_pixels(image: OpenImage) -> str:
    """Give a text that changes when an image is written again under the same url.

    Made of path, size and time of change (in an object store: ETag) of all files of
    the levels and of the image's own metadata. No pixel is read: a terabyte takes as
    long as listing its chunks. Tables and labels do not count.

    A copy that keeps the times has the same fingerprint; one that does not has
    another, though its pixels are the same. Where files cannot be listed or told
    apart, as over http, each call gives another one: in doubt, pixels have changed.

    Returns:
        16 hexadecimal digits.
    """
    return fingerprint_parts(image, [*image.container.level_paths, *_ROOT_METADATA])


def fingerprint_parts(image: OpenImage, names: Sequence[str]) -> str:
    """Give a text that changes as files or folders in an image do.

    Args:
        image: The image.
        names: Their paths in it.

    Returns:
        16 hexadecimal digits.
    """
    return _fingerprint(files_of(image.url).list_versions(image.url.location, names))


def fingerprint_image(image: OpenImage, *, without_table: str) -> str:
    """Give a text that changes when anything in an image changes.

    Tables, which are small and written by every task, count by their content; all else
    as for `fingerprint_pixels`.

    Args:
        image: The image, with its labels, tables and whatever else lies in it.
        without_table: Name of a table that does not count.

    Returns:
        16 hexadecimal digits.
    """
    files, location = files_of(image.url), image.url.location
    folders = files.list_folders(location)
    # What tables name in there has names that tell its content.
    apart = {_TABLES, FOLDER}
    names = [*_ROOT_METADATA, *(name for name in folders if name not in apart)]
    versions = files.list_versions(location, names)
    if _TABLES in folders:
        folders = files.list_folders(location / _TABLES)
        names = [*_ROOT_METADATA, *(name for name in folders if name != without_table)]
        tables = [f"{_TABLES}/{name}" for name in names]
        versions += files.list_versions(location, tables, by_content=True)
    return _fingerprint(versions)


def _fingerprint(versions: Sequence[FileVersion]) -> str:
    if not versions or not all(version.stamp for version in versions):
        return uuid.uuid4().hex[:_DIGITS]
    content = json.dumps([astuple(version) for version in versions])
    return hashlib.sha256(content.encode()).hexdigest()[:_DIGITS]
