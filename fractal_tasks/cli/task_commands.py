"""The commands that run tasks: one per task, and `register` for all three in order."""

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter

from fractal_tasks.cli.flags import collect_arguments, make_flags
from fractal_tasks.cli.output import Reporter, RunOptions, results_to_json, summarise
from fractal_tasks.cli.register_plan import additions, check, confirm, show_dry_run
from fractal_tasks.runner import Task, TaskFunction
from fractal_tasks.workflow.capacity import choose_workers
from fractal_tasks.workflow.catalogue import list_task_commands
from fractal_tasks.workflow.run import REGISTER_TASKS, Workflow

Command = Callable[..., int]

_DEFAULT = RunOptions()
_NOTHING_TO_DO = (
    "Nothing to do: all images are registered already. To register them anew, restore "
    "the input; in an output folder, remove the plate there."
)
_Urls = Annotated[
    str,
    Parameter(
        name="zarr-url",
        required=True,
        help="Plates, wells or images: folders or urls, e.g. `plate.zarr`, "
        "`plate.zarr/B/03`, `plate.zarr/B/03/1`, `day2.zarr`. Of plates and wells, "
        "images that are registered already are left out. If the reference image of a "
        "well is needed and not named, it is found; images in no plate need "
        "`--reference`.",
    ),
]
_RUN = Group("How it runs", sort_key=7)
_DryRun = Annotated[
    bool,
    Parameter(
        negative="",
        group=_RUN,
        help="Only say what would be read, written and replaced. Changes nothing.",
    ),
]
_Csv = Annotated[
    Path | None,
    Parameter(
        group=_RUN,
        help="Write what became of each ROI into this file, one row per ROI, e.g. "
        "`results.csv`.",
    ),
]
_Yes = Annotated[
    bool,
    Parameter(
        negative="",
        group=_RUN,
        help="Replace images without asking. Asked is only in a terminal.",
    ),
]
_Report = Annotated[
    bool,
    Parameter(
        group=_RUN,
        help="Write a page about the plate beside it, `<plate>_registration.html`.",
    ),
]
_Output = Annotated[
    str | None,
    Parameter(
        group=_RUN,
        help="Folder for all that is written, ROI tables included, where the input "
        "cannot or must not be, e.g. `registered`. It gets a counterpart of each plate "
        "and image; the same command goes on after an interruption.",
    ),
]


def __getattr__(name: str) -> Command:
    """Make the command of a task, or `register`, when it is first asked for."""
    tasks = {command.function_name: command for command in list_task_commands()}
    if name == "register":
        return make_register_command([tasks[part].load() for part in REGISTER_TASKS])
    if name in tasks:
        return make_task_command(tasks[name].load())
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def make_task_command(task: Task) -> Command:
    """Make the command that runs one task."""

    def command(*urls: str, options: RunOptions = _DEFAULT, **values: Any) -> int:
        workflow = Workflow.of([task], collect_arguments(task.functions, values))
        options.place.check()
        reporter = Reporter(options)
        _find_images(reporter, workflow, urls)
        _run_tasks(reporter, workflow, options)
        results, left_out = workflow.results, workflow.found.failures
        text = summarise(results) or _no_results(workflow)
        reporter.show(text, results_to_json(results, left_out))
        return int(workflow.has_failed)

    return _with_flags(command, task.functions)


def make_register_command(tasks: Sequence[Task]) -> Command:
    """Make the command that runs calculate, consensus and apply on the same images."""
    functions = [function for task in tasks for function in task.functions]

    def register(
        *urls: str,
        options: RunOptions = _DEFAULT,
        dry_run: bool = False,
        csv: Path | None = None,
        yes: bool = False,
        output: str | None = None,
        report: bool = True,
        **values: Any,
    ) -> int:
        from fractal_tasks.cli.result_tables import check_csv

        if csv is not None:
            check_csv(csv)
        workflow = Workflow.of(tasks, collect_arguments(functions, values))
        options.place.check()
        reporter = Reporter(options)
        made = None if dry_run else output
        _find_images(reporter, workflow, urls, made, heal=not dry_run)
        if dry_run:
            return show_dry_run(reporter, workflow, output)
        check(reporter, workflow)
        if output is not None and workflow.has_failed:
            reporter.say(
                f"What lies in {output} has copies of the metadata and tables of the "
                "input: mend them there, or in the input and remove their plate or "
                f"image from {output}."
            )
        if not yes and not confirm(reporter, workflow.plan):
            reporter.show("Nothing was changed.", {"declined": True})
            return 1
        rois = {one.url.zarr_url: one.rois for one in workflow.plan.images}
        _run_tasks(reporter, workflow, options, rois)
        return _show_results(reporter, workflow, csv, options, report=report)

    own = {
        "dry_run": (_DryRun, False),
        "csv": (_Csv, None),
        "yes": (_Yes, False),
        "output": (_Output, None),
        "report": (_Report, True),
    }
    return _with_flags(register, functions, **own)


