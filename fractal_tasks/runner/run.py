"""Run the units of a task and collect how they ended."""

import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict

from fractal_tasks.cpus import giving_cpus
from fractal_tasks.errors import FractalTasksError, InvalidDataError
from fractal_tasks.runner.images import (
    ImageEntry,
    UnitOutput,
    as_entries,
    update_images,
)
from fractal_tasks.runner.pool import running_unit
from fractal_tasks.runner.task import (
    Task,
    TaskFunction,
    check_arguments,
    select_arguments,
)
from fractal_tasks.runner.warnings_log import collecting_warnings
from fractal_tasks.storage.urls import parse_image_url

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the number of finished units and the number of all units."""


@dataclass(frozen=True)
class UnitResult:
    """How one unit ended."""

    name: str
    """Url of the unit's image; of a non-parallel task, folder of the dataset."""

    zarr_url: str | None
    """The image; None if the unit ran over all images."""

    error: BaseException | None = None
    warnings: tuple[str, ...] = ()
    """What its log warned of, unless it failed."""

    @property
    def message(self) -> str:
        """What went wrong, in one line for errors raised on purpose."""
        if self.error is None or isinstance(self.error, FractalTasksError):
            return str(self.error or "")
        if isinstance(self.error, BrokenProcessPool):
            return (
                "a worker process was ended from outside, perhaps for lack of memory, "
                "before this unit was done. Run it again with fewer workers."
            )
        return f"{type(self.error).__name__}: {self.error}"

    @property
    def details(self) -> str:
        """The traceback, that of the worker process included."""
        return "".join(traceback.format_exception(self.error)) if self.error else ""


@dataclass(frozen=True)
class TaskResult:
    """How a task ended."""

    task: str
    units: list[UnitResult]
    images: list[ImageEntry]
    """The image list after the task."""

    init_warnings: tuple[str, ...] = ()
    """What the log of the init function warned of."""

    @property
    def warnings(self) -> list[str]:
        """What the log warned of, in the order of the units, each text once."""
        of_units = (text for unit in self.units for text in unit.warnings)
        return list(dict.fromkeys((*self.init_warnings, *of_units)))

    @property
    def zarr_urls(self) -> list[str]:
        """The urls of the image list after the task."""
        return [image.zarr_url for image in self.images]

    @property
    def failures(self) -> list[UnitResult]:
        """The units that failed."""
        return [unit for unit in self.units if unit.error is not None]


Finished: TypeAlias = Callable[[UnitResult], None]
"""Called with a unit that has ended."""


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
    executor: Executor | None,
    cpus: int = 1,
    progress: Progress = lambda done, total: None,
    finished: Finished = lambda unit: None,
) -> TaskResult:
    """Run a task on images.

    Args:
        task: What to run.
        images: The image list: urls, or the images of an earlier task's result.
        arguments: Arguments by name; each function gets those it has.
        executor: Runs the units, see `worker_pool`; None: this thread does.
        cpus: How many CPUs all units together may use. If there are fewer units, each
            gets its part of them.
        progress: Called before the first and after every unit.
        finished: Called with each unit when it has ended, before `progress`.

    Returns:
        The units with their errors, and the image list after the task.

    Raises:
        InvalidInputError: The arguments do not fit the signatures, or the init
            function says so.
        InvalidDataError: The init function does not find what it needs.
    """
    check_arguments(task, arguments)
    entries = as_entries(images)
    zarr_urls = [entry.zarr_url for entry in entries]
    with collecting_warnings() as init_warnings:
        units = _list_units(task, zarr_urls, arguments)
    progress(0, len(units))
    answers: dict[int, Future[_Answer]] = {}
    ended: dict[int, UnitResult] = {}
    each = max(1, cpus // max(1, len(units)))
    for index, future in _run_units(executor, task.function, units, each):
        answers[index] = future
        ended[index] = _to_result(units[index], future, zarr_urls)
        finished(ended[index])
        progress(len(ended), len(units))
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
    error = future.exception()
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
    """Give the index of each unit, and its future, once it has ended."""
    if executor is None:
        for index, unit in enumerate(units):
            yield index, _run_here(function, unit, cpus)
        return
    futures = {
        _submit(executor, function, unit, cpus): index
        for index, unit in enumerate(units)
    }
    for future in as_completed(futures):
        yield futures[future], future


def _run_here(function: TaskFunction, unit: _Unit, cpus: int) -> Future[_Answer]:
    """Run a unit as a worker does, of which any error is one of that unit."""
    future: Future[_Answer] = Future()
    try:
        future.set_result(_run_unit(function, unit.arguments, cpus))
    except Exception as error:  # noqa: BLE001 - as executors do; not what ends this process
        future.set_exception(error)
    return future


def _submit(
    executor: Executor, function: TaskFunction, unit: _Unit, cpus: int
) -> Future[_Answer]:
    try:
        return executor.submit(_run_unit, function, unit.arguments, cpus)
    except BrokenProcessPool as error:
        refused: Future[_Answer] = Future()
        refused.set_exception(error)
        return refused


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
