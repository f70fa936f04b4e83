"""Which images are registered to which: per well, the reference of each acquisition.

A well may have several images per acquisition, one for each field or for each step of
processing. They are paired with those of the reference by name (the text after the
first ``_``), by place, or by order. The reference may be of another plate, or one image
that all others are registered to.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fractal_tasks.errors import (
    FractalTasksError,
    InvalidDataError,
    InvalidInputError,
)
from fractal_tasks.storage.plate.groups import (
    Grouping,
    RegistrationGroup,
    without_aliases,
)
from fractal_tasks.storage.plate.image_pairs import no_partner, pair_images
from fractal_tasks.storage.plate.ome_metadata import is_image, read_ome_metadata
from fractal_tasks.storage.plate.wells import (
    format_acquisitions,
    has_acquisitions,
    is_in_plate,
    number_acquisitions,
    originals,
    read_acquisition_of_each,
    read_listed,
    well_of,
)
from fractal_tasks.storage.urls import (
    ImageUrl,
    Location,
    StorageOptions,
    normalise_url,
    parse_image_url,
)

if TYPE_CHECKING:
    from fractal_tasks.model import PairedBy


def group_images(
    zarr_urls: Iterable[str],
    reference_acquisition: int,
    storage_options: StorageOptions | None = None,
    reference: str | None = None,
) -> Grouping:
    """Find the reference of each image.

    A well of which this cannot be told does not stop the others.

    Args:
        zarr_urls: Images to register, of any number of wells.
        reference_acquisition: Acquisition that the others are registered to.
        storage_options: How to reach the object store they may be in.
        reference: Url of the plate that has the references, or of the image that is the
            reference of all; left out, the plate of the images. It is no image to
            register, nor are those of that plate.

    Raises:
        InvalidInputError: A url is not that of an image, or the reference is neither
            plate nor image, or no image though images are in no plate.
    """
    images = [parse_image_url(url, storage_options) for url in dict.fromkeys(zarr_urls)]
    plate = normalise_url(reference) if reference else None
    if plate and is_image(Location(plate, storage_options or {})):
        image = parse_image_url(plate, storage_options)
        own = tuple(one for one in images if one == image)
        return without_aliases(_group_by_image(image, images), {}, own)
    by_well: dict[str, list[ImageUrl]] = {}
    for image in images:
        if image.plate_url != plate:
            by_well.setdefault(image.well_url, []).append(image)
    if plate:
        samples = [well[0] for well in by_well.values()]
        _check_plate(plate, samples, storage_options or {})
    own = tuple(one for one in images if one.plate_url == plate)
    groups: list[RegistrationGroup] = []
    failures: dict[str, FractalTasksError] = {}
    for images in by_well.values():
        try:
            well = _read_well(images, reference_acquisition, plate)
            found, alone = _group_well(well)
        except FractalTasksError as error:
            failures.update({image.zarr_url: error for image in images})
            continue
        groups.extend(found)
        failures.update(alone)
    return without_aliases(groups, failures, own)


def _group_by_image(
    reference: ImageUrl, images: Sequence[ImageUrl]
) -> list[RegistrationGroup]:
    """Give a group for each well, and one for all images that are in no plate."""
    by_well: dict[str | None, list[ImageUrl]] = {}
    for image in images:
        if image != reference:
            by_well.setdefault(well_of(image), []).append(image)
    return [
        RegistrationGroup(reference, tuple(others), is_reference_kept=True)
        for others in by_well.values()
    ]


def _check_plate(
    reference: str, samples: Iterable[ImageUrl], options: StorageOptions
) -> None:
    """Refuse a reference that is no image nor plate, or that should be an image."""
    for image in samples:
        if not is_in_plate(image):
            raise InvalidInputError(
                f"{image.zarr_url}: this image is in no plate, and found as its "
                f"reference is {reference}, which is no image; needed is one, e.g. "
                "'day1.zarr' or 'plate.zarr/B/03/0'. Name the image that it is to be "
                "registered to."
            )
    if "plate" not in read_ome_metadata(Location(reference, options)):
        raise InvalidInputError(
            f"{reference}: found a well as the reference; needed is the plate that has "
            "the references, or one image. Name that."
        )


@dataclass(frozen=True)
class _Well:
    """The images of a well, and those they may be registered to."""

    references: tuple[ImageUrl, ...]
    acquisitions: Mapping[int, list[ImageUrl]]
    """The images to register, by acquisition."""

    is_reference_elsewhere: bool
    """Whether the references are of another plate."""

    is_numbered: bool
    """Whether the acquisitions are only the order of the images."""


def _read_well(
    images: list[ImageUrl], reference_acquisition: int, plate: str | None
) -> _Well:
    listed = read_listed(images[0].well)
    ids = read_acquisition_of_each(images)
    if plate is not None:
        references = _references_elsewhere(images[0], reference_acquisition, plate)
        # Images without acquisitions are then of one, as the specification has it.
        if not has_acquisitions(listed):
            ids = dict.fromkeys(ids, 0)
    else:
        references = [one for one in images if ids[one] == reference_acquisition]
        if not references:
            raise InvalidDataError(
                f"Well {images[0].well_url}: found images of acquisitions "
                f"{sorted(set(ids.values()))}; needed is reference_acquisition="
                f"{reference_acquisition}. Choose one of these, or add the images of "
                "the reference acquisition to the list."
            )
    acquisitions: dict[int, list[ImageUrl]] = {}
    for image in images:
        if image not in references:
            acquisitions.setdefault(ids[image], []).append(image)
    numbered = plate is None and not has_acquisitions(listed)
    return _Well(tuple(references), acquisitions, plate is not None, numbered)


def _references_elsewhere(
    image: ImageUrl, reference_acquisition: int, plate: str
) -> list[ImageUrl]:
    """Find the images of the same well of another plate that may be the reference."""
    name = f"{image.row}/{image.column}"
    listed_wells = read_ome_metadata(Location(plate, image.storage_options))["plate"]
    if all(one["path"] != name for one in listed_wells["wells"]):
        raise InvalidDataError(
            f"{image.well_url}: found no well {name} in {plate}, which has the "
            "references. Name the wells that are in both, or another reference."
        )
    well = f"{plate}/{name}"
    sample = parse_image_url(f"{well}/0", image.storage_options)
    listed = read_listed(sample.well)
    acquisitions = number_acquisitions(listed)
    paths = originals(listed)
    if has_acquisitions(listed):
        paths = [one for one in paths if acquisitions[one] == reference_acquisition]
    if not paths:
        raise InvalidDataError(
            f"Well {well}: found {format_acquisitions(acquisitions)}; needed is "
            f"reference_acquisition={reference_acquisition}. Choose one of these."
        )
    return [sample.sibling(path) for path in paths]


def _group_well(
    well: _Well,
) -> tuple[list[RegistrationGroup], dict[str, InvalidDataError]]:
    """Give the groups of a well, and the images that belong to no reference."""
    members: dict[ImageUrl, list[ImageUrl]] = {one: [] for one in well.references}
    paired_by: dict[ImageUrl, PairedBy] = {}
    failures: dict[str, InvalidDataError] = {}
    for images in well.acquisitions.values():
        partners, how = pair_images(well.references, images)
        for image in images:
            if image in partners:
                members[partners[image]].append(image)
            else:
                failures[image.zarr_url] = no_partner(image, well.references)
        paired_by |= dict.fromkeys(partners, "order") if well.is_numbered else how
    # A reference of another plate to which nothing belongs is none of our business.
    groups = [
        RegistrationGroup(
            reference,
            tuple(others),
            {one: paired_by[one] for one in others if one in paired_by},
            well.is_reference_elsewhere,
        )
        for reference, others in members.items()
        if others or not well.is_reference_elsewhere
    ]
    return groups, failures