def _with_flags(
    command: Command, functions: Sequence[TaskFunction], **own: tuple[Any, Any]
) -> Command:
    """Give `command` the signature from which the flags are made.

    Args:
        command: Whose signature it is.
        functions: Of the tasks that it runs; their arguments become flags.
        **own: Type and default of each flag of the command itself.
    """
    kinds = inspect.Parameter
    parameters = [
        kinds("urls", kinds.VAR_POSITIONAL, annotation=_Urls),
        *make_flags(functions),
        *(
            kinds(name, kinds.KEYWORD_ONLY, default=default, annotation=annotation)
            for name, (annotation, default) in own.items()
        ),
        kinds("options", kinds.KEYWORD_ONLY, default=_DEFAULT, annotation=RunOptions),
    ]
    # The annotations of the function itself would go before those of the signature.
    command.__annotations__ = {}
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return command


def _find_images(
    reporter: Reporter,
    workflow: Workflow,
    urls: Sequence[str],
    output: str | None = None,
    *,
    heal: bool = True,
) -> None:
    """Find the images to work on, and say what cannot be worked on."""
    with reporter.log():
        found = workflow.find(urls, output, heal=heal)
    reporter.show_interrupted(workflow.healed)
    reporter.show_errors(found.failures)


def _no_results(workflow: Workflow) -> str:
    return "Nothing was done." if workflow.found.failures else _NOTHING_TO_DO


def _run_tasks(
    reporter: Reporter,
    workflow: Workflow,
    options: RunOptions,
    rois: Mapping[str, int] | None = None,
) -> None:
    before = len(workflow.results)
    # What is to be warned of, the tasks say.
    with reporter.log(logging.ERROR):
        here = options.workers or choose_workers(workflow)
    with reporter.session(options, here, rois) as run_task:
        workflow.run(run_task)
    reporter.repeat_warnings(workflow.results[before:])


def _show_results(
    reporter: Reporter,
    workflow: Workflow,
    csv: Path | None,
    options: RunOptions,
    *,
    report: bool,
) -> int:
    """Say what became of the images, and give the exit code of that."""
    from fractal_tasks.cli.report_command import write_reports
    from fractal_tasks.cli.result_tables import (
        describe_lost,
        describe_results,
        results_as_data,
        write_csv,
    )

    known = set(workflow.found.failures)
    with reporter.reading(len(workflow.left), options) as how:
        rois = workflow.read_results(how)
    unread = workflow.found.failures.items()
    reporter.show_errors({url: error for url, error in unread if url not in known})
    results, left_out = workflow.results, workflow.found.failures
    paths = write_reports(reporter, workflow, rois) if report else []
    texts = (
        summarise(results) or _no_results(workflow),
        describe_results(rois, len(workflow.list_failures())),
        additions(workflow.plan, workflow.settings) if rois else "",
        "\n".join(f"Report: {path}" for path in paths),
    )
    reporter.show(
        "\n\n".join(text for text in texts if text),
        results_to_json(results, left_out)
        | results_as_data(rois, len(workflow.list_failures()))
        | {"reports": [str(path) for path in paths]},
    )
    # What an earlier run wrote is not replaced by nothing.
    if csv is not None and rois:
        write_csv(csv, rois)
    lost = describe_lost(rois)
    if lost:
        reporter.say(f"Error: {lost}")
    return int(workflow.has_failed or bool(lost))
