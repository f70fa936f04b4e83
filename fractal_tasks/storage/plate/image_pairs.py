"""Which images of an acquisition show what which images of the reference show."""

from collections.abc import Sequence

import numpy as np

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.model import Item, PairedBy, Pairing, pair_items
from fractal_tasks.storage.plate.open_image import open_image
from fractal_tasks.storage.urls import ImageUrl


def pair_images(
    references: Sequence[ImageUrl], images: Sequence[ImageUrl]
) -> tuple[dict[ImageUrl, ImageUrl], dict[ImageUrl, PairedBy]]:
    """Give the reference of each image of an acquisition, and what tells so.

    Args:
        references: The images of the reference acquisition in the well.
        images: Those of the other acquisition.
    """
    if len(references) == len(images) == 1:
        return {images[0]: references[0]}, {}
    pairing = _pair_by_names(references, images)
    by_url = {image.zarr_url: image for image in (*references, *images)}
    partners = {by_url[a]: by_url[b] for a, b in pairing.partners.items()}
    paired_by = {by_url[a]: how for a, how in pairing.paired_by.items()}
    if len(references) == 1:
        rest = [by_url[one] for one in pairing.moving_alone]
        partners |= dict.fromkeys(rest, references[0])
        paired_by |= dict.fromkeys(rest, "order")
    return partners, paired_by


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


def no_partner(image: ImageUrl, references: Sequence[ImageUrl]) -> InvalidDataError:
    """Give the error of an image that belongs to none of the references."""
    paths = [other.image_path for other in references]
    return InvalidDataError(
        f"{image.zarr_url}: the reference acquisition has the images {paths} in this "
        "well, and none that belongs to this one: by the suffix of its name, the text "
        f"after the first '_' ({image.suffix!r}), by its place on the stage, or by "
        "order, if there are as many. It is not registered. Give fields the same "
        "suffix in all acquisitions, e.g. '0_a' and '1_a', or name one image of each "
        "acquisition."
    )
