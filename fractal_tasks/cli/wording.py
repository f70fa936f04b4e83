"""Messages in the words of the command line."""

import re
from functools import cache

from fractal_tasks.runner import user_parameters
from fractal_tasks.workflow.catalogue import list_task_commands

_ARGUMENT = re.compile(
    r"(?<![\w'\"{/.\-])([a-z_]+(?:\.[a-z_]+)?)(=True\b|=False\b|=|\b)"
)
"""An argument as Python writes it; what is quoted or part of a path is none."""


def name_flags(message: str) -> str:
    """Write the arguments that a message names as the flags that a user can type.

    Messages are those of the tasks, which Python and a Fractal server run, too.

    Example:
        >>> name_flags("Set overwrite_input=False, or another wavelength_id.")
        'Set --no-overwrite-input, or another --wavelength-id.'
        >>> name_flags("Set output_format.chunk_size_px=512.")
        'Set --output-format.chunk-size-px 512.'
    """

    def name_flag(found: re.Match[str]) -> str:
        name, value = found.groups()
        # Without a value "keep" and "dimensions" are words.
        argument = name.partition(".")[0]
        if (not value and "_" not in name) or argument not in _list_arguments():
            return found[0]
        negation = "no-" if value == "=False" else ""
        return f"--{negation}{name.replace('_', '-')}{' ' if value == '=' else ''}"

    return _ARGUMENT.sub(name_flag, message)


@cache
def _list_arguments() -> frozenset[str]:
    tasks = (command.load() for command in list_task_commands())
    functions = (function for task in tasks for function in task.functions)
    names = (name for function in functions for name in user_parameters(function))
    return frozenset(("storage_options", *names))
