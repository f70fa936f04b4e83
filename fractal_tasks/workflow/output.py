"""Register in a folder what cannot, or is not to be, written where it lies."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fractal_tasks.discovery import (
    Discovery,
    absolute_url,
    discover_images,
    is_result,
    well_paths,
)
from fractal_tasks.errors import InvalidInputError
from fractal_tasks.records.judgement import find_pending
from fractal_tasks.storage.local.counterpart import (
    is_counterpart,
    make_counterpart,
    restore_image,
    source_of,
)
from fractal_tasks.storage.plate.download import download_wells, is_there
from fractal_tasks.storage.plate.ome_metadata import read_ome_metadata
from fractal_tasks.storage.plate.wells import is_in_plate, well_of
from fractal_tasks.storage.urls import (
    ImageUrl,
    Location,
    StorageOptions,
    is_remote_url,
    parse_image_url,
    real_path,
)

_FOLDERS_OF_A_PLATE = 3
"""Plate, row and well."""


@dataclass(frozen=True)
class _Source:
    """What a counterpart is made of."""

    location: Location
    """A plate, or an image in no plate, without symbolic links."""

    name: str
    """As it is called where it was named."""

    is_plate: bool


def move_inputs(
    urls: Sequence[str],
    reference: str | None,
    folder: str,
    storage_options: StorageOptions | None = None,
) -> tuple[list[str], str | None]:
    """Give what is worked on in the place of images and their reference.

    A remote reference is only read, where it lies. Arguments and errors are as of
    `make_counterparts`.
    """
    if reference is None or is_remote_url(reference):
        return make_counterparts(urls, folder, storage_options), reference
    *moved, reference = make_counterparts([*urls, reference], folder, storage_options)
    return moved, reference


def make_counterparts(
    urls: Sequence[str], folder: str, storage_options: StorageOptions | None = None
) -> list[str]:
    """Make counterparts of plates and images in a folder; those that are there stay.

    Args:
        urls: Plates, wells or images. Of a well, and of an image in a plate, it is the
            plate; in an object store the wells of it that are named.
        folder: The folder; it is made if it is missing.
        storage_options: How to reach the object store that they may be in.

    Returns:
        The url in the folder that stands for each of `urls`.

    Raises:
        InvalidInputError: The folder does not lie on this machine or cannot be made, a
            url and it are one in the other, two have the same name, or something else
            is there. Nothing is written then.
        InvalidDataError: What lies in an object store cannot be read.
        PublishError: The folder could not be written.
    """
    if is_remote_url(folder):
        raise InvalidInputError(
            f"{folder}: found a url of an object store; needed is an output folder on "
            "this machine."
        )
    output = Path(absolute_url(folder))
    _check_folder(output)
    places = [Location(absolute_url(url), storage_options or {}) for url in urls]
    roots = [_find_root(place) for place in places]
    sources = {root.url: _describe(root) for root in roots}
    made: dict[Path, _Source] = {}
    for source in sources.values():
        target = output / source.name
        _check_apart(source.location, output)
        if made.setdefault(target, source) != source:
            raise InvalidInputError(
                f"{source.location.url} and {made[target].location.url}: found two "
                f"inputs of the name {source.name!r}, which would be one in {folder}. "
                "Register them into different output folders."
            )
        is_counterpart(target, source.location)
    for target, source in made.items():
        if source.is_plate and source.location.is_remote:
            of_it = [place for place in places if _is_below(place, source.location)]
            download_wells(source.location, target, _wells_of(source.location, of_it))
            continue
        depth = _FOLDERS_OF_A_PLATE if source.is_plate else 0
        make_counterpart(source.location, target, folders_above_images=depth)
    return [
        str(output / sources[root.url].name) + place.url.removeprefix(root.url)
        for place, root in zip(places, roots, strict=True)
    ]


def _check_folder(output: Path) -> None:
    """Find out whether a folder is there, or can be made, and can be written in.

    Raises:
        InvalidInputError: It is not.
    """
    there = next(one for one in (output, *output.parents) if os.path.lexists(one))
    if not there.is_dir():
        problem = f"{there} is no folder"
    elif not os.access(there, os.W_OK | os.X_OK):
        problem = f"there is no permission to write in {there}"
    else:
        return
    raise InvalidInputError(
        f"{output}: {problem}; needed is a folder for the output, or a place to make "
        "it. Choose another."
    )


def _is_below(place: Location, root: Location) -> bool:
    return f"{place.url}/".startswith(f"{root.url}/")


def _wells_of(plate: Location, places: Sequence[Location]) -> list[str]:
    """Give the wells that the plate, wells and images of it stand for, each once."""
    wells: list[str] = []
    for place in places:
        inner = place.url.removeprefix(plate.url).strip("/")
        if inner:
            wells.append("/".join(inner.split("/")[:2]))
        else:
            wells += well_paths(plate, read_ome_metadata(plate)["plate"])
    return list(dict.fromkeys(wells))


def resume(
    urls: Sequence[str],
    registered_roi_table: str,
    storage_options: StorageOptions | None = None,
) -> Discovery:
    """Find what is left to do of counterparts.

    What is done is left out, also of images that are named one by one: their names
    are those of the input. A well is begun anew, with all that was done of it, if there
    are images that were not judged with those: it is judged as a whole, and its
    reference may be done.

    Args:
        urls: The counterparts.
        registered_roi_table: The table of the judgement.
        storage_options: How to reach the object store that the input may be in.

    Raises:
        InvalidDataError: What lies in an object store cannot be read.
        PublishError: The counterpart could not be written.
    """

    def is_replaced(image: ImageUrl) -> bool:
        return _is_replaced(image, storage_options)

    images = [parse_image_url(url) for url in discover_images(urls).images]
    pending = find_pending(images, registered_roi_table)
    begun = {
        well_of(image)
        for image in images
        if not is_replaced(image) and image not in pending
    }
    wells = [well for well in begun if well is not None]
    near = discover_images([*urls, *wells])
    again = [
        url
        for url in (*near.images, *near.registered)
        if well_of(image := parse_image_url(url)) in begun and is_replaced(image)
    ]
    for url in again:
        image = parse_image_url(url)
        restore_image(image.path, _root_of(image).path, storage_options)
    found = discover_images([*urls, *again])
    done = [url for url in found.images if is_replaced(parse_image_url(url))]
    left = [url for url in found.images if url not in done]
    registered = list(dict.fromkeys((*done, *found.registered)))
    return replace(found, images=left, registered=registered)


def _is_replaced(image: ImageUrl, storage_options: StorageOptions | None) -> bool:
    """Whether an image was registered in place, and its source is not registered."""
    if not is_result(image):
        return False
    source = source_of(image.path, _root_of(image).path, storage_options)
    return is_there(source) and not is_result(
        parse_image_url(source.url, storage_options)
    )


def _find_root(place: Location) -> Location:
    """Give the plate of a plate, well or image; of one in no plate, itself."""
    if "plate" in read_ome_metadata(place):
        return place
    found = discover_images([place.url], place.storage_options)
    url = (found.images + found.registered)[0]
    return _root_of(parse_image_url(url, place.storage_options))


def _root_of(image: ImageUrl) -> Location:
    return image.plate if is_in_plate(image) else image.location


def _describe(root: Location) -> _Source:
    name = root.url.rpartition("/")[2]
    is_plate = "multiscales" not in read_ome_metadata(root)
    real = root if root.is_remote else Location(str(real_path(root.path)))
    return _Source(real, name, is_plate)


def _check_apart(source: Location, output: Path) -> None:
    if source.is_remote:
        return
    real = real_path(output)
    if real.is_relative_to(source.path) or source.path.is_relative_to(real):
        raise InvalidInputError(
            f"{source.url}: found the output folder {output} in it or around it; "
            "needed is one apart from all input. Choose another output folder."
        )
