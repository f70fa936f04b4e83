"""Urls of images, wells and plates: ``<plate>/<row>/<column>/<image>``.

An image that is in no plate can have any url. A url is a path on this machine, or leads
into an object store: ``s3://bucket/...``.
"""

import json
import os
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from fractal_tasks.errors import InvalidInputError

MAX_NAME_BYTES = 200
"""File systems take 255 bytes; hidden folders and locks add to the names."""

StorageOptions: TypeAlias = Mapping[str, Any]
"""How to reach an object store, as fsspec takes it. May hold secrets: neither logged
nor stored nor shown in errors."""

_ENDING = re.compile(r"(\.ome)?\.zarr$")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")


def real_path(path: Path) -> Path:
    """Follow links; one that leads back to itself stays where it is."""
    # Path.resolve raises an error for those, of another kind in each Python.
    return Path(os.path.realpath(path))


def is_remote_url(url: str) -> bool:
    """Whether a url leads into an object store."""
    return "://" in url


def normalise_url(url: str) -> str:
    """Give `url` without trailing or doubled slashes.

    Raises:
        InvalidInputError: `url` is empty, contains ``..`` or ``.``, or leads into an
            object store in a way that is not supported.
    """
    if is_remote_url(url):
        _check_remote(url)
    scheme, separator, path = url.rpartition("://")
    parts = path.split("/")
    if not any(parts) or not all(is_name(part) for part in parts if part):
        raise InvalidInputError(
            f"zarr_url {url!r}: found an empty path or a '.' or '..' in it, or what "
            "cannot be the name of a folder; needed is the plain url of an image, e.g. "
            "'/data/plate.zarr/B/03/0'."
        )
    root = "/" if path.startswith("/") and not separator else ""
    return scheme + separator + root + "/".join(part for part in parts if part)


def _check_remote(url: str) -> None:
    scheme = url.partition("://")[0]
    netloc = urlsplit(url).netloc
    if "?" in url or ":" in netloc.rpartition("@")[0]:
        # Not shown: it may be a password or a signature.
        raise InvalidInputError(
            f"A zarr_url of {scheme}:// has a password or a query ('?') in it, which "
            "would be written to logs. Give credentials in the environment or in "
            "storage_options."
        )
    if not _SCHEME.fullmatch(scheme) or "::" in url:
        raise InvalidInputError(
            f"zarr_url {url!r}: found a chained url or no protocol; needed is e.g. "
            "'s3://bucket/plate.zarr/B/03/0'."
        )
    if scheme in {"file", "local"}:
        raise InvalidInputError(
            f"zarr_url {url!r}: for a folder on this machine give its path, e.g. "
            "'/data/plate.zarr/B/03/0'."
        )


def parse_storage_options(text: str | None) -> StorageOptions:
    """Read the task argument `storage_options`.

    Raises:
        InvalidInputError: It is no JSON object.
    """
    try:
        options = json.loads(text or "{}")
    except json.JSONDecodeError as error:
        # Without the text, which may hold secrets.
        raise InvalidInputError(
            "storage_options: needed is a JSON object, e.g. '{\"anon\": true}'; found "
            f"no JSON ({error.msg} at character {error.pos})."
        ) from None
    if not isinstance(options, dict):
        raise InvalidInputError(
            "storage_options: needed is a JSON object, e.g. '{\"anon\": true}'; found "
            f"JSON of another type, {type(options).__name__}."
        )
    return options


@dataclass(frozen=True)
class Location:
    """Where a folder of a plate lies: on this machine or in an object store."""

    url: str
    storage_options: StorageOptions = field(
        default_factory=dict, compare=False, repr=False
    )

    @property
    def is_remote(self) -> bool:
        """Whether it lies in an object store."""
        return is_remote_url(self.url)

    @property
    def path(self) -> Path:
        """The folder on this machine; only if it is not remote."""
        return Path(self.url)

    def __truediv__(self, name: str) -> "Location":
        """Give the location of something below."""
        return Location(f"{self.url}/{name}", self.storage_options)


@dataclass(frozen=True)
class ImageUrl:
    """The url of an image, taken apart.

    Of an image that is in no plate, the folders that it is in take the names of well
    and plate; `storage.plate.wells.is_in_plate` tells.
    """

    zarr_url: str
    plate_url: str
    row: str
    column: str
    image_path: str
    storage_options: StorageOptions = field(
        default_factory=dict, compare=False, repr=False
    )

    @property
    def well_url(self) -> str:
        """Url of the well the image is in."""
        folder, separator, _ = self.zarr_url.rpartition("/")
        return folder or separator or "."

    @property
    def is_remote(self) -> bool:
        """Whether the image lies in an object store."""
        return is_remote_url(self.zarr_url)

    @property
    def location(self) -> Location:
        """Where the image lies."""
        return Location(self.zarr_url, self.storage_options)

    @property
    def well(self) -> Location:
        """Where the well lies."""
        return Location(self.well_url, self.storage_options)

    @property
    def plate(self) -> Location:
        """Where the plate lies."""
        return Location(self.plate_url, self.storage_options)

    @property
    def path(self) -> Path:
        """The image as a folder on this machine; only if it is not remote."""
        return Path(self.zarr_url)

    @property
    def suffix(self) -> str:
        """What follows the first ``_`` in the image's name; '' if there is none."""
        return self.image_path.partition("_")[2]

    @property
    def stem(self) -> str:
        """The image's name without ``.zarr`` or ``.ome.zarr``."""
        return _ENDING.sub("", self.image_path)

    def name_with(self, suffix: str) -> str:
        """Name what is made from it: ``1_registered``, ``day1_registered.zarr``."""
        return f"{self.stem}_{suffix}{self.image_path.removeprefix(self.stem)}"

    def seen_from(self, other: "ImageUrl") -> str:
        """Name the image as records of another one do.

        The path in the folder they share; of an image in another one, the whole url.
        """
        return self.image_path if self.well_url == other.well_url else self.zarr_url

    def sibling(self, image_path: str) -> "ImageUrl":
        """Give the url of another image of the same well, or beside this one."""
        folder, separator, _ = self.zarr_url.rpartition("/")
        return parse_image_url(f"{folder}{separator}{image_path}", self.storage_options)


def is_inner_path(path: str) -> bool:
    """Whether a relative path leads below the folder it is in, and can exist."""
    return all(is_name(part) for part in path.split("/"))


def is_name(text: str) -> bool:
    """Whether a folder can have this name, and a line of the log can show it."""
    odd = text in {"", ".", ".."} or "/" in text
    # Control characters (zero, newline) and what is no character at all.
    if odd or any(unicodedata.category(char) in {"Cc", "Cs"} for char in text):
        return False
    return len(text.encode()) <= MAX_NAME_BYTES


def parse_image_url(
    zarr_url: str, storage_options: StorageOptions | None = None
) -> ImageUrl:
    """Take the url of an image apart.

    Args:
        zarr_url: ``<plate>/<row>/<column>/<image>``; of an image in no plate, any.
        storage_options: How to reach the object store it may be in.

    Raises:
        InvalidInputError: The url has ``..``, or leads into an object store in a way
            that is not supported.
    """
    url = normalise_url(zarr_url)
    prefix, separator, path = url.rpartition("://")
    plate, row, column, image_path = ["", "", "", *path.rsplit("/", maxsplit=3)][-4:]
    plate_url = prefix + separator + plate
    return ImageUrl(url, plate_url, row, column, image_path, storage_options or {})
