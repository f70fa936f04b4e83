"""Which images are registered to which: per well, the reference of each acquisition.

A well may have several images per acquisition, one for each field or for each step of
processing. They are paired with those of the reference by name (the text after the
first ``_``), by place, or by order. The reference may be of another plate.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from fractal_tasks.errors import FractalTasksError, InvalidDataError
from fractal_tasks.model import Item, Pairing, pair_items
from fractal_tasks.storage.plate.open_image import open_image
from fractal_tasks.storage.plate.wells import (
    format_acquisitions,
    has_acquisitions,
    number_acquisitions,
    originals,
    read_acquisition_of_each,
    read_listed,
)
from fractal_tasks.storage.urls import (
    ImageUrl,
    StorageOptions,
    normalise_url,
    parse_image_url,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RegistrationGroup:
    """Images of one well that are registered to the same reference."""

    reference: ImageUrl
    others: tuple[ImageUrl, ...]
    unsure: frozenset[ImageUrl] = frozenset()
    """Others that belong to the reference by their order alone, or as it is the only
    one: whether they show the same, the pixels have to tell."""

    @property
    def home(self) -> ImageUrl:
        """An image of the well that is registered; the reference if there is none."""
        return self.others[0] if self.others else self.reference

    @property
    def written(self) -> tuple[ImageUrl, ...]:
        """The images of the well: all but a reference of another plate."""
        members = (self.reference, *self.others)
        return tuple(one for one in members if one.well_url == self.home.well_url)


@dataclass(frozen=True)
class Grouping:
    """What is registered to what, and what is not."""

    groups: list[RegistrationGroup] = field(default_factory=list)
    failures: dict[str, FractalTasksError] = field(default_factory=dict)
    """By url, the images for which there is no reference, and why."""

    @property
    def lone(self) -> list[RegistrationGroup]:
        """The groups of a reference alone, with nothing to register."""
        return [group for group in self.groups if not group.others]

    def require_work(self) -> None:
        """Refuse to go on if no image can be registered.

        Raises:
            InvalidDataError: There is nothing to register, or nothing that can be.
            InvalidInputError: The same, if that is what was wrong.
        """
        if any(group.others for group in self.groups):
            return
        if self.failures:
            raise next(iter(self.failures.values()))
        images = [group.reference.zarr_url for group in self.groups]
        raise InvalidDataError(
            f"Found {len(images)} images, each the only one of its well, e.g. "
            f"{images[:1]}; there is nothing to register them to. Add the images of "
            "other acquisitions. If each acquisition is a plate of its own, give the "
            "plate that they are registered to as reference."
        )


def group_images(
    zarr_urls: Iterable[str],
    reference_acquisition: int,
    storage_options: StorageOptions | None = None,
    reference_plate: str | None = None,
) -> Grouping:
    """Find the reference of each image.

    A well of which this cannot be told does not stop the others.

    Args:
        zarr_urls: Images to register, of any number of wells.
        reference_acquisition: Acquisition that the others are registered to.
        storage_options: How to reach the object store they may be in.
        reference_plate: Url of the plate that has the references; left out, that of
            the images. Its own images are no images to register.

    Raises:
        InvalidInputError: A url is not that of an image in a plate.
    """
    plate = normalise_url(reference_plate) if reference_plate else None
    by_well: dict[str, list[ImageUrl]] = {}
    for zarr_url in dict.fromkeys(zarr_urls):
        image = parse_image_url(zarr_url, storage_options)
        if image.plate_url != plate:
            by_well.setdefault(image.well_url, []).append(image)
    found = Grouping()
    for images in by_well.values():
        try:
            well = _read_well(images, reference_acquisition, plate)
            groups, alone = _group_well(well)
        except FractalTasksError as error:
            found.failures.update({image.zarr_url: error for image in images})
            continue
        found.groups.extend(groups)
        found.failures.update(alone)
    return found


@dataclass(frozen=True)
class _Well:
    """The images of a well, and those they may be registered to."""

    references: tuple[ImageUrl, ...]
    acquisitions: Mapping[int, list[ImageUrl]]
    """The images to register, by acquisition."""

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
    return _Well(tuple(references), acquisitions, numbered)


def _references_elsewhere(
    image: ImageUrl, reference_acquisition: int, plate: str
) -> list[ImageUrl]:
    """Find the images of the same well of another plate that may be the reference."""
    well = f"{plate}/{image.row}/{image.column}"
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
    unsure: set[ImageUrl] = set()
    failures: dict[str, InvalidDataError] = {}
    for images in well.acquisitions.values():
        partners, doubted = _pair_images(well.references, images)
        for image in images:
            if image in partners:
                members[partners[image]].append(image)
            else:
                failures[image.zarr_url] = _no_partner(image, well.references)
        unsure |= set(images) if well.is_numbered else doubted
    # A reference of another plate to which nothing belongs is none of our business.
    own = {image.well_url for images in well.acquisitions.values() for image in images}
    groups = [
        RegistrationGroup(reference, tuple(others), frozenset(unsure & set(others)))
        for reference, others in members.items()
        if others or not own or reference.well_url in own
    ]
    return groups, failures


def _pair_images(
    references: Sequence[ImageUrl], images: Sequence[ImageUrl]
) -> tuple[dict[ImageUrl, ImageUrl], set[ImageUrl]]:
    """Give the reference of each image of an acquisition, and those that are unsure."""
    if len(references) == len(images) == 1:
        return {images[0]: references[0]}, set()
    pairing = _pair_by_names(references, images)
    by_url = {image.zarr_url: image for image in (*references, *images)}
    partners = {by_url[a]: by_url[b] for a, b in pairing.partners.items()}
    unsure = {by_url[a] for a, how in pairing.paired_by.items() if how == "order"}
    if len(references) == 1:
        rest = [by_url[one] for one in pairing.moving_alone]
        partners |= dict.fromkeys(rest, references[0])
        unsure |= set(rest)
    for image, reference in partners.items():
        how = pairing.paired_by.get(image.zarr_url, "order")
        logger.info("%s belongs to %s, by %s", image.zarr_url, reference.zarr_url, how)
    return partners, unsure


def _pair_by_names(
    references: Sequence[ImageUrl], images: Sequence[ImageUrl]
) -> Pairing:
    """Pair images by name if that is enough, or else also by place."""
    in_other_plate = references[0].plate_url != images[0].plate_url
    fixed, moving = (
        [
            Item(one.zarr_url, one.image_path if in_other_plate else one.suffix)
            for one in urls
        ]
        for urls in (references, images)
    )
    pairing = pair_items(fixed, moving)
    if not in_other_plate and "name" in pairing.paired_by.values():
        return pairing
    if len(references) == 1:
        return pairing
    return pair_items(_locate(fixed, references), _locate(moving, images))


def _locate(items: Sequence[Item], urls: Sequence[ImageUrl]) -> list[Item]:
    """Add where the stage was, if the metadata of all images tell, each its own."""
    places = [_read_place(url) for url in urls]
    if len({centre for centre, _ in places}) < len(items):
        return list(items)
    return [
        Item(item.key, item.name, centre, size)
        for item, (centre, size) in zip(items, places, strict=True)
    ]


def _read_place(url: ImageUrl) -> tuple[tuple[float, float], tuple[float, float]]:
    """Read the centre of an image on the stage and its size, in um (y, x)."""
    grid = open_image(url).grid
    size_um = np.multiply(grid.shape, grid.spacing_um)
    _, y, x = (grid.origin_um + size_um / 2).tolist()
    _, height, width = size_um.tolist()
    return (y, x), (height, width)


def _no_partner(image: ImageUrl, references: Sequence[ImageUrl]) -> InvalidDataError:
    paths = [other.image_path for other in references]
    return InvalidDataError(
        f"{image.zarr_url}: the reference acquisition has the images {paths} in this "
        "well, and none that belongs to this one: by the suffix of its name, the text "
        f"after the first '_' ({image.suffix!r}), by its place on the stage, or by "
        "order, if there are as many. It is not registered. Give fields the same "
        "suffix in all acquisitions, e.g. '0_a' and '1_a', or name one image of each "
        "acquisition."
    )
