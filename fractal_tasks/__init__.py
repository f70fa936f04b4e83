"""Registration tasks for multiplexed OME-Zarr plates on the Fractal platform.

From Python, e.g. in a notebook, `register` registers plates or images, and `calculate`,
`consensus` and `apply` are its three steps. `show` draws a well, and `point_map` maps
points as pixels were.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fractal_tasks.api import (
        apply,
        calculate,
        consensus,
        point_map,
        register,
        show,
    )
    from fractal_tasks.api.result import Result

__version__ = version("fractal-tasks")

__all__ = [
    "Result",
    "__version__",
    "apply",
    "calculate",
    "consensus",
    "point_map",
    "register",
    "show",
]


def __getattr__(name: str) -> object:
    """Import the functions of Python when they are first asked for.

    Every task runs in a process of its own, which needs none of them.
    """
    if name in __all__:
        return getattr(import_module(f"{__name__}.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
