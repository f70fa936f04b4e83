"""OME-Zarr that ngio does not open: the error that says why, and what to do.

Versions 0.1 to 0.3, which have no pixel sizes; several multiscales in one image, and
scales that are none.
Nothing is looked at as long as an image can be opened.
"""

import math
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.storage.files import open_group
from fractal_tasks.storage.library_errors import library_errors, reading
from fractal_tasks.storage.urls import Location

OLD_VERSIONS = ("0.1", "0.2", "0.3")

_SIZES = {"z": "1.0", "y": "0.65", "x": "0.65"}
"""Of pixels (um), as an example: these versions do not store them."""


@contextmanager
def reading_ome(location: Location, found: str, remedy: str) -> Iterator[None]:
    """As `reading`, for the group of an image or a well.

    Args:
        location: The group.
        found: Where and what was found.
        remedy: What to do.

    Raises:
        InvalidDataError: The body could not read it.
    """
    try:
        with reading(found, remedy):
            yield
    except InvalidDataError as error:
        attributes = _read_attributes(location)
        _refuse_damaged(location, attributes, error)
        _refuse_old(location, attributes, error)
        raise


def _refuse_damaged(
    location: Location, attributes: Mapping[str, Any], error: InvalidDataError
) -> None:
    ome = attributes.get("ome", attributes)
    multiscales = ome.get("multiscales") if isinstance(ome, dict) else None
    if not isinstance(multiscales, list):
        return
    if len(multiscales) != 1:
        raise InvalidDataError(
            f"{location.url}: found {len(multiscales)} multiscales in its metadata; "
            "needed is one. Keep the one that is to be registered, or write each as an "
            "image of its own."
        ) from error
    for level, scale in _find_scales(multiscales[0]):
        if not all(_is_size(number) for number in scale):
            raise InvalidDataError(
                f"{location.url}: level {level!r} has the scale {scale}; needed are "
                "numbers above 0. Correct the scale in the metadata."
            ) from error


def _find_scales(multiscale: object) -> Iterator[tuple[object, list[object]]]:
    """Give level and scale, as they are stored, wherever metadata have them."""
    for dataset in _items(multiscale, "datasets"):
        for step in _items(dataset, "coordinateTransformations"):
            if isinstance(step.get("scale"), list):
                yield dataset.get("path"), step["scale"]


def _items(document: object, key: str) -> list[dict[str, Any]]:
    """Give the objects of a list in a document that may be damaged."""
    found = document.get(key) if isinstance(document, dict) else None
    listed = found if isinstance(found, list) else []
    return [one for one in listed if isinstance(one, dict)]


def _is_size(number: object) -> bool:
    return isinstance(number, int | float) and 0 < number < math.inf


def _refuse_old(
    location: Location, attributes: Mapping[str, Any], error: InvalidDataError
) -> None:
    version = _find_version(attributes)
    if version is None:
        return
    image, what = location, "the image"
    if "well" in attributes:
        paths = [one["path"] for one in attributes["well"].get("images", ())]
        image, what = location / paths[0] if paths else location, "each image"
        attributes = _read_attributes(image)
    raise InvalidDataError(
        f"{location.url}: found OME-Zarr {version}; needed is 0.4 or 0.5, which tell "
        f"the size of a pixel. Convert {what} with ngff-zarr, your own pixel sizes in "
        f"it: {_conversion_command(image, attributes)} (docs/old-versions.md has all "
        "steps, also for plates)."
    ) from error


def _read_attributes(location: Location) -> dict[str, Any]:
    """Read what a group says; what cannot be read is of no version."""
    try:
        return open_group(location).attrs.asdict()
    except library_errors():
        return {}


def _find_version(attributes: Mapping[str, Any]) -> str | None:
    """Give the version that an image or well says it is of, if that is an old one."""
    for described in (attributes.get("well"), attributes.get("multiscales")):
        one = described[0] if isinstance(described, list) and described else described
        version = one.get("version") if isinstance(one, dict) else None
        if version in OLD_VERSIONS:
            return str(version)
    return None


def _conversion_command(image: Location, attributes: Mapping[str, Any]) -> str:
    """Give the command that writes an image anew, from its level 0."""
    multiscale = (attributes.get("multiscales") or [{}])[0]
    # Before 0.3 all images had these five.
    axes = [str(axis) for axis in multiscale.get("axes", "tczyx")]
    level = (multiscale.get("datasets") or [{"path": "0"}])[0]["path"]
    space = [axis for axis in axes if axis in _SIZES]
    channels = (attributes.get("omero") or {}).get("channels") or []
    labels = [str(channel.get("label", "")) for channel in channels]
    parts = ["ngff-zarr", "-i", (image / level).url, "--input-backend", "zarr"]
    parts += ["-d", *axes]
    parts += ["-s", *(part for axis in space for part in (axis, _SIZES[axis]))]
    parts += ["-u", *(part for axis in space for part in (axis, "micrometer"))]
    parts += ["--omero-labels", *labels] if all(labels) and labels else []
    stem = image.url.removesuffix(".zarr").removesuffix(".ome")
    parts += ["--ome-zarr-version", "0.4", "-o", f"{stem}_0.4.ome.zarr"]
    return shlex.join(parts)
