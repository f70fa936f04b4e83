"""Find the images that a plate, a well or an image stands for."""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fractal_tasks.errors import (
    FractalTasksError,
    InvalidDataError,
    InvalidInputError,
)
from fractal_tasks.storage.library_errors import reading
from fractal_tasks.storage.plate.grouping import group_images
from fractal_tasks.storage.plate.groups import Grouping
from fractal_tasks.storage.plate.ome_metadata import read_ome_metadata
from fractal_tasks.storage.plate.wells import is_in_plate, read_acquisitions
from fractal_tasks.storage.urls import (
    ImageUrl,
    Location,
    StorageOptions,
    is_inner_path,
    is_remote_url,
    normalise_url,
    parse_image_url,
)

logger = logging.getLogger(__name__)


@dataclass
class Discovery:
    """The images that were found, and what could not be."""

    images: list[str] = field(default_factory=list)
    """Urls, each once."""

    registered: list[str] = field(default_factory=list)
    """Images that are left out, as they are registered already."""

    pending: list[str] = field(default_factory=list)
    """Images of wells that are registered in part: they only need the last step."""

    failures: dict[str, FractalTasksError] = field(default_factory=dict)
    """Wells, and images, with what is wrong with them; the others can go on."""


def discover_images(
    urls: Sequence[str], storage_options: StorageOptions | None = None
) -> Discovery:
    """Find the images of plates, wells and images, each once, in the plate's order.

    An image of a plate or well that is the result of *Apply Registration to Image* is
    left out, as a Fractal server does by its types; an image that is itself among
    `urls` is always taken.

    Args:
        urls: Plates, wells or images: folders, or urls of object stores.
        storage_options: How to reach the object store they may be in.

    Raises:
        InvalidInputError: A url is none of these.
        InvalidDataError: A plate cannot be read, or it and its wells have no images.
    """
    found = Discovery()
    for url in urls:
        _add_images(found, Location(absolute_url(url), storage_options or {}))
    found.images = list(dict.fromkeys(found.images))
    return found


def find_work(
    found: Discovery,
    reference_acquisition: int,
    reference: str | None = None,
    storage_options: StorageOptions | None = None,
) -> Discovery:
    """Add the references that are missing, and leave out what has none.

    Args:
        found: The images that were found.
        reference_acquisition: Acquisition that all others are registered to.
        reference: The plate that has the references, or the image that is the reference
            of all; None for those of their own plate.
        storage_options: How to reach the object store they may be in.

    Returns:
        The images that the init tasks can pair, with all failures so far.

    Raises:
        InvalidInputError: There is nothing but the reference.
        InvalidDataError: There is nothing to register, and nothing is registered.
    """
    images = found.images
    failures = dict(found.failures)
    if reference is None:
        images, missing = _add_references(
            images, reference_acquisition, storage_options or {}
        )
        failures |= missing
    grouping = group_images(images, reference_acquisition, storage_options, reference)
    failures |= grouping.failures
    has_work = any(group.others for group in grouping.groups)
    if not (has_work or failures or found.registered or found.pending):
        _require_others(grouping)
        if grouping.groups:
            grouping.require_work()
    for image in grouping.only_read:
        logger.warning(
            "%s: is the reference, or of its plate: only read", image.zarr_url
        )
    groups = [group for group in grouping.groups if group.others]
    for group in grouping.lone if has_work else ():
        logger.warning(
            "%s: nothing else in its well is to be registered to it; it stays as it is",
            group.reference.zarr_url,
        )
    grouped = {one.zarr_url for group in groups for one in group.written}
    images = [url for url in images if url in grouped]
    return replace(found, images=images, failures=failures)


def _require_others(grouping: Grouping) -> None:
    """Refuse to register nothing but the reference."""
    if grouping.only_read and not grouping.groups:
        names = [image.zarr_url for image in grouping.only_read]
        raise InvalidInputError(
            f"Found nothing to register but the reference itself: {names[:1]}, which "
            "is only read. Name the images that are to be registered to it as well."
        )


def _add_references(
    zarr_urls: Sequence[str],
    reference_acquisition: int,
    storage_options: StorageOptions,
) -> tuple[list[str], dict[str, FractalTasksError]]:
    """Add the reference image of every image whose well has none among `zarr_urls`.

    Returns:
        The images, and the wells, or images in none, of which the reference is
        registered already, or unknown.
    """
    wells: dict[str, list[ImageUrl]] = {}
    failures: dict[str, FractalTasksError] = {}
    for zarr_url in zarr_urls:
        image = parse_image_url(zarr_url, storage_options)
        wells.setdefault(image.well_url, []).append(image)
    found: list[str] = []
    for well_url, images in wells.items():
        try:
            missing = _missing_references(images, reference_acquisition)
        except FractalTasksError as error:
            if is_in_plate(images[0]):
                failures[well_url] = error
            else:
                failures |= {one.zarr_url: _needs_reference(one) for one in images}
            continue
        found += [image.zarr_url for image in (*missing, *images)]
    order = {url: index for index, url in enumerate(zarr_urls)}
    found.sort(key=lambda url: order.get(url, -1))
    return found, failures


