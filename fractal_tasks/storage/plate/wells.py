"""Which images of a well belong together: acquisitions and their reference."""

from collections.abc import Sequence
from dataclasses import dataclass

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.storage.files import files_of
from fractal_tasks.storage.library_errors import reading
from fractal_tasks.storage.urls import (
    ImageUrl,
    Location,
    StorageOptions,
    is_name,
    parse_image_url,
)


@dataclass(frozen=True)
class RegistrationGroup:
    """The images of one well that are registered to each other."""

    reference: ImageUrl
    others: tuple[ImageUrl, ...]


def read_acquisitions(well: Location) -> dict[str, int | None]:
    """Read the acquisition of every image of a well from the well's metadata.

    Returns:
        Image path (e.g. ``'0'``) to acquisition id.

    Raises:
        InvalidDataError: There is no well there.
    """
    from ngio import open_ome_zarr_well

    store = files_of(well).open_store(well)
    with reading(
        f"{well.url}: found no well of an OME-Zarr plate",
        "Registration works on images of plates, '<plate>/<row>/<column>/<image>'; "
        "check the zarr_url.",
    ):
        opened = open_ome_zarr_well(store, mode="r", cache=True)
        images = {
            path: opened.get_image_acquisition_id(path) for path in opened.paths()
        }
    odd = [path for path in images if not is_name(path)]
    if odd:
        raise InvalidDataError(
            f"{well.url}: the well lists images at {odd}; needed are the names of "
            "folders in the well. Correct its metadata."
        )
    return images


def read_acquisition(image: ImageUrl) -> int:
    """Read which acquisition an image belongs to.

    Raises:
        InvalidDataError: The well does not list the image, or without acquisition.
    """
    return read_acquisition_of_each([image])[image]


def read_acquisition_of_each(images: Sequence[ImageUrl]) -> dict[ImageUrl, int]:
    """Read which acquisition each of several images belongs to, each well once.

    Raises:
        InvalidDataError: A well does not list its image, or without acquisition.
    """
    wells = {well: read_acquisitions(well) for well in {i.well: None for i in images}}
    found = {}
    for image in images:
        acquisitions = wells[image.well]
        acquisition = acquisitions.get(image.image_path)
        if acquisition is None:
            raise InvalidDataError(
                f"{image.zarr_url}: the well lists the images "
                f"{format_acquisitions(acquisitions)}; needed is image "
                f"{image.image_path!r} with an acquisition. Check the zarr_url and the "
                "metadata of the well."
            )
        found[image] = acquisition
    return found


def format_acquisitions(acquisitions: dict[str, int | None]) -> str:
    """Write e.g. ``'0' (acquisition 0), '1' (acquisition 1)``."""
    return ", ".join(
        f"{path!r} (acquisition {acquisition})"
        for path, acquisition in acquisitions.items()
    )


def group_images(
    zarr_urls: Sequence[str],
    reference_acquisition: int,
    storage_options: StorageOptions | None = None,
) -> list[RegistrationGroup]:
    """Group images by well and find the reference of each.

    A well may hold several images per acquisition (``0``, ``0_corrected``, ``1``,
    ``1_corrected``): then an image belongs to the reference with the same suffix,
    the text after the first ``_``.

    Args:
        zarr_urls: Images to register, of any number of wells.
        reference_acquisition: Acquisition that the others are registered to.
        storage_options: How to reach the object store they may be in.

    Raises:
        InvalidDataError: A well lacks the reference acquisition, or it is ambiguous.
    """
    by_well: dict[str, list[ImageUrl]] = {}
    for zarr_url in dict.fromkeys(zarr_urls):
        image = parse_image_url(zarr_url, storage_options)
        by_well.setdefault(image.well_url, []).append(image)
    groups: list[RegistrationGroup] = []
    for images in by_well.values():
        groups.extend(_group_well(images, reference_acquisition))
    return groups


def _group_well(
    images: list[ImageUrl], reference_acquisition: int
) -> list[RegistrationGroup]:
    acquisitions = read_acquisition_of_each(images)
    references = [
        image for image in images if acquisitions[image] == reference_acquisition
    ]
    if not references:
        raise InvalidDataError(
            f"Well {images[0].well_url}: found images of acquisitions "
            f"{sorted(set(acquisitions.values()))}; needed is "
            f"reference_acquisition={reference_acquisition}. Choose one of these, or "
            "add the images of the reference acquisition to the list."
        )
    members: dict[ImageUrl, list[ImageUrl]] = {image: [] for image in references}
    for image in images:
        if image not in members:
            members[choose_reference(image, references)].append(image)
    return [
        RegistrationGroup(reference, tuple(others))
        for reference, others in members.items()
    ]


def choose_reference(image: ImageUrl, references: Sequence[ImageUrl]) -> ImageUrl:
    """Choose the only reference, or among several the one with the same suffix.

    Raises:
        InvalidDataError: Several references, and not exactly one with that suffix.
    """
    if len(references) == 1:
        return references[0]
    matches = [other for other in references if other.suffix == image.suffix]
    if len(matches) != 1:
        raise InvalidDataError(
            f"{image.zarr_url}: the reference acquisition has several images in this "
            f"well, {[other.image_path for other in references]}; needed is exactly "
            f"one with the suffix {image.suffix!r} after the first '_'. Leave the "
            "others out of the list, or rename them."
        )
    return matches[0]
