"""Run tasks on this machine in the way a Fractal server does.

A compound task's init function lists the parallel units; a parallel task has one unit
per image. Units run in worker processes. A unit that fails is recorded and does not
stop the others.
"""

import inspect
import logging
import multiprocessing
import os
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import (
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    as_completed,
)
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict

from fractal_tasks.errors import FractalTasksError, InvalidInputError
from fractal_tasks.storage.urls import parse_image_url

TaskFunction: TypeAlias = Callable[..., Any]
Progress: TypeAlias = Callable[[int, int], None]
"""Called with the number of finished units and the number of all units."""

SERVER_ARGUMENTS = frozenset({"zarr_urls", "zarr_dir", "zarr_url", "init_args"})
"""Arguments that a Fractal server fills in; all others are the user's."""

# A unit may take a few gigabytes; more workers than this are for the user to ask.
_MAX_DEFAULT_WORKERS = 8


@dataclass(frozen=True)
class Task:
    """The functions of a task."""

    name: str
    function: TaskFunction
    """Runs one unit; defined at module level, so that workers can import it."""

    init_function: TaskFunction | None = None
    """Lists the units; None for a parallel task."""

    @property
    def functions(self) -> tuple[TaskFunction, ...]:
        """The functions in the order in which they run."""
        if self.init_function is None:
            return (self.function,)
        return (self.init_function, self.function)


@dataclass(frozen=True)
class UnitResult:
    """How one unit ended."""

    zarr_url: str
    error: BaseException | None = None

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
    zarr_urls: list[str]
    """The image list after the task."""

    @property
    def failures(self) -> list[UnitResult]:
        """The units that failed."""
        return [unit for unit in self.units if unit.error is not None]


class _Unit(BaseModel):
    model_config = ConfigDict(extra="forbid")

    zarr_url: str
    init_args: dict[str, Any] = {}


class _InitOutput(BaseModel):
    model_config = ConfigDict(extra="forbid")

    parallelization_list: list[_Unit]


class _Update(BaseModel):
    zarr_url: str


class _UnitOutput(BaseModel):
    """What a server accepts from a unit; anything else fails the job there."""

    model_config = ConfigDict(extra="forbid")

    image_list_updates: list[_Update] = []
    image_list_removals: list[str] = []


def run_task(
    task: Task,
    zarr_urls: Sequence[str],
    arguments: dict[str, Any],
    *,
    executor: Executor,
    progress: Progress = lambda done, total: None,
) -> TaskResult:
    """Run a task on images.

    Args:
        task: What to run.
        zarr_urls: The image list.
        arguments: Arguments by name; each function gets those it has.
        executor: Runs the units, see `worker_pool`.
        progress: Called before the first and after every unit.

    Returns:
        The units with their errors, and the image list after the task.

    Raises:
        InvalidInputError: The arguments do not fit the signatures, or the init
            function says so.
        InvalidDataError: The init function does not find what it needs.
    """
    _check_arguments(task, arguments)
    calls = _list_calls(task, zarr_urls, arguments)
    results: dict[Future[_UnitOutput], UnitResult] = {}
    updated = list(zarr_urls)
    progress(0, len(calls))
    futures = {_submit(executor, task, call): call["zarr_url"] for call in calls}
    for done, future in enumerate(as_completed(futures), start=1):
        results[future] = _collect(futures[future], future, updated)
        progress(done, len(calls))
    return TaskResult(task.name, [results[future] for future in futures], updated)


@contextmanager
def worker_pool(
    workers: int | None = None, log_level: int = logging.WARNING
) -> Iterator[Executor]:
    """Give what runs the units of tasks; units not begun are dropped at the end.

    A pool serves several tasks: a worker process needs seconds to import what the
    tasks use.

    Args:
        workers: Number of processes; left out, one per core, at most 8. With 1 the
            units run in this process.
        log_level: Level of the package's log in worker processes.
    """
    workers = workers or default_workers()
    executor: Executor = ThreadPoolExecutor(max_workers=1)
    if workers > 1:
        executor = ProcessPoolExecutor(
            max_workers=workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_logging,
            initargs=(log_level,),
        )
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