def _needs_reference(image: ImageUrl) -> InvalidDataError:
    return InvalidDataError(
        f"{image.zarr_url}: found an image that is in no plate; needed is the image "
        "that it is registered to. Name that as reference."
    )


def _missing_references(
    images: list[ImageUrl], reference_acquisition: int
) -> list[ImageUrl]:
    acquisitions = read_acquisitions(images[0].well)
    if any(acquisitions.get(i.image_path) == reference_acquisition for i in images):
        return []
    candidates = [
        images[0].sibling(path)
        for path, acquisition in acquisitions.items()
        if acquisition == reference_acquisition
    ]
    usable = [image for image in candidates if not is_result(image)]
    if candidates and not usable:
        raise InvalidInputError(
            f"{candidates[0].zarr_url}: this image of reference_acquisition="
            f"{reference_acquisition} is registered already, and {images[0].zarr_url} "
            "is not. If a run was interrupted, the same 'register' command finishes "
            "it. Otherwise restore the input of the whole well to register it anew, or "
            "name all its images one by one to register this one to the others as they "
            "are."
        )
    # Without any candidate, grouping says what the well has.
    urls = [image.zarr_url for image in (*usable, *images)]
    options = images[0].storage_options
    groups = group_images(urls, reference_acquisition, options).groups
    return [group.reference for group in groups if group.others]


def absolute_url(url: str) -> str:
    """Give the url of a folder that may be named from where the user is.

    Raises:
        InvalidInputError: It is empty, or none that is supported.
    """
    if not url:
        raise InvalidInputError(
            "zarr_url '': found an empty path, which would stand for the folder that "
            "you are in. If that is meant, give '.'."
        )
    return normalise_url(url if is_remote_url(url) else os.path.abspath(url))


def _add_images(found: Discovery, folder: Location) -> None:
    metadata = read_ome_metadata(folder)
    if "multiscales" in metadata:
        found.images.append(parse_image_url(folder.url).zarr_url)
        return
    if "well" in metadata:
        wells = [folder]
    elif "plate" in metadata:
        wells = [folder / path for path in well_paths(folder, metadata["plate"])]
    else:
        raise InvalidInputError(
            f"{folder.url}: found a Zarr group that is no plate, well or image of "
            "OME-Zarr. Give the folder of a plate, e.g. 'plate.zarr', of a well, e.g. "
            "'plate.zarr/B/03', or of images, e.g. 'plate.zarr/B/03/1' or 'image.zarr'."
        )
    before = len(found.images) + len(found.registered)
    failures: dict[str, FractalTasksError] = {}
    for well in wells:
        try:
            paths = read_acquisitions(well)
        except InvalidDataError as error:
            failures[well.url] = error
            continue
        if not paths:
            failures[well.url] = InvalidDataError(
                f"{well.url}: the well lists no images. Complete its metadata, or take "
                "the well out of those of the plate."
            )
        for path in paths:
            image = parse_image_url(f"{well.url}/{path}", well.storage_options)
            registered = is_result(image)
            (found.registered if registered else found.images).append(image.zarr_url)
    if len(found.images) + len(found.registered) == before:
        raise next(
            iter(failures.values()),
            InvalidDataError(
                f"{folder.url}: found no images. Check the plate's metadata."
            ),
        )
    found.failures |= failures


def well_paths(folder: Location, plate: Any) -> list[str]:  # noqa: ANN401 - whatever JSON
    """Give the paths in a plate of the wells that its metadata list.

    Raises:
        InvalidDataError: They are no such list.
    """
    with reading(
        f"{folder.url}: found no list of wells", "Correct the plate's metadata."
    ):
        paths = [well["path"] for well in plate["wells"]]
        odd = [path for path in paths if not _is_well_path(path)]
    if odd:
        raise InvalidDataError(
            f"{folder.url}: the plate lists wells at {odd}; needed are paths "
            "'<row>/<column>'. Correct its metadata."
        )
    return paths


def _is_well_path(path: str) -> bool:
    return path.count("/") == 1 and is_inner_path(path)


def is_result(image: ImageUrl) -> bool:
    """Whether an image is a result; one that is damaged fails where it is used."""
    from fractal_tasks.records.applied import is_registered

    try:
        return is_registered(image)
    except InvalidDataError:
        return False
