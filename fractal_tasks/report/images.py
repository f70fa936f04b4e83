"""Which images of a plate say what became of it, and which show it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.records.applied import read_applied_record
from fractal_tasks.storage.urls import ImageUrl


@dataclass(frozen=True)
class SortedImages:
    """The images of a plate, before and after *apply*."""

    told: list[ImageUrl]
    """Those whose tables say what became of ROIs: of an image that is kept, it, and
    not its registered version. In the order of their urls, numbers by their value."""

    registered: dict[ImageUrl, ImageUrl]
    """The registered version beside each image that has one."""

    in_place: frozenset[ImageUrl]
    """Those of `told` whose own pixels were moved."""


def sort_images(images: Iterable[ImageUrl]) -> SortedImages:
    """Tell registered images that lie beside their input from all others."""
    told, registered, in_place = [], {}, set()
    for image in sorted(dict.fromkeys(images), key=_natural_key):
        source = _find_input(image)
        if source is None or source == image:
            told.append(image)
        else:
            registered[source] = image
        if source == image:
            in_place.add(image)
    return SortedImages(told, registered, frozenset(in_place))


def _find_input(image: ImageUrl) -> ImageUrl | None:
    """Give the image that was registered, perhaps itself; None if none was."""
    try:
        record = read_applied_record(image)
    except InvalidDataError:  # damaged images are reported where they are used
        return None
    return None if record is None else image.sibling(record.input_image)


def _natural_key(image: ImageUrl) -> list[tuple[int, int, str]]:
    return [
        (0, int(part), "") if part.isdecimal() else (1, 0, part)
        for part in re.split(r"(\d+)", image.zarr_url)
    ]
