"""What the command line shows: progress, results as text or JSON, and the log."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter
from pydantic import Field
from rich.console import Console
from rich.prompt import Confirm

from fractal_tasks.cli.progress import ConsoleLog, Step, Steps, say, showing_steps
from fractal_tasks.cli.wording import name_flags
from fractal_tasks.errors import FractalTasksError
from fractal_tasks.interrupts import Stopped
from fractal_tasks.report.reading import HowToRead
from fractal_tasks.runner import (
    ClusterKind,
    Place,
    Task,
    TaskResult,
    default_workers,
    open_engine,
    run_task,
    set_log_level,
)
from fractal_tasks.workflow.healing import Interrupted
from fractal_tasks.workflow.run import CHECKS, RunTask

_GROUP = Group("Output", sort_key=9)
_MAX_WARNINGS = 50
"""More than this nobody reads in a terminal."""

_FEW = 50
"""Images, the tables of which are read in some seconds."""


@Parameter(name="*", group=_GROUP)
@dataclass(frozen=True)
class OutputOptions:
    """How much a command shows."""

    quiet: Annotated[bool, Parameter(negative="")] = False
    """Show nothing but errors."""

    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    """Least severe messages to show; debug also shows where an error came from."""

    json: Annotated[bool, Parameter(negative="")] = False
    """Write the results as JSON to the standard output, and nothing else."""


@Parameter(name="*", group=_GROUP)
@dataclass(frozen=True)
class RunOptions(OutputOptions):
    """How much a command shows, and how it runs."""

    workers: Annotated[int, Field(ge=1)] | None = None
    """Number of processes; left out, one per core for which there are 2 GB of memory,
    or 1 if the images are few and small. In a cluster, how many it is asked for."""

    scheduler: str | None = None
    """Address of a dask cluster that runs, the workers of which run the units, e.g.
    `tcp://node1:8786`. They must see the same files under the same paths."""

    cluster: ClusterKind | None = None
    """Start a dask cluster, the workers of which are jobs, and end it when all is
    done."""

    cluster_options: str | None = None
    """What to ask for with each job, as a JSON object of dask-jobqueue's arguments,
    e.g. `{"queue": "short", "memory": "4GB", "walltime": "02:00:00"}`."""

    max_failures: Annotated[int, Field(ge=0)] | None = None
    """Stop when more units of a task than this have failed; left out, the others go
    on."""

    @property
    def place(self) -> Place:
        """Where it runs."""
        return Place(self.workers, self.scheduler, self.cluster, self.cluster_options)


class Reporter:
    """Runs tasks and reports on them."""

    def __init__(self, options: OutputOptions) -> None:
        """Report as `options` say."""
        self._options = options
        self._console = Console(stderr=True)
        self._warned: set[str] = set()
        level = "error" if options.quiet else options.log_level
        self._log_level = logging.getLevelNamesMapping()[level.upper()]

    @contextmanager
    def session(
        self, options: RunOptions, here: int, rois: Mapping[str, int] | None = None
    ) -> Iterator[RunTask]:
        """Give a function that runs tasks, with progress bars and the log shown.

        Args:
            options: How they run.
            here: Number of processes, if they run on this machine.
            rois: Number of ROIs by the url of an image, if they are to be counted.
        """
        begun: list[Step] = []
        try:
            with (
                self.log(),
                self.steps(rois) as steps,
                open_engine(options.place, here, self._log_level) as engine,
            ):

                def run(
                    task: Task, zarr_urls: Sequence[str], arguments: dict[str, Any]
                ) -> TaskResult:
                    with steps.step(task.name) as step:
                        begun.append(step)
                        result = run_task(
                            task,
                            zarr_urls,
                            arguments,
                            engine=engine,
                            max_failures=options.max_failures,
                            progress=step.show,
                            finished=step.finish,
                        )
                    self.report_failures(result)
                    return result

                yield run
        except Stopped:
            self.say(f"Done so far: {'; '.join(map(str, begun)) or 'nothing'}.")
            raise

    def steps(
        self, rois: Mapping[str, int] | None = None
    ) -> AbstractContextManager[Steps]:
        """Give what shows the progress of steps."""
        is_shown = not self._options.quiet
        return showing_steps(self._console, is_shown=is_shown, rois=rois)

    @contextmanager
    def reading(self, images: int, options: RunOptions) -> Iterator[HowToRead]:
        """Give what reads the tables of images, with the log and a bar shown.

        A few are read sooner than workers have begun, and all before jobs have.
        """
        workers = None if options.cluster else options.workers
        here = workers or (default_workers() if images > _FEW else 1)
        place = Place(workers, options.scheduler)
        with (
            self.log(),
            self.steps() as steps,
            steps.step("Reading tables") as step,
            open_engine(place, here, self._log_level) as engine,
        ):
            yield HowToRead(engine.executor, step.show)

    def ask(self, question: str) -> bool:
        """Ask a question; the default is no."""
        return Confirm.ask(question, console=self._console, default=False)

    def repeat_warnings(self, results: Sequence[TaskResult]) -> None:
        """Show once more what scrolled by between the progress bars."""
        texts = list(dict.fromkeys(text for one in results for text in one.warnings))
        if not texts:
            return
        self.say(f"{len(texts)} warnings:")
        for text in texts[:_MAX_WARNINGS]:
            self.say(f"- {text}")
        if len(texts) > _MAX_WARNINGS:
            more = len(texts) - _MAX_WARNINGS
            self.say(f"- and {more} more: --json gives all.")

    def say(self, text: str) -> None:
        """Write to the standard error, above the bars, in the words of the flags."""
        say(self._console, name_flags(text))

    def show(self, text: str, data: Any) -> None:
        """Show a result: `data` as JSON if that was asked for, else `text`."""
        if self._options.json:
            print(json.dumps(data, indent=2))
        elif not self._options.quiet:
            print(text)

    def show_errors(self, failures: Mapping[str, FractalTasksError]) -> None:
        """Show what cannot be worked on, each reason once."""
        wells: dict[str, list[str]] = {}
        for url, error in failures.items():
            wells.setdefault(str(error), []).append(url)
        for text, urls in wells.items():
            self.say(f"Error: {', '.join(urls)}: left out. {text}")

    def show_interrupted(self, found: Sequence[Interrupted]) -> None:
        """Say what interrupted runs had left that could not be cleared."""
        for one in found:
            if one.state == "failed":
                self.say(f"Warning: {one.zarr_url}: {one.reason}")

    def report_failures(self, result: TaskResult) -> None:
        """Show the error of each unit that failed."""
        for unit in result.failures:
            self.say(f"Error: {result.task} failed for {unit.name}: {unit.message}")
            if self._log_level == logging.DEBUG:
                self.say(unit.details)

    @contextmanager
    def log(self, level: int | None = None) -> Iterator[None]:
        """Show the package's log, and of other packages only warnings.

        Args:
            level: Least severe messages to show; None for what the options say.
        """
        root, own = logging.getLogger(), logging.getLogger("fractal_tasks")
        handlers, root_level, own_level = root.handlers, root.level, own.level
        root.handlers = [ConsoleLog(self.say, self._warned)]
        root.setLevel(logging.WARNING)
        set_log_level(self._log_level if level is None else level)
        try:
            yield
        finally:
            root.handlers = handlers
            root.setLevel(root_level)
            own.setLevel(own_level)
            logging.captureWarnings(False)


def summarise(results: Sequence[TaskResult]) -> str:
    """Say in one line per task how many units are done."""
    return "\n".join(
        f"{CHECKS}: {len(result.failures)} images left out"
        if result.task == CHECKS
        else f"{result.task}: {len(result.units) - len(result.failures)} of "
        f"{len(result.units)} done"
        for result in results
    )


def results_to_json(
    results: Sequence[TaskResult], left_out: Mapping[str, FractalTasksError]
) -> dict[str, Any]:
    """Give the results of tasks, and what they could not be run on, as JSON data."""
    return {
        "left_out": {url: str(error) for url, error in left_out.items()},
        "tasks": [
            {
                "task": result.task,
                "warnings": result.warnings,
                "units": [
                    {
                        "zarr_url": unit.zarr_url,
                        "error": None
                        if unit.error is None
                        else {
                            "type": type(unit.error).__name__,
                            "message": unit.message,
                        },
                    }
                    for unit in result.units
                ],
            }
            for result in results
        ],
        "zarr_urls": results[-1].zarr_urls if results else [],
    }
