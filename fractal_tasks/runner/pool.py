"""What runs the units of tasks: worker processes of this machine."""

import logging
import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from logging.handlers import QueueHandler
from multiprocessing.context import SpawnContext
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, TypeAlias

from fractal_tasks.interrupts import Stopped, is_stopping, stopping_on_signals

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.queues import Queue

# A unit may take a few gigabytes; more workers than this are for the user to ask.
_MAX_DEFAULT_WORKERS = 8

_MAX_WAIT_S = 2.0
"""For the last lines of the log."""

_Records: TypeAlias = "Queue[logging.LogRecord | None]"


@contextmanager
def worker_pool(
    workers: int | None = None, log_level: int = logging.WARNING
) -> Iterator[Executor | None]:
    """Give what runs the units of tasks; units not begun are dropped at the end.

    A pool serves several tasks: a worker process needs seconds to import what the
    tasks use. If the body raises, or this process is killed, the workers clean up what
    they are at, and end.

    Args:
        workers: Number of processes; left out, one per core, at most 8.
        log_level: Level of the package's log in worker processes.

    Yields:
        None with 1 worker: the units run in this thread, where signals end them.
    """
    workers = workers or default_workers()
    if workers == 1:
        yield None
        return
    context = multiprocessing.get_context("spawn")
    # Only this process has the end to write: once it is closed, by whom or whatever,
    # every worker knows.
    theirs, lifeline = context.Pipe(duplex=False)
    with _log_of_workers(context) as records, theirs, lifeline:
        pool = ProcessPoolExecutor(
            max_workers=workers,
            mp_context=context,
            initializer=_start_worker,
            initargs=(log_level, records, theirs),
        )
        try:
            yield pool
        except BaseException:
            lifeline.close()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


_idle = Event()
"""Set while this process runs no unit."""

_idle.set()


@contextmanager
def running_unit() -> Iterator[None]:
    """Note that a unit runs; refuse to begin one when the process is to end."""
    if is_stopping():
        raise Stopped(signal.SIGTERM)
    _idle.clear()
    try:
        yield
    finally:
        _idle.set()


_FOR_LIFE = ExitStack()
"""What a worker process holds until it ends."""


def _start_worker(
    log_level: int, records: "_Records", lifeline: "Connection[Any, Any]"
) -> None:
    _start_logging(log_level, records)
    # A lock that a library makes for itself here, as numcodecs does, then has no name
    # by which others find it: nothing is left of it, and Python does not warn of it,
    # when this process ends without a word.
    multiprocessing.set_start_method("fork", force=True)
    # Schedulers tell all processes of a job, and a pool all of its workers when the
    # first has ended: none of this is the second signal of somebody out of patience.
    _FOR_LIFE.enter_context(stopping_on_signals(second_ends=False))
    # Ctrl-C is sent to all processes of a terminal: who began them ends them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with, args=(lifeline,), daemon=True).start()


def _end_with(lifeline: "Connection[Any, Any]") -> None:
    """Wait until the parent closes its end, or is gone; then end the unit, and all."""
    lifeline.poll(None)
    os.kill(os.getpid(), signal.SIGTERM)
    _idle.wait()
    os._exit(128 + signal.SIGTERM)


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
        thread.join(timeout=_MAX_WAIT_S)
        records.close()
        if thread.is_alive():
            # A worker that was killed while it wrote holds the queue for ever.
            records.cancel_join_thread()
        else:
            records.join_thread()


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
