"""The tasks as commands, without importing their modules."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from fractal_tasks.dev import task_list
from fractal_tasks.errors import InvalidInputError
from fractal_tasks.runner import TASK_KINDS, Task, TaskFunction, user_parameters


@dataclass(frozen=True)
class TaskCommand:
    """A task as the command line shows it."""

    title: str
    """Name of the task on a Fractal server."""

    type: str
    """As in the task list, e.g. ``compound``."""

    executable: str
    executable_init: str | None
    output_types: Mapping[str, bool]
    summary: str

    @property
    def function_name(self) -> str:
        """Name of the function that runs a unit, e.g. ``calculate_registration``."""
        return Path(self.executable).stem

    @property
    def name(self) -> str:
        """Name of the command, e.g. ``calculate-registration``."""
        return self.function_name.replace("_", "-")

    def load(self) -> Task:
        """Import the functions of the task.

        Raises:
            InvalidInputError: The task is a converter.
        """
        kind = next((kind for kind in TASK_KINDS if kind == self.type), None)
        if kind is None:
            raise InvalidInputError(
                f"{self.title}: found a task of type {self.type!r}, and this command "
                f"line runs {list(TASK_KINDS)}: tasks that work on images which are "
                "there. A converter makes them from other files: run it on a Fractal "
                "server."
            )
        init = self.executable_init
        return Task(
            name=self.title,
            function=_load_function(self.executable),
            kind=kind,
            init_function=None if init is None else _load_function(init),
            output_types=self.output_types,
        )


def list_task_commands() -> list[TaskCommand]:
    """Give all tasks of the task list."""
    return [
        TaskCommand(
            title=task.name,
            type=task.type,
            executable=task.executable,
            executable_init=getattr(task, "executable_init", None),
            output_types=task.output_types or {},
            summary=_read_summary(task.docs_info),
        )
        for task in task_list.TASK_LIST
    ]


def _read_summary(docs_info: str) -> str:
    """Read the first line of a task's description."""
    folder = Path(task_list.__file__).parent
    with (folder / docs_info.removeprefix("file:")).open(encoding="utf-8") as file:
        return file.readline().strip()


def _load_function(executable: str) -> TaskFunction:
    name = Path(executable).stem
    module = ".".join(["fractal_tasks", *Path(executable).with_suffix("").parts])
    function: TaskFunction = getattr(import_module(module), name)
    return function


def read_defaults(functions: Sequence[TaskFunction]) -> dict[str, Any]:
    """Give the default of every user parameter that has one, of the first function."""
    return {
        name: parameter.default
        for function in reversed(functions)
        for name, parameter in user_parameters(function).items()
        if parameter.default is not parameter.empty
    }


def groups_images(task: Task) -> bool:
    """Whether a task pairs images with those of the reference acquisition."""
    needed = {"zarr_urls", "reference_acquisition"}
    return any(
        needed <= set(inspect.signature(one).parameters) for one in task.functions
    )
