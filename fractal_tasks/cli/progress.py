"""The display of progress: a bar for each step, and the log above them.

Bars are drawn in a terminal only, and all that is said meanwhile goes through the same
console, which puts it above them.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from fractal_tasks.runner import UnitResult


@dataclass
class Step:
    """What is shown of one step."""

    title: str
    bars: Progress
    bar: TaskID
    rois: Mapping[str, int]
    """Number of ROIs by the url of an image; empty if that is not known."""

    done: int = 0
    total: int = 0
    failed: int = 0
    rois_done: int = 0

    def finish(self, unit: UnitResult) -> None:
        """Count a unit that has ended."""
        self.failed += unit.error is not None
        self.rois_done += self.rois.get(unit.zarr_url or "", 0)

    def show(self, done: int, total: int) -> None:
        """Draw how many of all units have ended; the bar tells what has succeeded."""
        self.done, self.total = done, total
        parts = [f"{done}/{total}"]
        parts += [f"{self.rois_done} ROIs"] if self.rois else []
        parts += [f"{self.failed} failed"] if self.failed else []
        self.bars.update(
            self.bar, completed=done - self.failed, total=total, count=", ".join(parts)
        )

    def __str__(self) -> str:
        """Say how far it has come."""
        return f"{self.title}, {self.done} of {self.total} units"


@dataclass(frozen=True)
class Steps:
    """The bars of all steps."""

    bars: Progress
    rois: Mapping[str, int] = field(default_factory=dict)

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Show a bar for a step, the clock of which stops when the body ends."""
        bar = self.bars.add_task(title, total=None, count="")
        try:
            yield Step(title, self.bars, bar, self.rois)
        finally:
            self.bars.stop_task(bar)


class RateColumn(ProgressColumn):
    """How many units end in a minute."""

    def render(self, task: Task) -> Text:
        """Say it, once two have ended."""
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{60 * speed:.1f}/min")


@contextmanager
def showing_steps(
    console: Console, *, is_shown: bool, rois: Mapping[str, int] | None = None
) -> Iterator[Steps]:
    """Draw bars while the body runs.

    Args:
        console: Where; nothing is drawn if it is no terminal.
        is_shown: Whether to draw anything.
        rois: Number of ROIs by the url of an image, if they are to be counted.
    """
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[count]}"),
        RateColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        expand=True,
        disable=not (is_shown and console.is_terminal),
    )
    with bars:
        yield Steps(bars, rois or {})


def say(console: Console, text: str) -> None:
    """Write text as it is, each line on one line however long it is."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


class ConsoleLog(logging.Handler):
    """Writes the log in one format, above the bars.

    A warning is written once, however many tasks look at the same image.
    """

    def __init__(self, say: Callable[[str], None], warned: set[str]) -> None:
        """Write with `say` what is not in `warned`, which grows."""
        super().__init__()
        self._say = say
        self._warned = warned

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record as ``Warning: what it says``."""
        text = f"{record.levelname.capitalize()}: {record.getMessage()}"
        if record.levelno == logging.WARNING:
            if text in self._warned:
                return
            self._warned.add(text)
        self._say(text)
