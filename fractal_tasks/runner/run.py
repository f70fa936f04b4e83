"""Run the units of a task and collect how they ended."""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, Future, as_completed
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict

from fractal_tasks.cpus import giving_cpus
from fractal_tasks.errors import FractalTasksError, InvalidDataError
from fractal_tasks.runner.engine import Engine
from fractal_tasks.runner.images import (
    ImageEntry,
    UnitOutput,
    as_entries,
    update_images,
)
from fractal_tasks.runner.pool import WorkerLostError, running_unit
from fractal_tasks.runner.results import TaskResult, TooManyFailuresError, UnitResult
from fractal_tasks.runner.task import (
    Task,
    TaskFunction,
    check_arguments,
    select_arguments,
)
from fractal_tasks.runner.warnings_log import collecting_warnings
from fractal_tasks.storage.urls import parse_image_url

logger = logging.getLogger(__name__)

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the number of finished units and the number of all units."""


Finished: TypeAlias = Callable[[UnitResult], None]
"""Called with a unit that has ended."""


class SchedulerLostError(FractalTasksError):
    """What runs the units is gone."""


class _InitUnit(BaseModel):
    model_config = ConfigDict(extra="forbid")

    zarr_url: str
    init_args: dict[str, Any] = {}


class _InitOutput(BaseModel):
    model_config = ConfigDict(extra="forbid")

    parallelization_list: list[_InitUnit]


@dataclass(frozen=True)
class _Answer:
    """What a unit gives back from its process."""

    output: UnitOutput
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Unit:
    """A call of the task's function."""

    name: str
    arguments: dict[str, Any]


