"""What of the input an output folder has, and what it would get."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fractal_tasks.discovery import absolute_url, discover_images, is_result
from fractal_tasks.errors import FractalTasksError, InvalidDataError
from fractal_tasks.storage.plate.download import is_there
from fractal_tasks.storage.plate.wells import is_in_plate, well_of
from fractal_tasks.storage.urls import (
    ImageUrl,
    Location,
    StorageOptions,
    parse_image_url,
)
from fractal_tasks.workflow.plan import ImagePlan, Plan, without_wells


def find_new_inputs(
    urls: Sequence[str],
    counterparts: Sequence[str],
    storage_options: StorageOptions | None = None,
) -> dict[str, FractalTasksError]:
    """Find what the input has got since counterparts of it were made.

    Args:
        urls: Plates, wells or images.
        counterparts: What stands for each of them.
        storage_options: How to reach the object store that they may be in.

    Returns:
        By url, the images that have no counterpart, and what to do.

    Raises:
        InvalidDataError: What was named has none.
    """
    failures: dict[str, FractalTasksError] = {}
    for url, counterpart in zip(urls, counterparts, strict=True):
        if not is_there(Location(counterpart)):
            raise _new_input(url, counterpart)
        there = discover_images([counterpart])
        known = {*there.images, *there.registered}
        start = len(absolute_url(url))
        for image in discover_images([url], storage_options).images:
            if counterpart + image[start:] not in known:
                failures[image] = _new_input(image, counterpart + image[start:])
    return failures


def _new_input(url: str, counterpart: str) -> InvalidDataError:
    return InvalidDataError(
        f"{url}: found no {counterpart} that can be read: its plate in the output "
        "folder is a copy of the metadata as they were before. Mend it there, or "
        "remove that plate, or choose another output folder."
    )


def move_plan(plan: Plan, folder: str) -> Plan:
    """Give a plan of the input with the urls that are written in an output folder.

    Wells that are finished there are left out.
    """
    output = Path(absolute_url(folder))
    moved: list[ImagePlan] = []
    finished: dict[str, bool] = {}
    lost: list[ImageUrl] = []
    failures = dict(plan.failures)
    for one in plan.images:
        root = one.url.plate if is_in_plate(one.url) else one.url.location
        start = len(root.url.rpartition("/")[0]) + 1
        writes, replaces = (
            [str(output / url[start:]) for url in urls]
            for urls in (one.writes, one.replaces)
        )
        image = parse_image_url(str(output / one.url.zarr_url[start:]))
        counterpart = output / root.url[start:]
        # What is remote is downloaded well by well.
        made = image.well if root.is_remote else Location(str(counterpart))
        is_made = is_there(made)
        if is_made and not is_there(image.location):
            failures[one.url.zarr_url] = _new_input(one.url.zarr_url, image.zarr_url)
            lost.append(one.url)
            continue
        moved.append(
            replace(one, writes=writes, replaces=replaces, replaces_input=False)
        )
        unit = _unit_of(one)
        finished[unit] = finished.get(unit, True) and is_made and is_result(image)
    plan = without_wells(moved, lost, failures)
    left = [one for one in plan.images if not finished[_unit_of(one)]]
    return Plan(left, plan.failures)


def _unit_of(plan: ImagePlan) -> str:
    """Give what is finished as a whole: a well, or an image in none."""
    return well_of(plan.url) or plan.url.zarr_url
