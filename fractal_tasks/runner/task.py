"""What a task is: its functions, its kind, and the arguments that a user sets."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from fractal_tasks.errors import InvalidInputError

TaskFunction: TypeAlias = Callable[..., Any]
TaskKind: TypeAlias = Literal["parallel", "compound", "non_parallel"]
"""As a task list names them. Its ``converter_`` kinds, which begin without an image
list, are not among them."""

TASK_KINDS: tuple[TaskKind, ...] = get_args(TaskKind)

SERVER_ARGUMENTS = frozenset({"zarr_urls", "zarr_dir", "zarr_url", "init_args"})
"""Arguments that a Fractal server fills in; all others are the user's."""


@dataclass(frozen=True)
class Task:
    """The functions of a task."""

    name: str
    function: TaskFunction
    """Runs one unit; defined at module level, so that workers can import it."""

    kind: TaskKind = "parallel"
    init_function: TaskFunction | None = None
    """Lists the units of a compound task."""

    output_types: Mapping[str, bool] = field(default_factory=dict)
    """Types that every image gets which the task makes or changes."""

    def __post_init__(self) -> None:
        """Check that there is an init function exactly if the kind needs one.

        Raises:
            InvalidInputError: There is one too many, or none.
        """
        has_init = self.init_function is not None
        if has_init != (self.kind == "compound"):
            raise InvalidInputError(
                f"{self.name}: found a task of kind {self.kind!r} "
                f"{'with' if has_init else 'without'} an init function. Compound tasks "
                "need one, other tasks have none. Correct the task list."
            )

    @property
    def functions(self) -> tuple[TaskFunction, ...]:
        """The functions in the order in which they run."""
        if self.init_function is None:
            return (self.function,)
        return (self.init_function, self.function)


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


def check_arguments(task: Task, arguments: dict[str, Any]) -> None:
    """Check that a task has all of `arguments`, and needs no others.

    Raises:
        InvalidInputError: Some are unknown or missing.
    """
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
