"""What a notebook or a script calls: `register`, and its three steps one by one.

import fractal_tasks as ft

result = ft.register("plate.zarr", wavelength_id="A01_C01", overwrite_input=False)
result.table
"""

import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from fractal_tasks.api.result import Result
from fractal_tasks.discovery import absolute_url
from fractal_tasks.errors import InvalidInputError
from fractal_tasks.model.settings import DEFAULT_REGISTERED_TABLE, DEFAULT_ROI_TABLE
from fractal_tasks.report.pairs import Tables
from fractal_tasks.runner import Place
from fractal_tasks.steps.point_map import PointMap, read_point_map
from fractal_tasks.storage.urls import parse_image_url, parse_storage_options
from fractal_tasks.workflow.bars import running_with_bars
from fractal_tasks.workflow.catalogue import list_task_commands
from fractal_tasks.workflow.overlay import choose_images, show_images
from fractal_tasks.workflow.run import REGISTER_TASKS, Workflow

if TYPE_CHECKING:
    from distributed import Client
    from PIL.Image import Image

logger = logging.getLogger(__name__)

Url: TypeAlias = str | os.PathLike[str]
"""Folder of a plate, a well or an image on this machine, or a url."""


def register(
    *urls: Url,
    images: Url | Sequence[Url] = (),
    output: Url | None = None,
    workers: int | None = 0,
    scheduler: "str | Client | None" = None,
    progress: bool = True,
    **arguments: Any,  # noqa: ANN401 - those of the tasks
) -> Result:
    """Register plates, wells or images, and say what became of them.

    Args:
        *urls: Plates, wells or images.
        images: More of them, e.g. images in no plate, which `reference` is for.
        output: Folder for all that is written, where the input must not be; None: it
            is written in and beside the input.
        workers: Number of processes; 0 for this one, None for one per core, or this
            one if the images are few and small. Scripts that use other processes need
            `if __name__ == "__main__":`.
        scheduler: Of a dask cluster, the workers of which run the units: its address,
            or a `Client`; `workers` is left out then.
        progress: Whether progress is shown.
        **arguments: Those of the three tasks, e.g. `wavelength_id`, `reference`,
            `overwrite_input`, as their pages describe them.

    Returns:
        The registered images, and what became of each ROI. What failed is in it, and
        in the log: other wells go on.

    Raises:
        InvalidInputError: An argument is unknown or does not fit, or a necessary one is
            missing.
        InvalidDataError: There is nothing that can be registered.
        PublishError: The output folder cannot be written.
    """
    place = _place(workers, scheduler)
    return _run(REGISTER_TASKS, urls, images, arguments, place, progress, output)


def calculate(
    *urls: Url,
    images: Url | Sequence[Url] = (),
    workers: int | None = 0,
    scheduler: "str | Client | None" = None,
    progress: bool = True,
    **arguments: Any,  # noqa: ANN401 - those of the task
) -> Result:
    """Estimate how each ROI moved: the first step of `register`, whose arguments hold.

    Returns:
        The estimates. No image is registered yet.
    """
    place = _place(workers, scheduler)
    return _run(REGISTER_TASKS[:1], urls, images, arguments, place, progress)


def consensus(
    *urls: Url,
    images: Url | Sequence[Url] = (),
    workers: int | None = 0,
    scheduler: "str | Client | None" = None,
    progress: bool = True,
    **arguments: Any,  # noqa: ANN401 - those of the task
) -> Result:
    """Judge the estimates: the second step of `register`, whose arguments hold.

    Returns:
        The verdicts. No image is registered yet.
    """
    place = _place(workers, scheduler)
    return _run(REGISTER_TASKS[1:2], urls, images, arguments, place, progress)


def apply(
    *urls: Url,
    images: Url | Sequence[Url] = (),
    workers: int | None = 0,
    scheduler: "str | Client | None" = None,
    progress: bool = True,
    **arguments: Any,  # noqa: ANN401 - those of the task
) -> Result:
    """Move the pixels: the third step of `register`, whose arguments hold."""
    place = _place(workers, scheduler)
    return _run(REGISTER_TASKS[2:], urls, images, arguments, place, progress)


