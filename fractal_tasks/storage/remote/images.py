"""New images in an object store, which knows neither renames nor locks.

An image is written where it is to lie. A marker object says that it is not finished:
it is written first and deleted last, and only then the image is listed in its well.
Without the marker an image is whole; one with it is deleted and made again. Nothing is
ever deleted that has neither this marker nor a record of the same input image.
"""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fractal_tasks import __version__
from fractal_tasks.errors import InvalidDataError, PublishError
from fractal_tasks.storage.remote.folder import ObjectFolder
from fractal_tasks.storage.urls import ImageUrl, Location

logger = logging.getLogger(__name__)

_MARKER = ".fractal-tasks-unfinished.json"
_ATTEMPTS = 100
"""Each that fails means that another worker was done: no well has so many images."""


def read_marker(image: ImageUrl) -> str | None:
    """Give the input image of an image that is not finished; None if it is finished.

    It is '' if the marker is not one of this package.
    """
    content = ObjectFolder(image.location).read(_MARKER)
    if content is None:
        return None
    try:
        return str(json.loads(content)["input_image"])
    except (KeyError, TypeError, ValueError):
        return ""


@contextmanager
def build_image(
    target: ImageUrl, *, input_image: str, validate: Callable[[Location], None]
) -> Iterator[Location]:
    """Give the location of an image, cleared, to write it there.

    Args:
        target: The image. What is there is ours and out of date, or not finished.
        input_image: Path in the well of the image that it is made from.
        validate: Reopens the image and raises if it is not what it should be.

    Raises:
        InvalidDataError: The object store could not be read.
        PublishError: It could not be written. The marker stays.
    """
    folder = ObjectFolder(target.location)
    marker = {"input_image": input_image, "version": __version__}
    folder.write(_MARKER, json.dumps(marker).encode())
    folder.delete([key for key in folder.list_keys() if key != _MARKER])
    yield target.location
    validate(target.location)
    folder.delete([_MARKER])


def list_in_well(image: ImageUrl, acquisition: int) -> None:
    """List an image in its well; no entry that others add meanwhile is lost.

    Raises:
        InvalidDataError: The metadata of the well cannot be read.
        PublishError: They could not be written.
    """
    well = ObjectFolder(image.well)
    key = "zarr.json" if well.read("zarr.json") is not None else ".zattrs"
    entry = {"path": image.image_path, "acquisition": acquisition}
    for _ in range(_ATTEMPTS):
        version = well.read_version(key)
        document = _with_entry(well, key, entry)
        if document is None or well.replace(key, document, version):
            return
    raise PublishError(
        f"{image.zarr_url} is in place, but could not be added to the images of its "
        f"well: {well.url}/{key} was changed by others {_ATTEMPTS} times in a row. Run "
        "the task again: it adds it."
    )


def _with_entry(well: ObjectFolder, key: str, entry: dict[str, Any]) -> bytes | None:
    """Give the metadata of a well with one image more; None if it is listed."""
    try:
        document = json.loads(well.read(key) or b"")
        attributes = document["attributes"]["ome"] if key == "zarr.json" else document
        images = attributes["well"]["images"]
        if any(image["path"] == entry["path"] for image in images):
            return None
        images.append(entry)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidDataError(
            f"{well.url}/{key}: found no list of images of a well ({error!r}). Correct "
            "the metadata of the well, then run the task again."
        ) from error
    return json.dumps(document, indent=2).encode()
