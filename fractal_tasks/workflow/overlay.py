"""The overlay of a well or an image: which images it shows, and what it is called."""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fractal_tasks.discovery import absolute_url, discover_images
from fractal_tasks.errors import InvalidInputError
from fractal_tasks.report.images import sort_images
from fractal_tasks.report.open_pair import open_pair
from fractal_tasks.report.output import check_output, name_file, replace_file
from fractal_tasks.report.pairs import Tables
from fractal_tasks.report.show import draw_pairs
from fractal_tasks.storage.files import files_of
from fractal_tasks.storage.plate.wells import is_in_plate, read_acquisitions
from fractal_tasks.storage.urls import ImageUrl, StorageOptions, parse_image_url

if TYPE_CHECKING:
    from PIL.Image import Image

_FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
"""Of pictures, by the ending of the file."""

_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "PNG": {"optimize": True},
    "JPEG": {"quality": 90, "subsampling": 0},
    "TIFF": {"compression": "tiff_deflate"},
}


@dataclass(frozen=True)
class Chosen:
    """The images that an overlay shows."""

    acquisitions: tuple[ImageUrl, ...]
    """But references."""

    registered: Mapping[ImageUrl, ImageUrl]
    """Registered versions beside images."""


def choose_images(
    url: str, acquisition: int | None = None, options: StorageOptions | None = None
) -> Chosen:
    """Choose the images of a well that an overlay shows.

    Args:
        url: A well, a plate of one well, or an image, which alone is shown then.
        acquisition: The one that is shown; None for all.
        options: How to reach the object store they may be in.

    Raises:
        InvalidInputError: There are several wells, or no such acquisition.
        InvalidDataError: The well cannot be read.
    """
    named = absolute_url(url)
    images = _discover_beside(named, options or {})
    wells = list(dict.fromkeys(f"{one.row}/{one.column}" for one in images))
    if len(wells) > 1:
        raise InvalidInputError(
            f"{named}: found a plate of {len(wells)} wells, {_list(wells)}; needed is "
            f"one of them, e.g. '{named}/{wells[0]}'."
        )
    found = sort_images(images)
    told = [*found.told, *(one for one in found.registered if _is_there(one))]
    registered = {one: other for one, other in found.registered.items() if one in told}
    # A registered image of which the input is gone is shown by itself.
    told += [
        one for one in images if one not in told and one not in registered.values()
    ]
    alone = [one for one in told if named in {one.zarr_url, _url(registered.get(one))}]
    told = list(dict.fromkeys(alone or told))
    if acquisition is None or not is_in_plate(images[0]):
        return Chosen(tuple(told), registered)
    numbers = read_acquisitions(images[0].well)
    chosen = [one for one in told if numbers.get(one.image_path) == acquisition]
    if not chosen:
        there = sorted({n for n in numbers.values() if n is not None})
        raise InvalidInputError(
            f"{named}: found the acquisitions {there}; acquisition={acquisition} is "
            "none of them. Choose one."
        )
    return Chosen(tuple(chosen), registered)


def show_images(chosen: Chosen, tables: Tables, roi: str | None = None) -> "Image":
    """Draw overlays before and after registration, a row per acquisition.

    Args:
        chosen: The images.
        tables: They say how ROIs moved.
        roi: The ROI that is shown; None for all of the well.

    Raises:
        InvalidInputError: There is no such ROI, or nothing but the reference.
        InvalidDataError: An image cannot be read.
    """
    opened = {
        one: open_pair(one, chosen.registered, tables) for one in chosen.acquisitions
    }
    pairs = [pair for pair in opened.values() if pair is not None]
    if not pairs:
        raise _refuse(chosen.acquisitions)
    return draw_pairs(pairs, roi)


def _refuse(references: Sequence[ImageUrl]) -> InvalidInputError:
    """Make the error that references alone were chosen."""
    first = references[0]
    numbers = read_acquisitions(first.well) if is_in_plate(first) else {}
    number = numbers.get(first.image_path)
    name = "it" if number is None else f"acquisition {number}"
    others = sorted({n for n in numbers.values() if n not in {None, number}})
    listed = f"; there are {others}" if others else ""
    return InvalidInputError(
        f"{_list([one.zarr_url for one in references])}: {name} is the reference, "
        f"which is drawn with each other acquisition{listed}. Choose one that was "
        "compared with it."
    )


def check_picture(path: Path) -> None:
    """Refuse the file of a picture that cannot be written.

    Raises:
        InvalidInputError: It is in no known format, or at no place for it.
    """
    if path.suffix.lower() not in _FORMATS:
        raise InvalidInputError(
            f"{path}: found the ending {path.suffix!r}; needed is one of "
            f"{', '.join(_FORMATS)}. Choose another name."
        )
    check_output(path)


def save_picture(picture: "Image", path: Path) -> None:
    """Write a file in the format of its ending, in the place of an older one.

    Raises:
        PublishError: It could not be written.
    """
    file = io.BytesIO()
    name = _FORMATS[path.suffix.lower()]
    picture.save(file, name, **_SETTINGS[name])
    replace_file(path, file.getvalue())


def _discover_beside(url: str, options: StorageOptions) -> list[ImageUrl]:
    """Find the images of a well, or of that of an image; without a plate it alone."""
    found = discover_images([url], options)
    images = [parse_image_url(one, options) for one in found.images + found.registered]
    is_image = len(images) == 1 and images[0].zarr_url == url
    if is_image and is_in_plate(images[0]):
        return _discover_beside(images[0].well_url, options)
    return images


def name_picture(chosen: Chosen, roi: str | None, acquisition: int | None) -> str:
    """Name the file of an overlay: ``plate_B03_FOV_1_acquisition_2.png``."""
    first = chosen.acquisitions[0]
    parts = [first.stem]
    if is_in_plate(first):
        plate = first.plate_url.rpartition("/")[2].removesuffix(".zarr")
        parts = [plate, f"{first.row}{first.column}"]
    if roi is not None:
        parts.append(roi)
    if acquisition is not None:
        parts.append(f"acquisition_{acquisition}")
    return name_file("_".join(parts) + ".png")


def _is_there(image: ImageUrl) -> bool:
    return files_of(image).exists(image.location)


def _url(image: ImageUrl | None) -> str:
    return "" if image is None else image.zarr_url


def _list(names: Iterable[str], most: int = 20) -> str:
    listed = list(names)
    more = len(listed) - most
    return ", ".join(listed[:most]) + (f" and {more} more" if more > 0 else "")
