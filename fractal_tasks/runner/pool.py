"""What runs the units of tasks: worker processes of this machine."""

import logging
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from logging.handlers import QueueHandler
from multiprocessing.context import SpawnContext
from threading import Thread
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

# A unit may take a few gigabytes; more workers than this are for the user to ask.
_MAX_DEFAULT_WORKERS = 8

_MAX_WAIT_S = 2.0
"""For the last lines of the log."""

_Records: TypeAlias = "Queue[logging.LogRecord | None]"


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
    if workers == 1:
        with _ending(ThreadPoolExecutor(max_workers=1)) as threads:
            yield threads
        return
    context = multiprocessing.get_context("spawn")
    with _log_of_workers(context) as records:
        pool = ProcessPoolExecutor(
            max_workers=workers,
            mp_context=context,
            initializer=_start_logging,
            initargs=(log_level, records),
        )
        with _ending(pool) as processes:
            yield processes


@contextmanager
def _ending(executor: Executor) -> Iterator[Executor]:
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


@contextmanager
def _log_of_workers(context: SpawnContext) -> Iterator["_Records"]:
    """Give a queue; what is put into it becomes part of the log of this process.

    So workers and this process share one format and one place, beside progress bars.
    """
    records: _Records = context.Queue()
    thread = Thread(target=_forward, args=(records,), daemon=True)
    thread.start()
    try:
        yield records
    finally:
        records.put(None)
        # A worker that was killed while it wrote may hold the queue for ever.
        thread.join(timeout=_MAX_WAIT_S)
        records.cancel_join_thread()
        records.close()


def _forward(records: "_Records") -> None:
    while (record := records.get()) is not None:
        logging.getLogger(record.name).handle(record)


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


def _start_logging(log_level: int, records: "_Records") -> None:
    # Libraries imported before this may have set up the log in their way. No format, as
    # the main process has its own.
    logging.root.handlers = [QueueHandler(records)]
    logging.root.setLevel(logging.WARNING)
    set_log_level(log_level)
