"""Tasks in order on the same images; a well in which one fails is left out of the next.

    workflow = Workflow.of(tasks, arguments)
    workflow.find(urls)
    workflow.check()
    workflow.run(run_task)
    workflow.read_results()

Each step can be left out, or its outcome shown before the next.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeAlias

from fractal_tasks.discovery import Discovery, absolute_url, discover_images, find_work
from fractal_tasks.errors import FractalTasksError, InvalidInputError
from fractal_tasks.records.applied import is_registered
from fractal_tasks.records.table_names import format_table_name
from fractal_tasks.report.reading import HowToRead
from fractal_tasks.report.results import RoiResult
from fractal_tasks.runner import (
    Task,
    TaskResult,
    UnitResult,
    as_entries,
    convert_arguments,
    describe_names,
    select_arguments,
    user_parameters,
)
from fractal_tasks.storage.plate.wells import well_of
from fractal_tasks.storage.plate.work import working_on
from fractal_tasks.storage.urls import (
    StorageOptions,
    parse_image_url,
    parse_storage_options,
)
from fractal_tasks.workflow.begun import (
    find_begun,
    plan_pending,
    without_otherwise_registered,
)
from fractal_tasks.workflow.catalogue import groups_images, read_defaults
from fractal_tasks.workflow.healing import Interrupted, heal_images
from fractal_tasks.workflow.output import move_inputs, resume
from fractal_tasks.workflow.output_plan import find_new_inputs
from fractal_tasks.workflow.plan import Plan
from fractal_tasks.workflow.planning import Entering, plan_registration
from fractal_tasks.workflow.results import read_run_results
from fractal_tasks.workflow.settings import Settings

RunTask: TypeAlias = Callable[[Task, Sequence[str], dict[str, Any]], TaskResult]
"""Runs all units of a task on images, with arguments."""

REGISTER_TASKS = (
    "calculate_registration",
    "find_registration_consensus",
    "apply_registration_to_image",
)
"""The tasks that register images, in order."""

CHECKS = "Checks"
"""What is done before them, as progress and results name it."""


@dataclass
class Workflow:
    """Tasks that run one after the other, and how far they have come."""

    tasks: Sequence[Task]
    settings: dict[str, Any]
    """Values of all arguments of the tasks, defaults included."""

    found: Discovery = field(default_factory=Discovery)
    """The images to work on, and what cannot be worked on."""

    results: list[TaskResult] = field(default_factory=list)
    """Of the tasks that have run, the check before them included if it found
    something."""

    plan: Plan = field(default_factory=Plan)
    """What would happen to the images, once they are checked."""

    healed: list[Interrupted] = field(default_factory=list)
    """What interrupted runs had left, and what became of it."""

    left: list[str] = field(default_factory=list)
    """The images of the wells in which nothing has failed so far."""

    @classmethod
    def of(cls, tasks: Sequence[Task], arguments: dict[str, Any]) -> Self:
        """Prepare to run tasks.

        Args:
            tasks: The tasks, in order.
            arguments: Arguments by name; each task gets those it has.

        Raises:
            InvalidInputError: An argument is unknown or does not fit, or a necessary
                one is missing.
        """
        functions = [function for task in tasks for function in task.functions]
        settings = {**read_defaults(functions), **arguments}
        known = {name for function in functions for name in user_parameters(function)}
        unknown, missing = set(arguments) - known, known - set(settings)
        if unknown or missing:
            raise InvalidInputError(
                f"Found {describe_names(unknown, missing)}; there are {sorted(known)}."
            )
        settings = convert_arguments(functions, settings)
        if settings.keys() >= {"registered_roi_table", "input_roi_table"}:
            # Apply needs the name of the table that consensus writes.
            settings["registered_roi_table"] = format_table_name(
                settings["registered_roi_table"], settings["input_roi_table"]
            )
        return cls(tasks, settings)

    @property
    def storage_options(self) -> StorageOptions:
        """How to reach the object store that the images may be in."""
        return parse_storage_options(self.settings.get("storage_options"))

    @property
    def has_failed(self) -> bool:
        """Whether anything was left out, or failed."""
        return bool(self.found.failures) or any(one.failures for one in self.results)

    def list_failures(self) -> dict[str, str]:
        """Give what is wrong with images and wells that were left out, or failed."""
        failures = {url: str(error) for url, error in self.found.failures.items()}
        for result in self.results:
            failures |= {unit.name: unit.message for unit in result.failures}
        return failures

    def find(
        self, urls: Sequence[str], output: str | None = None, *, heal: bool = True
    ) -> Discovery:
        """Find the images to work on.

        Tasks that group images get only those that have a reference, and `reference`,
        if it is among the arguments, as an absolute url.

        Args:
            urls: Plates, wells or images.
            output: Folder in which counterparts of them are made and worked on, so
                that they, and the reference, stay as they are; None: they themselves.
            heal: Whether what interrupted runs have left is cleared before.

        Raises:
            InvalidInputError: A url is no plate, well or image, or the output does not
                fit.
            InvalidDataError: There are no images, or nothing is to be registered.
            PublishError: The output could not be written.
        """
        new_inputs: dict[str, FractalTasksError] = {}
        if output is not None:
            inputs = urls
            urls, reference = move_inputs(
                urls, self.settings.get("reference"), output, self.storage_options
            )
            self.settings["reference"] = reference
            new_inputs = find_new_inputs(inputs, urls, self.storage_options)
        if heal:
            self.healed = heal_images(urls, self.storage_options)
        options = self.storage_options
        found = discover_images(urls, options)
        if output is not None:
            found = resume(urls, self.settings["registered_roi_table"], options)
        groups = any(groups_images(task) for task in self.tasks)
        if groups and "registered_roi_table" in self.settings:
            found = find_begun(found.images, self.settings, options).without(found)
        found = without_otherwise_registered(found, self.settings, options)
        found = replace(found, failures=found.failures | new_inputs)
        if groups:
            if (reference := self.settings.get("reference")) is not None:
                reference = self.settings["reference"] = absolute_url(reference)
            number = self.settings["reference_acquisition"]
            found = find_work(found, number, reference, options)
        self.found, self.left = found, [*found.images, *found.pending]
        return found

    def check(
        self, planned: Callable[[int, int], None] = lambda done, total: None
    ) -> TaskResult | None:
        """Leave out the wells of which an image could not be registered in the end.

        Args:
            planned: Called with the number of images that were looked at, and of all.

        Returns:
            What is wrong with images; None if nothing is, or not all tasks that
            register images are to run.

        Raises:
            InvalidInputError: The arguments fit no well.
        """
        if not Settings.cover(self.settings):
            return None
        # What an interrupted run has left is no fault of the image.
        self.plan = self.make_plan(entering=working_on, planned=planned)
        self.plan.require_arguments()
        units = [
            UnitResult(name=url, zarr_url=url, error=error)
            for url, error in self.plan.failures.items()
        ]
        if not units:
            return None
        result = TaskResult(CHECKS, units, as_entries(self.plan.failures))
        self._add(result)
        return result

    def make_plan(
        self,
        *,
        entering: Entering = lambda url: nullcontext(),
        planned: Callable[[int, int], None] = lambda done, total: None,
        writes_here: bool = True,
    ) -> Plan:
        """Find out what registering the images would do; arguments as of `planning`.

        Raises:
            InvalidInputError: An argument is wrong for any image.
        """
        settings = Settings.of(self.settings)
        rest = plan_pending(self.found.pending, settings, entering=entering)
        plan = plan_registration(
            [url for url in self.left if url not in self.found.pending],
            settings,
            entering=entering,
            planned=planned,
            writes_here=writes_here,
        )
        return Plan([*plan.images, *rest.images], plan.failures | rest.failures)

    def run(self, run_task: RunTask) -> None:
        """Run the tasks.

        Raises:
            InvalidInputError: The init function of a task says so.
            InvalidDataError: It does not find what it needs.
        """
        for task in self.tasks:
            pending = self.found.pending if groups_images(task) else ()
            images = [url for url in self.left if url not in pending]
            if images:
                own = select_arguments(task.functions, self.settings)
                self._add(run_task(task, images, own))

    def _add(self, result: TaskResult) -> None:
        self.results.append(result)
        self.left = self._without_failed_wells(result)

    def _without_failed_wells(self, result: TaskResult) -> list[str]:
        """Leave out the wells of which an image failed; the others are independent.

        A unit that ran over all images, as those of non-parallel tasks do, says nothing
        of a single well. Images that are in no plate count as those of one well.
        """
        failed = {
            self._well_of(unit.zarr_url)
            for unit in result.failures
            if unit.zarr_url is not None
        }
        return [
            url for url in self.left if not failed or self._well_of(url) not in failed
        ]

    def _well_of(self, zarr_url: str) -> str | None:
        return well_of(parse_image_url(zarr_url, self.storage_options))

    def read_results(self, how: HowToRead | None = None) -> list[RoiResult]:
        """Read what became of every ROI, in this run or before.

        That of wells in which something has failed is not told. An image that cannot
        be read is added to what was found to be wrong.
        """
        table = self.settings.get("registered_roi_table")
        results, failures = read_run_results(
            [*self.left, *self.found.registered],
            table or self.settings["input_roi_table"],
            self.storage_options,
            how,
        )
        self.found.failures.update(failures)
        return results

    def list_registered(self) -> list[str]:
        """Give the urls of registered images: those that were found, and the new."""
        listed = self.results[-1].zarr_urls if self.results else []
        return [
            url
            for url in dict.fromkeys((*self.found.registered, *listed))
            if is_registered(parse_image_url(url, self.storage_options))
        ]
