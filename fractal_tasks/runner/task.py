"""What a task is: its functions, its kind, and the arguments that a user sets."""

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    TypeAlias,
    get_args,
    get_type_hints,
)

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from fractal_tasks.errors import InvalidInputError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

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


_NUMBERS_ARE_TEXT = ConfigDict(coerce_numbers_to_str=True)
"""Where text is needed: a channel may be given by its index."""


def _config_for(hint: object) -> ConfigDict | None:
    """Give how values are converted; a model says that itself."""
    is_model = isinstance(hint, type) and issubclass(hint, BaseModel)
    return None if is_model else _NUMBERS_ARE_TEXT


def convert_arguments(
    functions: Iterable[TaskFunction], arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """Give arguments as the annotations of the functions convert them.

    Args:
        functions: Those that get them; of a name that several have, the last counts.
        arguments: By name; those that no function has stay as they are.

    Raises:
        InvalidInputError: Values do not fit. It names each.
    """
    converted, problems = dict(arguments), []
    hints: dict[str, Any] = {}
    for function in functions:
        hints |= get_type_hints(function, include_extras=True)
    for name in arguments.keys() & hints.keys():
        try:
            adapter = TypeAdapter[Any](hints[name], config=_config_for(hints[name]))
            value = adapter.validate_python(arguments[name])
        except ValidationError as error:
            for problem in error.errors():
                path = ".".join(map(str, (name, *problem["loc"])))
                problems.append(describe_problem(problem, f"{path}="))
        else:
            converted[name] = value
    if problems:
        raise InvalidInputError("; ".join(sorted(problems)))
    return converted


def describe_problem(problem: "ErrorDetails", name: str) -> str:
    """Say what pydantic found wrong with an argument.

    Args:
        problem: One of `ValidationError.errors()`.
        name: Stands before the value; empty if several together are wrong.
    """
    message = problem["msg"].removeprefix("Value error, ")
    return f"{name}{problem['input']!r}: {message}" if name else message


def describe_names(unknown: Collection[str], missing: Collection[str]) -> str:
    """Say which arguments are unknown and which are missing, as far as there are."""
    lists = (("unknown arguments", unknown), ("missing arguments", missing))
    return ", ".join(f"{what} {sorted(names)}" for what, names in lists if names)


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
    unknown = set(arguments) - set(known)
    missing = {
        name
        for name, parameter in known.items()
        if parameter.default is parameter.empty and name not in arguments
    }
    if unknown or missing:
        raise InvalidInputError(
            f"{task.name}: found {describe_names(unknown, missing)}; it has "
            f"{sorted(known)}."
        )