def run_task(
    task: Task,
    images: Iterable[ImageEntry | str],
    arguments: dict[str, Any],
    *,
    engine: Engine,
    max_failures: int | None = None,
    progress: Progress = lambda done, total: None,
    finished: Finished = lambda unit: None,
) -> TaskResult:
    """Run a task on images.

    Args:
        task: What to run.
        images: The image list: urls, or the images of an earlier task's result.
        arguments: Arguments by name; each function gets those it has.
        engine: Runs the units. If there are fewer than it has CPUs, each gets its part
            of them.
        max_failures: After more failures than this no unit is begun; None: however
            many there are, the others go on.
        progress: Called before the first and after every unit.
        finished: Called with each unit when it has ended, before `progress`.

    Returns:
        The units with their errors, and the image list after the task.

    Raises:
        InvalidInputError: The arguments do not fit the signatures, or the init
            function says so.
        InvalidDataError: The init function does not find what it needs.
        TooManyFailuresError: More units failed than `max_failures`.
        SchedulerLostError: There is nothing left that runs units.
    """
    check_arguments(task, arguments)
    entries = as_entries(images)
    zarr_urls = [entry.zarr_url for entry in entries]
    with collecting_warnings() as init_warnings:
        units = _list_units(task, zarr_urls, arguments)
    progress(0, len(units))
    answers: dict[int, Future[_Answer]] = {}
    ended: dict[int, UnitResult] = {}
    failures: list[UnitResult] = []
    each = max(1, engine.cpus // max(1, len(units)))
    for index, future in _run_units(engine.executor, task.function, units, each):
        answers[index] = future
        ended[index] = _to_result(units[index], future, zarr_urls)
        finished(ended[index])
        progress(len(ended), len(units))
        failures += [ended[index]] if ended[index].error is not None else []
        if max_failures is not None and len(failures) > max_failures:
            raise TooManyFailuresError.of(task.name, failures, max_failures)
    # In the order of the units, not of their end, so that the list is the same always.
    results = [ended[index] for index in range(len(units))]
    outputs = [
        answers[index].result().output
        for index, result in enumerate(results)
        if result.error is None
    ]
    updated = update_images(entries, outputs, task.output_types)
    return TaskResult(task.name, results, updated, tuple(init_warnings))


def _to_result(
    unit: _Unit, future: Future[_Answer], zarr_urls: Collection[str]
) -> UnitResult:
    zarr_url = unit.arguments.get("zarr_url")
    try:
        error = future.exception()
    except CancelledError as lost:
        raise SchedulerLostError(
            f"{unit.name}: the connection to the scheduler was lost, and with it the "
            "units that were not done. Start it, and run the same command again: what "
            "is done is not done again."
        ) from lost
    if error is not None:
        return UnitResult(unit.name, zarr_url, error)
    answer = future.result()
    unknown = _check_removals(answer.output, zarr_urls)
    return UnitResult(unit.name, zarr_url, unknown, answer.warnings)


def _list_units(
    task: Task, zarr_urls: Sequence[str], arguments: dict[str, Any]
) -> list[_Unit]:
    """Give the calls of a task's function; without images there may be none."""
    own = select_arguments([task.function], arguments)
    if task.kind == "parallel":
        return [_Unit(url, {**own, "zarr_url": url}) for url in zarr_urls]
    if not zarr_urls and task.kind == "non_parallel":
        return []
    folder = _dataset_folder(zarr_urls)
    dataset: dict[str, Any] = {"zarr_urls": list(zarr_urls), "zarr_dir": folder}
    if task.init_function is None:
        return [_Unit(folder, {**own, **dataset})]
    output = task.init_function(
        **dataset, **select_arguments([task.init_function], arguments)
    )
    units = _InitOutput.model_validate(output).parallelization_list
    return [_Unit(unit.zarr_url, {**own, **unit.model_dump()}) for unit in units]


def _dataset_folder(zarr_urls: Sequence[str]) -> str:
    plates = [parse_image_url(zarr_url).plate_url for zarr_url in zarr_urls]
    return plates[0].rpartition("/")[0] if plates else ""


def _run_units(
    executor: Executor | None, function: TaskFunction, units: Sequence[_Unit], cpus: int
) -> Iterator[tuple[int, Future[_Answer]]]:
    """Give the index of each unit, and its future, once it has ended.

    A unit whose process was lost runs once more.
    """
    if executor is None:
        for index, unit in enumerate(units):
            yield index, _run_here(function, unit, cpus)
        return

    def submit(index: int) -> Future[_Answer]:
        return executor.submit(_run_unit, function, units[index].arguments, cpus)

    futures = {submit(index): index for index in range(len(units))}
    again: dict[Future[_Answer], int] = {}
    for future in as_completed(futures):
        index = futures[future]
        if not future.cancelled() and isinstance(future.exception(), WorkerLostError):
            logger.warning(
                "%s: the process that ran it was ended from outside, perhaps for lack "
                "of memory; it runs once more",
                units[index].name,
            )
            again[submit(index)] = index
        else:
            yield index, future
    for future in as_completed(again):
        yield again[future], future


def _run_here(function: TaskFunction, unit: _Unit, cpus: int) -> Future[_Answer]:
    """Run a unit as a worker does, of which any error is one of that unit."""
    future: Future[_Answer] = Future()
    try:
        future.set_result(_run_unit(function, unit.arguments, cpus))
    except Exception as error:  # noqa: BLE001 - as executors do; not what ends this process
        future.set_exception(error)
    return future


def _run_unit(function: TaskFunction, arguments: dict[str, Any], cpus: int) -> _Answer:
    with running_unit(), giving_cpus(cpus), collecting_warnings() as warnings:
        output = UnitOutput.model_validate(function(**arguments) or {})
    return _Answer(output, tuple(warnings))


def _check_removals(
    output: UnitOutput, zarr_urls: Collection[str]
) -> InvalidDataError | None:
    """Give the error of a unit that removes images which are not in the list."""
    unknown = sorted(set(output.image_list_removals) - set(zarr_urls))
    if not unknown:
        return None
    return InvalidDataError(
        f"the task removes {unknown} from the image list, which are not in it. Only "
        "images that the task was given can be removed."
    )
