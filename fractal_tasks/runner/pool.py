"""What runs the units of tasks: worker processes of this machine."""

import logging
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager

# A unit may take a few gigabytes; more workers than this are for the user to ask.
_MAX_DEFAULT_WORKERS = 8


@contextmanager
def worker_pool(
    workers: int | None = None, log_level: int = logging.WARNING
) -> Iterator[Executor]:
    """Give what runs the units of tasks; units not begun are dropped at the end.

    A pool serves several tasks: a worker process needs seconds to import what the
    tasks use.

    Args:
        workers: Number of processes; left out, one per core, at most 8. With 1 the
            units run in this process.
        log_level: Level of the package's log in worker processes.
    """
    workers = workers or default_workers()
    executor: Executor = ThreadPoolExecutor(max_workers=1)
    if workers > 1:
        executor = ProcessPoolExecutor(
            max_workers=workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_logging,
            initargs=(log_level,),
        )
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


def default_workers() -> int:
    """Give the number of cores that this process may use, at most 8."""
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), _MAX_DEFAULT_WORKERS)
    return min(os.cpu_count() or 1, _MAX_DEFAULT_WORKERS)


def set_log_level(log_level: int) -> None:
    """Set the level of the package's log.

    Python warnings, which are for developers, become part of the log at level info.
    """
    logging.getLogger("fractal_tasks").setLevel(log_level)
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").disabled = log_level > logging.INFO


def _start_logging(log_level: int) -> None:
    # Libraries imported before this may have set up the log in their way.
    logging.basicConfig(
        format="%(levelname)s: %(message)s", level=logging.WARNING, force=True
    )
    set_log_level(log_level)
