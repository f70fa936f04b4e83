"""Tasks in order on the same images; a well in which one fails is left out of the next.

    workflow = Workflow.of(tasks, arguments)
    workflow.find(urls)
    workflow.check()
    workflow.run(run_task)
    workflow.read_results()

Each step can be left out, or its outcome shown before the next.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeAlias

from fractal_tasks.discovery import (
    Discovery,
    absolute_url,
    discover_images,
    find_work,
)
from fractal_tasks.errors import InvalidInputError
from fractal_tasks.records.applied import is_registered
from fractal_tasks.report.results import RoiResult, by_well, read_results
from fractal_tasks.runner import (
    Task,
    TaskFunction,
    TaskResult,
    select_arguments,
    user_parameters,
)
from fractal_tasks.storage.plate.wells import is_in_plate
from fractal_tasks.storage.urls import (
    StorageOptions,
    parse_image_url,
    parse_storage_options,
)
from fractal_tasks.workflow.checks import check_images

RunTask: TypeAlias = Callable[[Task, Sequence[str], dict[str, Any]], TaskResult]
"""Runs all units of a task on images, with arguments."""

REGISTER_TASKS = (
    "calculate_registration",
    "find_registration_consensus",
    "apply_registration_to_image",
)
"""The tasks that register images, in order."""


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

    left: list[str] = field(default_factory=list)
    """The images of the wells in which nothing has failed so far."""

    @classmethod
    def of(cls, tasks: Sequence[Task], arguments: dict[str, Any]) -> Self:
        """Prepare to run tasks.

        Args:
            tasks: The tasks, in order.
            arguments: Arguments by name; each task gets those it has.

        Raises:
            InvalidInputError: An argument is unknown, or a necessary one is missing.
        """
        functions = [function for task in tasks for function in task.functions]
        settings = {**read_defaults(functions), **arguments}
        known = {name for function in functions for name in user_parameters(function)}
        unknown, missing = set(arguments) - known, known - set(settings)
        if unknown or missing:
            raise InvalidInputError(
                f"Found the unknown arguments {sorted(unknown)}, and missing are "
                f"{sorted(missing)}. There are {sorted(known)}."
            )
        if settings.keys() >= {"registered_roi_table", "input_roi_table"}:
            # Apply needs the name of the table that consensus writes.
            settings["registered_roi_table"] = settings["registered_roi_table"].replace(
                "{input_roi_table}", settings["input_roi_table"]
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

    def find(self, urls: Sequence[str]) -> Discovery:
        """Find the images to work on.

        Tasks that group images get only those that have a reference, and `reference`,
        if it is among the arguments, as an absolute url.

        Raises:
            InvalidInputError: A url is no plate, well or image.
            InvalidDataError: There are no images, or nothing is to be registered.
        """
        found = discover_images(urls, self.storage_options)
        grouping = {"zarr_urls", "reference_acquisition"}
        functions = [one for task in self.tasks for one in task.functions]
        if any(grouping <= set(inspect.signature(one).parameters) for one in functions):
            reference = self.settings.get("reference")
            if reference is not None:
                reference = self.settings["reference"] = absolute_url(reference)
            number = self.settings["reference_acquisition"]
            found = find_work(found, number, reference, self.storage_options)
        self.found, self.left = found, list(found.images)
        return found

    def check(self) -> TaskResult | None:
        """Leave out the wells of which an image could not be registered in the end.

        Returns:
            What is wrong with images; None if nothing is.

        Raises:
            InvalidInputError: An argument does not fit an image.
        """
        result = check_images(self.left, self.settings)
        if result is not None:
            self._add(result)
        return result

    def run(self, run_task: RunTask) -> None:
        """Run the tasks.

        Raises:
            InvalidInputError: The init function of a task says so.
            InvalidDataError: It does not find what it needs.
        """
        for task in self.tasks:
            if not self.left:
                break
            own = select_arguments(task.functions, self.settings)
            self._add(run_task(task, self.left, own))

    def _add(self, result: TaskResult) -> None:
        self.results.append(result)
        self.left = _without_failed_wells(self.left, result)

    def read_results(self) -> list[RoiResult]:
        """Read what became of every ROI of the wells in which nothing has failed.

        Raises:
            InvalidDataError: An image, a table or a well cannot be read.
            MissingStepError: A translation is there, but not whole.
        """
        table = self.settings.get("registered_roi_table")
        urls = [parse_image_url(url, self.storage_options) for url in self.left]
        return read_results(urls, table or self.settings["input_roi_table"])

    def list_registered(self) -> list[str]:
        """Give the urls of registered images: those that were found, and the new."""
        listed = self.results[-1].zarr_urls if self.results else []
        return [
            url
            for url in dict.fromkeys((*self.found.registered, *listed))
            if is_registered(parse_image_url(url, self.storage_options))
        ]


def read_defaults(functions: Sequence[TaskFunction]) -> dict[str, Any]:
    """Give the default of every user parameter that has one, of the first function."""
    return {
        name: parameter.default
        for function in reversed(functions)
        for name, parameter in user_parameters(function).items()
        if parameter.default is not parameter.empty
    }


def is_lost(results: Sequence[RoiResult]) -> bool:
    """Whether there is an acquisition of a well of which no ROI is resolved."""
    return any(one.is_lost for one in by_well(results))


def _without_failed_wells(images: Sequence[str], result: TaskResult) -> list[str]:
    """Leave out the wells of which an image failed; the others are independent.

    A unit that ran over all images, as those of non-parallel tasks do, says nothing of
    a single well. Images that are in no plate count as those of one well.
    """
    failed = {
        _well_of(unit.zarr_url) for unit in result.failures if unit.zarr_url is not None
    }
    return [url for url in images if not failed or _well_of(url) not in failed]


def _well_of(zarr_url: str) -> str | None:
    image = parse_image_url(zarr_url)
    return image.well_url if is_in_plate(image) else None