def point_map(
    url: Url,
    registered_roi_table: str = DEFAULT_REGISTERED_TABLE,
    storage_options: str | None = None,
) -> PointMap:
    """Give what maps points of an acquisition to the reference, and back.

    Args:
        url: The acquisition, before or after *apply*.
        registered_roi_table: The table that *find consensus* wrote; of a registered
            image it is known.
        storage_options: How to reach an object store, as a JSON object.

    Raises:
        InvalidDataError: There is no image, or its records are damaged.
        MissingStepError: *Find consensus* has not run.
    """
    options = parse_storage_options(storage_options)
    return read_point_map(
        parse_image_url(absolute_url(os.fspath(url)), options), registered_roi_table
    )


def show(
    url: Url,
    roi: str | None = None,
    acquisition: int | None = None,
    registered_roi_table: str = DEFAULT_REGISTERED_TABLE,
    input_roi_table: str = DEFAULT_ROI_TABLE,
    storage_options: str | None = None,
) -> "Image":
    """Draw reference (green) and acquisitions (magenta) over each other.

    Args:
        url: A well, or an image, at any stage.
        roi: The ROI that is shown; None for all of the well.
        acquisition: The one that is shown; None for all but the reference.
        registered_roi_table: Table with the verdicts.
        input_roi_table: Table with the estimates, where there are no verdicts yet.
        storage_options: How to reach an object store, as a JSON object.

    Returns:
        A picture, which notebooks display, and `save("overlay.png")` writes.

    Raises:
        InvalidInputError: There are several wells, or no such ROI or acquisition.
        InvalidDataError: An image cannot be read, or nothing tells its reference.
    """
    options = parse_storage_options(storage_options)
    chosen = choose_images(os.fspath(url), acquisition, options)
    return show_images(chosen, Tables(registered_roi_table, input_roi_table), roi)


def _run(
    names: Sequence[str],
    urls: Sequence[Url],
    images: Url | Sequence[Url],
    arguments: dict[str, Any],
    place: Place,
    progress: bool,
    output: Url | None = None,
) -> Result:
    urls = [*urls, *([images] if isinstance(images, str | os.PathLike) else images)]
    odd = [url for url in urls if not isinstance(url, str | os.PathLike)]
    if odd or not urls:
        raise InvalidInputError(
            f"Found {repr(odd[0]) if odd else 'no urls'}; needed are urls or paths of "
            "plates, wells or images: register('a.zarr', 'b.zarr'), or "
            "images=['a.zarr', 'b.zarr']."
        )
    tasks = {one.function_name: one for one in list_task_commands()}
    given = {k: _as_text(v) for k, v in arguments.items()}
    workflow = Workflow.of([tasks[name].load() for name in names], given)
    folder = None if output is None else os.fspath(output)
    workflow.find([os.fspath(url) for url in urls], folder)
    workflow.check()
    with running_with_bars(workflow, place, progress) as run:
        workflow.run(run)
    failures = workflow.list_failures()
    for url, text in failures.items():
        logger.error("%s: left out. %s", url, text)
    texts = (text for result in workflow.results for text in result.warnings)
    return Result(
        images=workflow.list_registered(),
        rois=workflow.read_results(),
        failures=failures,
        warnings=list(dict.fromkeys(texts)),
    )


def _place(workers: int | None, scheduler: "str | Client | None") -> Place:
    if workers is not None and workers < 0:
        raise InvalidInputError(
            f"workers={workers}: needed is a number of processes, 0 for this one, or "
            "None for one per core."
        )
    # 1 is this process as well: what others would add is their start.
    place = Place(
        1 if workers == 0 and scheduler is None else workers or None, scheduler
    )
    place.check()
    return place


def _as_text(value: object) -> object:
    return os.fspath(value) if isinstance(value, os.PathLike) else value
