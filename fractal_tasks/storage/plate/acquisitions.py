"""Which acquisitions a plate has: those that it lists, and those of its wells."""

from collections.abc import Collection, Iterator
from typing import Any

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.storage.files import open_group
from fractal_tasks.storage.library_errors import reading
from fractal_tasks.storage.plate.wells import read_acquisitions
from fractal_tasks.storage.urls import ImageUrl, is_inner_path


def find_acquisitions(image: ImageUrl, wanted: Collection[int]) -> set[int]:
    """Find acquisitions of the plate of an image, at least those that are wanted.

    The more is read the less is known of them: the well of the image, what the plate
    lists, and then one well after the other.

    Args:
        image: Any image of the plate.
        wanted: Acquisitions that may be there.

    Returns:
        Ids; all that there are if one of those wanted is not among them.

    Raises:
        InvalidDataError: The metadata of the plate are needed and cannot be read.
    """
    found: set[int] = set()
    for some in _read_acquisitions(image):
        found |= some
        if found >= set(wanted):
            break
    return found


def _read_acquisitions(image: ImageUrl) -> Iterator[set[int]]:
    """Give the acquisitions of one source after the other, the nearest first."""
    yield {one for one in read_acquisitions(image.well).values() if one is not None}
    with reading(
        f"{image.plate_url}: found no list of wells", "Correct the plate's metadata."
    ):
        attributes: Any = open_group(image.plate).attrs.asdict()
        plate = attributes.get("ome", attributes)["plate"]
        listed = {int(one["id"]) for one in plate.get("acquisitions", ())}
        wells = [str(well["path"]) for well in plate["wells"]]
    yield listed
    for path in filter(is_inner_path, wells):
        try:
            ids = read_acquisitions(image.plate / path)
        except InvalidDataError:  # a bad well says nothing, and is reported elsewhere
            continue
        yield {one for one in ids.values() if one is not None}
