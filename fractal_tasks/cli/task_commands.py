"""The commands that run tasks: one per task, and `register` for all three in order."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from fractal_tasks.cli.catalogue import list_task_commands
from fractal_tasks.cli.flags import collect_arguments, make_flags, read_defaults
from fractal_tasks.cli.output import Reporter, RunOptions, results_to_json, summarise
from fractal_tasks.discovery import (
    Discovery,
    absolute_url,
    discover_images,
    find_work,
)
from fractal_tasks.runner import Task, TaskFunction, TaskResult, select_arguments
from fractal_tasks.storage.urls import (
    StorageOptions,
    parse_image_url,
    parse_storage_options,
)

Command = Callable[..., int]

REGISTER_TASKS = (
    "calculate_registration",
    "find_registration_consensus",
    "apply_registration_to_image",
)
"""The tasks of `register`, in order."""

_DEFAULT = RunOptions()
_NOTHING_TO_DO = (
    "Nothing to do: all images are registered already. Name images one by one to "
    "process them anyway."
)
_Urls = Annotated[
    str,
    Parameter(
        name="zarr-url",
        required=True,
        help="Plates, wells or images: folders or urls, e.g. `plate.zarr`, "
        "`plate.zarr/B/03`, `plate.zarr/B/03/1`. Of plates and wells, images that are "
        "registered already are left out. If the reference image of a well is needed "
        "and not named, it is found.",
    ),
]
_DryRun = Annotated[
    bool,
    Parameter(
        negative="",
        help="Only say what would be read, written and replaced. Changes nothing.",
    ),
]
_Csv = Annotated[
    Path | None,
    Parameter(
        help="Write what became of each ROI into this file, one row per ROI, e.g. "
        "`results.csv`.",
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
        arguments = collect_arguments(task.functions, values)
        reporter = Reporter(options)
        found = _find_images(reporter, task.functions, urls, arguments)
        results, _ = _run_tasks(
            reporter, [task], found.images, arguments, options.workers
        )
        text = summarise(results) or _no_results(found)
        reporter.show(text, results_to_json(results, found.failures))
        return _exit_code(results, found)

    return _with_flags(command, task.functions)


def make_register_command(tasks: Sequence[Task]) -> Command:
    """Make the command that runs calculate, consensus and apply on the same images."""
    functions = [function for task in tasks for function in task.functions]

    def register(
        *urls: str,
        options: RunOptions = _DEFAULT,
        dry_run: bool = False,
        csv: Path | None = None,
        **values: Any,
    ) -> int:
        from fractal_tasks.cli.result_tables import check_csv

        if csv is not None:
            check_csv(csv)
        arguments = collect_arguments(functions, values)
        settings = {**read_defaults(functions), **arguments}
        # Apply needs the name of the table that consensus writes.
        settings["registered_roi_table"] = settings["registered_roi_table"].replace(
            "{input_roi_table}", settings["input_roi_table"]
        )
        reporter = Reporter(options)
        found = _find_images(reporter, functions, urls, arguments)
        if "reference" in arguments:
            settings["reference"] = arguments["reference"]
        if dry_run:
            return _show_dry_run(reporter, found, settings)
        checked, images = _check(reporter, found.images, settings)
        results, left = _run_tasks(reporter, tasks, images, settings, options.workers)
        results = [*checked, *results]
        code = _show_results(reporter, results, left, found, settings, csv)
        return code or _exit_code(results, found)

    return _with_flags(register, functions, dry_run=(_DryRun, False), csv=(_Csv, None))


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
    functions: Sequence[TaskFunction],
    urls: Sequence[str],
    arguments: dict[str, Any],
) -> Discovery:
    """Find the images to work on, and say what cannot be worked on.

    Tasks that group images get only those that have a reference, and `reference`, if it
    is among the arguments, as an absolute url.
    """
    options = parse_storage_options(arguments.get("storage_options"))
    with reporter.log():
        found = _discover(functions, urls, arguments, options)
    reporter.show_errors(found.failures)
    return found


def _discover(
    functions: Sequence[TaskFunction],
    urls: Sequence[str],
    arguments: dict[str, Any],
    options: StorageOptions,
) -> Discovery:
    found = discover_images(urls, options)
    grouping = {"zarr_urls", "reference_acquisition"}
    if any(grouping <= set(inspect.signature(f).parameters) for f in functions):
        settings = {**read_defaults(functions), **arguments}
        plate = settings.get("reference")
        if plate is not None:
            plate = arguments["reference"] = absolute_url(plate)
        found = find_work(found, settings["reference_acquisition"], plate, options)
    return found


def _no_results(found: Discovery) -> str:
    return "Nothing was done." if found.failures else _NOTHING_TO_DO


def _check(
    reporter: Reporter, images: Sequence[str], settings: dict[str, Any]
) -> tuple[list[TaskResult], list[str]]:
    """Look for what the last step could not do, before the first one.

    Returns:
        What was found, if anything, and the images of the wells that can be registered.
    """
    from fractal_tasks.cli.checks import check_images

    with reporter.log():
        found = check_images(images, settings)
    if found is None:
        return [], list(images)
    reporter.report_failures(found)
    return [found], _without_failed_wells(images, found)


def _run_tasks(
    reporter: Reporter,
    tasks: Sequence[Task],
    images: Sequence[str],
    arguments: dict[str, Any],
    workers: int | None,
) -> tuple[list[TaskResult], Sequence[str]]:
    """Run tasks in order; a well in which one fails is left out of the next.

    Returns:
        The results, and the images of the wells in which none failed.
    """
    results: list[TaskResult] = []
    with reporter.session(workers) as run_task:
        for task in tasks:
            if not images:
                break
            own = select_arguments(task.functions, arguments)
            results.append(run_task(task, images, own))
            images = _without_failed_wells(images, results[-1])
    reporter.repeat_warnings(results)
    return results, images


def _exit_code(results: Sequence[TaskResult], found: Discovery) -> int:
    failed = found.failures or any(result.failures for result in results)
    return 1 if failed else 0


def _show_results(
    reporter: Reporter,
    results: Sequence[TaskResult],
    images: Sequence[str],
    found: Discovery,
    settings: dict[str, Any],
    csv: Path | None,
) -> int:
    """Say what became of the images, and give the exit code of that."""
    from fractal_tasks.cli.result_tables import (
        describe_results,
        results_as_data,
        write_csv,
    )
    from fractal_tasks.report.results import by_well, read_results

    options = parse_storage_options(settings.get("storage_options"))
    rois = read_results(
        [parse_image_url(url, options) for url in images],
        settings["registered_roi_table"],
    )
    texts = (summarise(results) or _no_results(found), describe_results(rois))
    reporter.show(
        "\n\n".join(text for text in texts if text),
        results_to_json(results, found.failures) | results_as_data(rois),
    )
    # What an earlier run wrote is not replaced by nothing.
    if csv is not None and rois:
        write_csv(csv, rois)
    return 1 if any(one.is_lost for one in by_well(rois)) else 0


def _without_failed_wells(images: Sequence[str], result: TaskResult) -> list[str]:
    """Leave out the wells of which an image failed; the others are independent.

    A unit that ran over all images, as those of non-parallel tasks do, says nothing of
    a single well.
    """
    failed = {
        parse_image_url(unit.zarr_url).well_url
        for unit in result.failures
        if unit.zarr_url is not None
    }
    return [url for url in images if parse_image_url(url).well_url not in failed]


def _show_dry_run(
    reporter: Reporter, found: Discovery, settings: dict[str, Any]
) -> int:
    from fractal_tasks.cli.dry_run import describe_plan, plan_registration, plan_to_json

    with reporter.log():
        plan, failures = plan_registration(found.images, settings)
    reporter.show_errors(failures)
    reporter.show(describe_plan(plan), plan_to_json(plan))
    return 1 if failures or found.failures else 0
