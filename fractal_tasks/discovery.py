"""Find the images that a plate, a well or an image stands for."""

import os
from collections.abc import Sequence
from typing import Any

from fractal_tasks.errors import (
    FractalTasksError,
    InvalidDataError,
    InvalidInputError,
)
from fractal_tasks.storage.files import open_group
from fractal_tasks.storage.library_errors import describe_cause, library_errors, reading
from fractal_tasks.storage.plate.wells import choose_reference, read_acquisitions
from fractal_tasks.storage.urls import (
    ImageUrl,
    Location,
    StorageOptions,
    is_inner_path,
    is_remote_url,
    normalise_url,
    parse_image_url,
)


def discover_images(
    urls: Sequence[str], storage_options: StorageOptions | None = None
) -> list[str]:
    """List the images of plates, wells and images, each once, in the plate's order.

    An image of a plate or well that is the result of *Apply Registration to Image* is
    left out, as a Fractal server does by its types; an image that is itself among
    `urls` is always taken.

    Args:
        urls: Plates, wells or images of plates: folders, or urls of object stores.
        storage_options: How to reach the object store they may be in.

    Returns:
        The absolute urls; empty if all images are registered already.

    Raises:
        InvalidInputError: A url is none of these.
        InvalidDataError: A plate or well cannot be read or has no images.
    """
    found: list[str] = []
    for url in urls:
        found.extend(_images_of(Location(_absolute(url), storage_options or {})))
    return list(dict.fromkeys(found))


def add_references(
    zarr_urls: Sequence[str],
    reference_acquisition: int,
    storage_options: StorageOptions | None = None,
) -> list[str]:
    """Add the reference image of every image whose well has none among `zarr_urls`.

    Raises:
        InvalidInputError: The reference is the result of an earlier registration.
        InvalidDataError: The reference cannot be told, or a well cannot be read.
    """
    wells: dict[str, list[ImageUrl]] = {}
    for zarr_url in zarr_urls:
        image = parse_image_url(zarr_url, storage_options)
        wells.setdefault(image.well_url, []).append(image)
    references = [
        reference.zarr_url
        for images in wells.values()
        for reference in _missing_references(images, reference_acquisition)
    ]
    return list(dict.fromkeys([*references, *zarr_urls]))


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
    usable = [image for image in candidates if not _is_registered(image)]
    if candidates and not usable:
        raise InvalidInputError(
            f"{candidates[0].zarr_url}: this image of reference_acquisition="
            f"{reference_acquisition} is registered already, and other images of its "
            "well are not. If an earlier run was interrupted, finish it with "
            "'apply-registration-to-image'; to register to this image anyway, name "
            "all images of the well one by one."
        )
    # Without any candidate the init task says what the well has.
    return [choose_reference(image, usable) for image in images] if usable else []


def _absolute(url: str) -> str:
    if not url:
        raise InvalidInputError(
            "zarr_url '': found an empty path, which would stand for the folder that "
            "you are in. If that is meant, give '.'."
        )
    return normalise_url(url if is_remote_url(url) else os.path.abspath(url))


def _images_of(folder: Location) -> list[str]:
    metadata = _read_metadata(folder)
    if "multiscales" in metadata:
        return [parse_image_url(folder.url).zarr_url]
    if "well" in metadata:
        wells = [folder]
    elif "plate" in metadata:
        wells = [folder / path for path in _well_paths(folder, metadata["plate"])]
    else:
        raise InvalidInputError(
            f"{folder.url}: found a Zarr group that is no plate, well or image of "
            "OME-Zarr. Give the folder of a plate, e.g. 'plate.zarr', of a well, e.g. "
            "'plate.zarr/B/03', or of images, e.g. 'plate.zarr/B/03/1'."
        )
    images = [
        parse_image_url(f"{well.url}/{path}", well.storage_options)
        for well in wells
        for path in read_acquisitions(well)
    ]
    if not images:
        raise InvalidDataError(
            f"{folder.url}: found no images. Check the plate's metadata."
        )
    return [image.zarr_url for image in images if not _is_registered(image)]


def _well_paths(folder: Location, plate: Any) -> list[str]:  # noqa: ANN401 - whatever JSON
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


def _read_metadata(folder: Location) -> dict[str, Any]:
    """Read the OME-Zarr metadata of a group, of any version."""
    try:
        attributes = open_group(folder).attrs.asdict()
    except FractalTasksError:
        raise
    except library_errors() as error:
        raise InvalidInputError(
            f"{folder.url}: found no Zarr group that can be opened "
            f"({describe_cause(error)}). Needed is the folder of an OME-Zarr plate, a "
            "well, or an image of a plate."
        ) from error
    ome = attributes.get("ome")
    return ome if isinstance(ome, dict) else attributes


def _is_registered(image: ImageUrl) -> bool:
    from fractal_tasks.records.applied import is_registered

    return is_registered(image)