def set_log_level(log_level: int) -> None:
    """Set the level of the package's log.

    Python warnings, which are for developers, become part of the log at level info.
    """
    logging.getLogger("fractal_tasks").setLevel(log_level)
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").disabled = log_level > logging.INFO


def default_workers() -> int:
    """Give the number of cores that this process may use, at most 8."""
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), _MAX_DEFAULT_WORKERS)
    return min(os.cpu_count() or 1, _MAX_DEFAULT_WORKERS)


def user_parameters(function: TaskFunction) -> dict[str, inspect.Parameter]:
    """Give the parameters of a task function that the user sets."""
    return {
        name: parameter
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in SERVER_ARGUMENTS
    }


def select_arguments(
    functions: Iterable[TaskFunction], arguments: dict[str, Any]
) -> dict[str, Any]:
    """Give those of `arguments` that at least one of `functions` has."""
    known = {name for function in functions for name in user_parameters(function)}
    return {name: value for name, value in arguments.items() if name in known}


def _check_arguments(task: Task, arguments: dict[str, Any]) -> None:
    known = {
        name: parameter
        for function in task.functions
        for name, parameter in user_parameters(function).items()
    }
    unknown = sorted(set(arguments) - set(known))
    missing = sorted(
        name
        for name, parameter in known.items()
        if parameter.default is parameter.empty and name not in arguments
    )
    if unknown or missing:
        raise InvalidInputError(
            f"{task.name}: unknown arguments {unknown}, missing arguments {missing}; "
            f"it has {sorted(known)}."
        )


def _list_calls(
    task: Task, zarr_urls: Sequence[str], arguments: dict[str, Any]
) -> list[dict[str, Any]]:
    """Give the arguments of every unit."""
    own = select_arguments([task.function], arguments)
    if task.init_function is None:
        return [{**own, "zarr_url": zarr_url} for zarr_url in zarr_urls]
    output = task.init_function(
        zarr_urls=list(zarr_urls),
        zarr_dir=_dataset_folder(zarr_urls),
        **select_arguments([task.init_function], arguments),
    )
    units = _InitOutput.model_validate(output).parallelization_list
    return [{**own, **unit.model_dump()} for unit in units]


def _dataset_folder(zarr_urls: Sequence[str]) -> str:
    plates = [parse_image_url(zarr_url).plate_url for zarr_url in zarr_urls]
    return plates[0].rpartition("/")[0] if plates else ""


def _start_logging(log_level: int) -> None:
    # Libraries imported before this may have set up the log in their way.
    logging.basicConfig(
        format="%(levelname)s: %(message)s", level=logging.WARNING, force=True
    )
    set_log_level(log_level)


def _submit(
    executor: Executor, task: Task, call: dict[str, Any]
) -> Future[_UnitOutput]:
    try:
        return executor.submit(_run_unit, task.function, call)
    except BrokenProcessPool as error:
        refused: Future[_UnitOutput] = Future()
        refused.set_exception(error)
        return refused


def _run_unit(function: TaskFunction, arguments: dict[str, Any]) -> _UnitOutput:
    return _UnitOutput.model_validate(function(**arguments) or {})


def _collect(
    zarr_url: str, future: Future[_UnitOutput], image_list: list[str]
) -> UnitResult:
    """Apply the output of a unit to the image list, or keep its error."""
    error = future.exception()
    if error is not None:
        return UnitResult(zarr_url, error)
    output = future.result()
    for update in output.image_list_updates:
        if update.zarr_url not in image_list:
            image_list.append(update.zarr_url)
    for removed in output.image_list_removals:
        image_list.remove(removed)
    return UnitResult(zarr_url)
