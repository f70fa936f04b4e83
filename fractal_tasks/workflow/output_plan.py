"""What of the input an output folder has, and what it would get."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fractal_tasks.discovery import absolute_url, discover_images, is_result
from fractal_tasks.errors import FractalTasksError, InvalidDataError
from fractal_tasks.storage.plate.download import is_there
from fractal_tasks.storage.plate.wells import is_in_plate, well_of
from fractal_tasks.storage.urls import Location, StorageOptions, parse_image_url
from fractal_tasks.workflow.planning import ImagePlan, Plan, left_out_with


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
    moved: dict[str, list[ImagePlan]] = {}
    finished: dict[str, bool] = {}
    lost: list[ImagePlan] = []
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
            lost.append(one)
            continue
        well = well_of(one.url) or one.url.zarr_url
        moved.setdefault(well, []).append(
            replace(one, writes=writes, replaces=replaces, replaces_input=False)
        )
        finished[well] = finished.get(well, True) and is_made and is_result(image)
    bad = {well_of(one.url) or one.url.zarr_url for one in lost}
    for well, plans in moved.items():
        if well in bad:
            urls = [one.url.zarr_url for one in lost if well_of(one.url) == well]
            failures |= {one.url.zarr_url: left_out_with(urls) for one in plans}
    images = [
        one
        for well, plans in moved.items()
        if not finished[well] and well not in bad
        for one in plans
    ]
    return Plan(images, failures)
