"""Which images a well has, and of which acquisitions they are."""

from collections.abc import Collection, Mapping, Sequence

from fractal_tasks.errors import InvalidDataError, InvalidInputError
from fractal_tasks.storage.files import files_of
from fractal_tasks.storage.plate.ome_metadata import read_ome_metadata
from fractal_tasks.storage.plate.versions import reading_ome
from fractal_tasks.storage.urls import ImageUrl, Location, is_name


def read_acquisitions(well: Location) -> dict[str, int | None]:
    """Read the acquisition of every image of a well from the well's metadata.

    Where no image has an acquisition, they are numbered in their order.

    Returns:
        Image path (e.g. ``'0'``) to acquisition id; None if only others have one.

    Raises:
        InvalidDataError: There is no well there.
    """
    return number_acquisitions(read_listed(well))


def read_listed(well: Location) -> dict[str, int | None]:
    """Read the images that a well lists, with the acquisition of each that has one.

    Raises:
        InvalidDataError: There is no well there.
    """
    from ngio import open_ome_zarr_well

    files_of(well).check_metadata(well)
    store = files_of(well).open_store(well)
    with reading_ome(
        well,
        f"{well.url}: found no well of an OME-Zarr plate",
        "Correct the zarr_url, or restore the well, or take it out of the metadata of "
        "its plate. Images that are in no plate need the image that they are "
        "registered to as reference.",
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


def originals(images: Collection[str]) -> list[str]:
    """Give the images that were not made from another one of the well."""
    return [
        path
        for path in images
        if not any(path.startswith(f"{other}_") for other in images)
    ]


def has_acquisitions(images: Mapping[str, int | None]) -> bool:
    """Whether the well says of any image which acquisition it is of.

    What *apply* adds has a number in any case.
    """
    return any(images[path] is not None for path in originals(images))


def number_acquisitions(images: Mapping[str, int | None]) -> dict[str, int | None]:
    """Number images of which none has an acquisition in their order.

    What *apply* made from one keeps the number that it got then.
    """
    if has_acquisitions(images):
        return dict(images)
    numbers = {path: number for number, path in enumerate(originals(images))}
    return {path: numbers.get(path, number) for path, number in images.items()}


def is_in_plate(image: ImageUrl) -> bool:
    """Whether an image is one of a plate, be the metadata of its well damaged."""
    return _has(image.well, "well") or _has(image.plate, "plate")


def well_of(image: ImageUrl) -> str | None:
    """Give the url of the well of an image; None, as of one well, if it has none."""
    return image.well_url if is_in_plate(image) else None


def _has(folder: Location, key: str) -> bool:
    if folder.url.endswith("://"):
        return False  # above the server: the image lies near its root
    try:
        return key in read_ome_metadata(folder)
    except InvalidInputError:
        return False


def read_acquisition(image: ImageUrl) -> int | None:
    """Read which acquisition an image belongs to; None if it is in no plate.

    Raises:
        InvalidDataError: The well does not list the image, or without acquisition.
        InvalidInputError: There is nothing at the url.
    """
    number = read_acquisition_of_each([image])[image]
    return number if is_in_plate(image) else None


def read_acquisition_of_each(images: Sequence[ImageUrl]) -> dict[ImageUrl, int]:
    """Read which acquisition each of several images belongs to, each well once.

    Images that are in no plate are numbered in their order, from 0.

    Raises:
        InvalidDataError: A well does not list its image, or without acquisition.
        InvalidInputError: There is nothing at a url.
    """
    wells: dict[Location, dict[str, int | None]] = {}
    found: dict[ImageUrl, int] = {}
    for number, image in enumerate(images):
        if image.well not in wells:
            if not is_in_plate(image):
                read_ome_metadata(image.location)  # or there is nothing at all
                found[image] = number
                continue
            wells[image.well] = read_acquisitions(image.well)
        acquisitions = wells[image.well]
        acquisition = acquisitions.get(image.image_path)
        if acquisition is None:
            raise InvalidDataError(
                f"{image.zarr_url}: the well lists the images "
                f"{format_acquisitions(acquisitions)}; needed is image "
                f"{image.image_path!r} with an acquisition. Complete the metadata of "
                "the well, or correct the zarr_url."
            )
        found[image] = acquisition
    return found


def format_acquisitions(acquisitions: dict[str, int | None]) -> str:
    """Write e.g. ``'0' (acquisition 0), '1' (acquisition 1)``."""
    return ", ".join(
        f"{path!r} (acquisition {acquisition})"
        for path, acquisition in acquisitions.items()
    )


def choose_reference(image: ImageUrl, references: Sequence[ImageUrl]) -> ImageUrl:
    """Choose the only reference, or among several the one with the same suffix.

    For registered tables that do not say it themselves.

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
            f"one with the suffix {image.suffix!r} after the first '_'. Run 'Find "
            "Registration Consensus' of this package, which notes the reference of "
            "each image, or rename them, e.g. '0_a' and '1_a'."
        )
    return matches[0]
