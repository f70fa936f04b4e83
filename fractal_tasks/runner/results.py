"""How units and tasks ended."""

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from fractal_tasks.errors import FractalTasksError
from fractal_tasks.runner.images import ImageEntry


@dataclass(frozen=True)
class UnitResult:
    """How one unit ended."""

    name: str
    """Url of the unit's image; of a non-parallel task, folder of the dataset."""

    zarr_url: str | None
    """The image; None if the unit ran over all images."""

    error: BaseException | None = None
    warnings: tuple[str, ...] = ()
    """What its log warned of, unless it failed."""

    @property
    def message(self) -> str:
        """What went wrong, in one line for errors raised on purpose."""
        if self.error is None or isinstance(self.error, FractalTasksError):
            return str(self.error or "")
        return f"{type(self.error).__name__}: {self.error}"

    @property
    def details(self) -> str:
        """The traceback, that of the worker process included."""
        return "".join(traceback.format_exception(self.error)) if self.error else ""


@dataclass(frozen=True)
class TaskResult:
    """How a task ended."""

    task: str
    units: list[UnitResult]
    images: list[ImageEntry]
    """The image list after the task."""

    init_warnings: tuple[str, ...] = ()
    """What the log of the init function warned of."""

    @property
    def warnings(self) -> list[str]:
        """What the log warned of, in the order of the units, each text once."""
        of_units = (text for unit in self.units for text in unit.warnings)
        return list(dict.fromkeys((*self.init_warnings, *of_units)))

    @property
    def zarr_urls(self) -> list[str]:
        """The urls of the image list after the task."""
        return [image.zarr_url for image in self.images]

    @property
    def failures(self) -> list[UnitResult]:
        """The units that failed."""
        return [unit for unit in self.units if unit.error is not None]


class TooManyFailuresError(FractalTasksError):
    """More units of a task failed than the user allows."""

    @classmethod
    def of(cls, task: str, failures: Sequence[UnitResult], allowed: int) -> Self:
        """Name them."""
        texts = "\n".join(f"{unit.name}: {unit.message}" for unit in failures)
        return cls(
            f"{task}: {len(failures)} units failed, of which max_failures={allowed} "
            f"allows fewer; the others were stopped. Mend these, and run the same "
            f"command again:\n{texts}"
        )
