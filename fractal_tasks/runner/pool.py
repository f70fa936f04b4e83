"""What runs the units of tasks: worker processes of this machine."""

import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from logging.handlers import QueueHandler
from multiprocessing.context import BaseContext
from threading import Event, Thread
from typing import TYPE_CHECKING, ParamSpec, TypeAlias, TypeVar

from fractal_tasks.errors import FractalTasksError
from fractal_tasks.interrupts import Stopped, is_stopping, stopping_on_signals
from fractal_tasks.lifeline import Lifeline, holding_lifeline, watch_lifeline

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

_P = ParamSpec("_P")
_T = TypeVar("_T")

_MAX_WAIT_S = 2.0
"""For the last lines of the log."""

_Records: TypeAlias = "Queue[logging.LogRecord | None]"

_PRELOADED = (
    "anndata",
    "dask.array",
    "fsspec.implementations.http",
    "h5py",
    "ome_zarr_models",
    "pydantic_zarr",
    "s3fs",
    "fractal_tasks.tasks.calculate_registration",
    "fractal_tasks.tasks.find_registration_consensus",
    "fractal_tasks.tasks.apply_registration_to_image",
)
"""What workers are copied with. Not ngio: it imports polars, which starts a thread."""


class WorkerLostError(FractalTasksError):
    """The process that ran a unit was ended from outside."""


@contextmanager
def worker_pool(workers: int, log_level: int = logging.WARNING) -> Iterator[Executor]:
    """Give what runs the units of tasks in processes; those not begun are dropped.

    A pool serves several tasks: a worker process needs a second to import what the
    tasks use. If the body raises, or this process is killed, the workers clean up what
    they are at, and end.

    Args:
        workers: Number of processes, of which each is begun when it is needed.
        log_level: Level of the package's log in worker processes.
    """
    context = _make_context()
    with _log_of_workers(context) as records:

        def begin(lifeline: Lifeline) -> _Workers:
            return _Workers(
                workers,
                lambda: ProcessPoolExecutor(
                    max_workers=1,
                    mp_context=context,
                    initializer=_start_worker,
                    initargs=(log_level, records, lifeline),
                ),
            )

        with holding_lifeline(context, begin) as pool:
            yield pool


def _make_context() -> BaseContext:
    """Give how workers are started: by a server that has imported what they need.

    Copies of this process would have its threads' locks. On other systems than Linux,
    libraries that numpy uses do not bear to be copied.
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_PRELOADED))
    return context


class _Workers(Executor):
    """Runs each unit in a process that runs nothing else meanwhile.

    Its end costs that unit only; in a `ProcessPoolExecutor` of several, all.
    """

    def __init__(self, count: int, begin: Callable[[], ProcessPoolExecutor]) -> None:
        self._threads = ThreadPoolExecutor(count)
        self._begin = begin
        self._idle: list[ProcessPoolExecutor] = []

    def submit(
        self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> Future[_T]:
        return self._threads.submit(
            self._run, lambda one: one.submit(fn, *args, **kwargs)
        )

    def _run(self, submit: Callable[[ProcessPoolExecutor], Future[_T]]) -> _T:
        try:
            process = self._idle.pop()
        except IndexError:
            process = self._begin()
        future = submit(process)
        error = future.exception()
        if isinstance(error, BrokenProcessPool):
            process.shutdown()
            raise WorkerLostError(
                "a worker process was ended from outside, perhaps for lack of memory, "
                "before this unit was done. Run it again with fewer workers."
            ) from error
        self._idle.append(process)
        return future.result()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._threads.shutdown(wait, cancel_futures=cancel_futures)
        if not self._idle:
            return
        with ThreadPoolExecutor(len(self._idle)) as threads:  # they end side by side
            list(threads.map(lambda process: process.shutdown(wait), self._idle))


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


def _start_worker(log_level: int, records: "_Records", lifeline: Lifeline) -> None:
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
    watch_lifeline(lifeline, _end)


def _end() -> None:
    """End the unit, and then all."""
    os.kill(os.getpid(), signal.SIGTERM)
    _idle.wait()
    os._exit(128 + signal.SIGTERM)


@contextmanager
def _log_of_workers(context: BaseContext) -> Iterator["_Records"]:
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
