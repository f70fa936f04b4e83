"""Urls of images, wells and plates: ``<plate>/<row>/<column>/<image>``."""

import unicodedata
from dataclasses import dataclass
from pathlib import Path

from fractal_tasks.errors import InvalidInputError

MAX_NAME_BYTES = 200
"""File systems take 255 bytes; hidden folders and locks add to the names."""


def normalise_url(url: str) -> str:
    """Give `url` without trailing or doubled slashes.

    Raises:
        InvalidInputError: `url` is empty or contains ``..`` or ``.``.
    """
    scheme, separator, path = url.rpartition("://")
    parts = path.split("/")
    if not any(parts) or not all(is_name(part) for part in parts if part):
        raise InvalidInputError(
            f"zarr_url {url!r}: found an empty path or a '.' or '..' in it, or what "
            "cannot be the name of a folder; needed is the plain url of an image in a "
            "plate, e.g. '/data/plate.zarr/B/03/0'."
        )
    root = "/" if path.startswith("/") and not separator else ""
    return scheme + separator + root + "/".join(part for part in parts if part)


@dataclass(frozen=True)
class ImageUrl:
    """The url of an image, taken apart."""

    zarr_url: str
    plate_url: str
    row: str
    column: str
    image_path: str

    @property
    def well_url(self) -> str:
        """Url of the well the image is in."""
        return f"{self.plate_url}/{self.row}/{self.column}"

    @property
    def path(self) -> Path:
        """The image as a local folder."""
        return Path(self.zarr_url)

    @property
    def suffix(self) -> str:
        """What follows the first ``_`` in the image's name; '' if there is none."""
        return self.image_path.partition("_")[2]

    def sibling(self, image_path: str) -> "ImageUrl":
        """Give the url of another image of the same well."""
        return parse_image_url(f"{self.well_url}/{image_path}")


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


def parse_image_url(zarr_url: str) -> ImageUrl:
    """Take the url of an image in a plate apart.

    Raises:
        InvalidInputError: The url is remote, has fewer than four parts, or ``..``.
    """
    url = normalise_url(zarr_url)
    if "://" in url:
        raise InvalidInputError(
            f"zarr_url {zarr_url!r}: found a url with a scheme; needed is a path, e.g. "
            "'/data/plate.zarr/B/03/0'. Registration works on local plates only, for "
            "now: copy the plate to a local disk, or mount it."
        )
    parts = url.rsplit("/", maxsplit=3)
    if len(parts) != 4 or not parts[0]:
        raise InvalidInputError(
            f"zarr_url {zarr_url!r}: needed is '<plate>/<row>/<column>/<image>', e.g. "
            "'/data/plate.zarr/B/03/0'. Registration works on plates only."
        )
    return ImageUrl(url, *parts)
