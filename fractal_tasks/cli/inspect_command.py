"""The command `inspect`: what is there, what can be registered, and what to type."""

import logging
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Any

from cyclopts import Parameter

from fractal_tasks.cli.inspection import (
    Inspection,
    Stain,
    choose_stain,
    read_content,
)
from fractal_tasks.cli.inspection_text import describe, to_json
from fractal_tasks.cli.output import OutputOptions, Reporter
from fractal_tasks.discovery import (
    Discovery,
    absolute_url,
    discover_images,
    find_work,
)
from fractal_tasks.errors import InvalidDataError, InvalidInputError
from fractal_tasks.records.judgement import find_pending
from fractal_tasks.storage.plate.grouping import group_images
from fractal_tasks.storage.plate.groups import RegistrationGroup
from fractal_tasks.storage.plate.ome_metadata import is_image
from fractal_tasks.storage.plate.open_image import OpenImage, open_image
from fractal_tasks.storage.plate.wells import (
    is_in_plate,
    originals,
    read_acquisitions,
)
from fractal_tasks.storage.urls import (
    ImageUrl,
    Location,
    StorageOptions,
    parse_image_url,
    parse_storage_options,
)
from fractal_tasks.workflow.catalogue import list_task_commands, read_defaults
from fractal_tasks.workflow.healing import heal_beside
from fractal_tasks.workflow.planning import find_closed, plan_groups
from fractal_tasks.workflow.run import REGISTER_TASKS
from fractal_tasks.workflow.settings import Settings

_DEFAULT = OutputOptions()
_NOTHING = logging.CRITICAL
_Urls = Annotated[
    str,
    Parameter(
        name="zarr-url",
        required=True,
        help="Plates, wells or images: folders or urls. Of images that are in no "
        "plate, the first is what the others are registered to.",
    ),
]
_Progress = Callable[[int, int], None]
_Opened = dict[ImageUrl, OpenImage]


def inspect(
    *urls: _Urls,
    reference: str | None = None,
    reference_acquisition: int | None = None,
    storage_options: str | None = None,
    options: OutputOptions = _DEFAULT,
) -> int:
    """Say what is there, whether it can be registered, and how. Changes nothing.

    Args:
        urls: What to look at.
        reference: The plate that has the references, if they are in another one; or
            the image to which images that are in no plate are registered.
        reference_acquisition: Acquisition that all others are registered to; left out,
            0, or the lowest that is there.
        storage_options: How to reach an object store, as a JSON object.
        options: How much is shown.
    """
    store = parse_storage_options(storage_options)
    reporter = Reporter(options)
    found = Inspection([absolute_url(url) for url in urls], storage_options)
    found.reference = None if reference is None else absolute_url(reference)
    with reporter.log():
        if all(_is_loose(url, store) for url in found.urls):
            groups = _group_loose(found, store)
        else:
            groups = _group_plates(found, reference_acquisition, store)
        with reporter.steps() as steps:
            with steps.step("Reading") as step:
                opened = _read_all(found, step.show)
            # What is wrong, or missing, was said when the image was read.
            with reporter.log(_NOTHING), steps.step("Checks") as step:
                _check(found, groups, opened, step.show)
    reporter.show(describe(found), to_json(found))
    return 1 if found.failures else 0


def _is_loose(url: str, store: StorageOptions) -> bool:
    """Whether there is an image which is in no plate."""
    is_one = is_image(Location(url, store))
    return is_one and not is_in_plate(parse_image_url(url, store))


def _without_begun(
    found: Inspection, there: Discovery, store: StorageOptions
) -> Discovery:
    """Leave out the images that the command which was interrupted will finish."""
    images = [parse_image_url(url, store) for url in there.images]
    settings = Settings.of(_arguments(found)).consensus
    begun = find_pending(images, settings.registered_roi_table)
    found.begun = [image.zarr_url for image in begun]
    left = [image.zarr_url for image in images if image not in begun]
    return replace(there, images=left)


def _group_loose(found: Inspection, store: StorageOptions) -> list[RegistrationGroup]:
    """Put images that are in no plate into one group; the first is the reference."""
    urls = [found.reference] if found.reference else []
    first, *others = (
        parse_image_url(url, store) for url in dict.fromkeys((*urls, *found.urls))
    )
    found.reference = first.zarr_url
    found.acquisitions = dict.fromkeys((first, *others))
    return [RegistrationGroup(first, tuple(others), is_reference_kept=True)]


