"""Register in a folder what cannot, or is not to be, written where it lies."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fractal_tasks.discovery import Discovery, absolute_url, discover_images, is_result
from fractal_tasks.errors import InvalidInputError
from fractal_tasks.records.judgement import find_pending
from fractal_tasks.storage.local.counterpart import (
    is_counterpart,
    make_counterpart,
    restore_image,
    source_of,
)
from fractal_tasks.storage.plate.ome_metadata import read_ome_metadata
from fractal_tasks.storage.plate.wells import is_in_plate, well_of
from fractal_tasks.storage.urls import (
    ImageUrl,
    Location,
    is_remote_url,
    parse_image_url,
)
from fractal_tasks.workflow.planning import ImagePlan, Plan

_FOLDERS_OF_A_PLATE = 3
"""Plate, row and well."""


@dataclass(frozen=True)
class _Source:
    """What a counterpart is made of."""

    path: Path
    """A plate, or an image in no plate, without symbolic links."""

    name: str
    """As it is called where it was named."""

    is_plate: bool


def make_counterparts(urls: Sequence[str], folder: str) -> list[str]:
    """Make counterparts of plates and images in a folder; those that are there stay.

    Args:
        urls: Plates, wells or images. Of a well, and of an image in a plate, it is the
            plate.
        folder: The folder; it is made if it is missing.

    Returns:
        The url in the folder that stands for each of `urls`.

    Raises:
        InvalidInputError: A url or the folder does not lie on this machine, one is in
            the other, two have the same name, or something else is there. Nothing is
            written then.
        PublishError: The folder could not be written.
    """
    for url in (*urls, folder):
        _check_local(url)
    output = Path(absolute_url(folder))
    places = [Path(absolute_url(url)) for url in urls]
    roots = [_find_root(place) for place in places]
    sources = {root: _describe(root) for root in dict.fromkeys(roots)}
    made: dict[Path, _Source] = {}
    for source in sources.values():
        target = output / source.name
        _check_apart(source.path, output)
        if made.setdefault(target, source) != source:
            raise InvalidInputError(
                f"{source.path} and {made[target].path}: found two inputs of the name "
                f"{source.name!r}, which would be one in {folder}. Register them into "
                "different output folders."
            )
        is_counterpart(target, source.path)
    for target, source in made.items():
        depth = _FOLDERS_OF_A_PLATE if source.is_plate else 0
        make_counterpart(source.path, target, folders_above_images=depth)
    return [
        str(output / sources[root].name / place.relative_to(root))
        for place, root in zip(places, roots, strict=True)
    ]


def resume(urls: Sequence[str], registered_roi_table: str) -> Discovery:
    """Find what is left to do of counterparts.

    What is done is left out, also of images that are named one by one: their names
    are those of the input. A well is begun anew, with all that was done of it, if there
    are images that were not judged with those: it is judged as a whole, and its
    reference may be done.

    Args:
        urls: The counterparts.
        registered_roi_table: The table of the judgement.

    Raises:
        PublishError: The counterpart could not be written.
    """
    images = [parse_image_url(url) for url in discover_images(urls).images]
    pending = find_pending(images, registered_roi_table)
    begun = {
        well_of(image)
        for image in images
        if not _is_replaced(image) and image not in pending
    }
    wells = [well for well in begun if well is not None]
    near = discover_images([*urls, *wells])
    again = [
        url
        for url in (*near.images, *near.registered)
        if well_of(image := parse_image_url(url)) in begun and _is_replaced(image)
    ]
    for url in again:
        image = parse_image_url(url)
        restore_image(image.path, _root_of(image))
    found = discover_images([*urls, *again])
    done = [url for url in found.images if _is_replaced(parse_image_url(url))]
    left = [url for url in found.images if url not in done]
    registered = list(dict.fromkeys((*done, *found.registered)))
    return Discovery(left, registered, found.failures)


def move_plan(plan: Plan, folder: str) -> Plan:
    """Give a plan of the input with the urls that are written in an output folder."""
    output = Path(absolute_url(folder))

    def move(one: ImagePlan) -> ImagePlan:
        root = one.url.plate_url if is_in_plate(one.url) else one.url.zarr_url
        start = len(root.rpartition("/")[0]) + 1
        writes, replaces = (
            [str(output / url[start:]) for url in urls]
            for urls in (one.writes, one.replaces)
        )
        return replace(one, writes=writes, replaces=replaces)

    return Plan([move(one) for one in plan.images], plan.failures)


def _is_replaced(image: ImageUrl) -> bool:
    """Whether an image was registered in place, and its source is not registered."""
    if not is_result(image):
        return False
    source = source_of(image.path, _root_of(image))
    return source.exists() and not is_result(parse_image_url(str(source)))


def _check_local(url: str) -> None:
    if is_remote_url(url):
        raise InvalidInputError(
            f"{absolute_url(url)}: found a url of an object store; with output, input "
            "and output must be folders on this machine. Download the input first, "
            "e.g. with 'aws s3 sync' or 'wget --mirror'."
        )


def _find_root(place: Path) -> Path:
    """Give the plate of a plate, well or image; of one in no plate, itself."""
    found = discover_images([str(place)])
    return _root_of(parse_image_url((found.images + found.registered)[0]))


def _root_of(image: ImageUrl) -> Path:
    return image.plate.path if is_in_plate(image) else image.path


def _describe(root: Path) -> _Source:
    metadata = read_ome_metadata(Location(str(root)))
    return _Source(root.resolve(), root.name, "multiscales" not in metadata)


def _check_apart(source: Path, output: Path) -> None:
    real = output.resolve()
    if real.is_relative_to(source) or source.is_relative_to(real):
        raise InvalidInputError(
            f"{source}: found the output folder {output} in it or around it; needed "
            "is one apart from all input. Choose another output folder."
        )
