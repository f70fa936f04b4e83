"""Bars of progress that suit terminals and notebooks, by tqdm."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from fractal_tasks.runner import Place, Task, TaskResult, open_engine, run_task
from fractal_tasks.workflow.capacity import choose_workers
from fractal_tasks.workflow.run import RunTask, Workflow


@contextmanager
def running_with_bars(
    workflow: Workflow, place: Place, progress: bool
) -> Iterator[RunTask]:
    """Give what runs the units of tasks, with a bar for each task."""
    here = place.workers or choose_workers(workflow)
    with open_engine(place, here) as engine:

        def run(task: Task, urls: Sequence[str], own: dict[str, Any]) -> TaskResult:
            with _bar(task.name, progress) as advance:
                return run_task(task, urls, own, engine=engine, progress=advance)

        yield run


@contextmanager
def _bar(title: str, is_shown: bool) -> Iterator[Callable[[int, int], None]]:
    """Show how many units of a task are done."""
    from tqdm.auto import tqdm

    with tqdm(desc=title, unit="unit", disable=not is_shown) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield advance