def _group_plates(
    found: Inspection, reference_acquisition: int | None, store: StorageOptions
) -> list[RegistrationGroup]:
    """Group the images of plates as the tasks do."""
    there = discover_images(found.urls, store)
    found.failures |= there.failures
    found.registered = there.registered
    known = [parse_image_url(url, store) for url in (*there.images, *there.registered)]
    found.left = [one.zarr_url for one in heal_beside(known, dry_run=True)]
    there = _without_begun(found, there, store)
    if found.begun and not there.images:
        return []
    images = [parse_image_url(url, store) for url in there.images]
    wells = {well: read_acquisitions(well) for well in {one.well for one in images}}
    plates = dict.fromkeys(one.plate_url for one in images)
    is_single = all(
        len({listed[path] for path in originals(listed)}) == 1
        for listed in wells.values()
    )
    if found.reference is None and len(plates) > 1 and is_single:
        # Each acquisition is a plate of its own.
        found.reference = next(iter(plates))
    numbers = {one for well in wells.values() for one in well.values() if one}
    if reference_acquisition is None:
        has_0 = any(0 in well.values() for well in wells.values())
        reference_acquisition = 0 if has_0 else min(numbers, default=0)
    found.reference_acquisition = reference_acquisition
    arguments = (reference_acquisition, found.reference, store)
    try:
        work = find_work(there, *arguments)
    except (InvalidDataError, InvalidInputError) as error:
        work = Discovery()
        found.failures |= dict.fromkeys(found.urls, error)
    found.failures |= work.failures
    for url in dict.fromkeys((*there.images, *work.images)):
        image = parse_image_url(url, store)
        found.acquisitions[image] = wells[image.well].get(image.image_path)
    groups = group_images(work.images, reference_acquisition, store, found.reference)
    return groups.groups


def _read_all(found: Inspection, progress: _Progress) -> _Opened:
    """Read what is in each image; what is damaged becomes a failure."""
    opened: _Opened = {}
    for done, url in enumerate(found.acquisitions):
        progress(done, len(found.acquisitions))
        try:
            image = open_image(url)
            found.contents[url] = read_content(image)
            opened[url] = image
        except InvalidDataError as error:
            found.failures[url.zarr_url] = error
    progress(len(found.acquisitions), len(found.acquisitions))
    return opened


def _check(
    found: Inspection,
    groups: Sequence[RegistrationGroup],
    opened: _Opened,
    progress: _Progress,
) -> None:
    """Choose a stain, and ask what `register` asks before its first step."""
    groups = [group for group in groups if group.others]
    if not groups:
        return
    found.stain = _choose_stain(found, groups, opened)
    settings = Settings.of(_arguments(found))
    found.plan = plan_groups(groups, settings, planned=progress, writes_here=False)
    found.closed = find_closed(groups, settings)
    found.failures = {**found.plan.failures, **found.failures}
    if found.plan.images and found.stain is not None:
        found.command = _to_command(found, found.stain)


def _choose_stain(
    found: Inspection, groups: Sequence[RegistrationGroup], opened: _Opened
) -> Stain | None:
    others: dict[str, list[OpenImage]] = {}
    references = []
    for group in groups:
        references += [opened[url] for url in (group.reference,) if url in opened]
        for url in (group.reference, *group.others):
            if url in opened:
                number = found.acquisitions.get(url)
                key = url.stem if number is None else str(number)
                others.setdefault(key, []).append(opened[url])
    return choose_stain(references[0], others) if references else None


def _arguments(found: Inspection) -> dict[str, Any]:
    """Give the arguments of the three tasks with which it would be registered."""
    commands = {command.function_name: command for command in list_task_commands()}
    functions = [
        function
        for name in REGISTER_TASKS
        for function in commands[name].load().functions
    ]
    # Without a stain all else is checked by the first channel.
    stain = found.stain or Stain("0", {}, None)
    return {
        **read_defaults(functions),
        "wavelength_id": stain.wavelength_id,
        "acquisition_wavelength_ids": stain.acquisition_wavelength_ids,
        "reference_acquisition": found.reference_acquisition,
        "reference": found.reference,
        "storage_options": found.storage_options,
        "overwrite_input": False,
    }


def _to_command(found: Inspection, stain: Stain) -> str:
    """Give what to type, so that a shell takes every word as it is."""
    urls = [url for url in found.urls if url != found.reference]
    words = ["fractal-tasks", "register", *urls]
    words += ["--reference", found.reference] if found.reference else []
    if found.reference_acquisition:
        words += ["--reference-acquisition", str(found.reference_acquisition)]
    words += ["--wavelength-id", stain.wavelength_id]
    for number, name in stain.acquisition_wavelength_ids.items():
        words += [f"--acquisition-wavelength-ids.{number}", name]
    if found.storage_options:
        words += ["--storage-options", found.storage_options]
    words += ["--output", "registered"] if found.closed else ["--no-overwrite-input"]
    return shlex.join(words)
