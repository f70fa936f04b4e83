"""Processes that run units of the tasks, all at once, and may die while they do."""

import logging
import multiprocessing
import os
import signal
import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from fractal_tasks.storage.local import publish
from stress.plates import Unit
from tests.tasks.fault_driver import Faults

_exchange = publish._exchange


class Fault(Exception):
    """What must never happen has happened."""


@dataclass(frozen=True)
class Order:
    """A unit to run."""

    unit: Unit
    plate: Path
    two_renames: bool
    die_at: int | None = None
    """Number of the write at which the process kills itself."""


@dataclass(frozen=True)
class Outcome:
    """What became of an order."""

    pid: int
    result: Any = None
    error: str | None = None
    died: bool = False


class Workers:
    """Processes that are kept from batch to batch: they import the tasks once."""

    def __init__(self, count: int) -> None:
        self._workers = [_Worker() for _ in range(count)]

    def run(self, orders: Sequence[Order], limit_s: float) -> list[Outcome]:
        """Run units all at once, each in a process of its own.

        Raises:
            Fault: One of them is still at work after `limit_s` seconds.
        """
        while len(self._workers) < len(orders):
            self._workers.append(_Worker())
        busy = dict(enumerate(self._workers[: len(orders)]))
        for index, worker in busy.items():
            worker.connection.send(orders[index])
        end = time.monotonic() + limit_s
        outcomes: dict[int, Outcome] = {}
        while busy:
            ready = wait([w.connection for w in busy.values()], end - time.monotonic())
            if not ready:
                waiting = ", ".join(f"{orders[index].unit}" for index in busy)
                raise Fault(f"still at work after {limit_s} s: {waiting}")
            for index in [i for i, w in busy.items() if w.connection in ready]:
                outcomes[index] = busy.pop(index).outcome()
                if outcomes[index].died:
                    self._workers[index] = _Worker()
        return [outcomes[index] for index in range(len(orders))]

    def close(self) -> None:
        """End all processes, whatever they do."""
        for worker in self._workers:
            worker.connection.close()
        for worker in self._workers:
            end_process(worker.process, worker.connection)


def end_process(process: BaseProcess, connection: Connection) -> None:
    """Let a process end by itself if it only waits for orders; else kill it."""
    connection.close()
    process.join(timeout=5)
    process.kill()
    process.join()


class _Worker:
    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()

    def outcome(self) -> Outcome:
        try:
            outcome = self.connection.recv()
        except EOFError:
            self.process.join()
            return Outcome(self.process.pid or 0, died=True)
        assert isinstance(outcome, Outcome)
        return outcome


def report_success(counts: Mapping[str, int], start: float) -> None:
    """Print what a script did since `start` (seconds of `time.monotonic`)."""
    for name, count in sorted(counts.items()):
        print(f"{count:7} {name}")
    print(f"{time.monotonic() - start:7.0f} seconds; no fault")


def be_quiet() -> None:
    """Drop what a task logs and libraries remark; in a process of our own."""
    logging.disable()
    warnings.simplefilter("ignore")


def _work(connection: Connection) -> None:
    be_quiet()
    faults = Faults()
    while True:
        try:
            order = connection.recv()
        except EOFError:
            return
        connection.send(_run(order, faults))


def _run(order: Order, faults: Faults) -> Outcome:
    publish._exchange = (lambda *_: False) if order.two_renames else _exchange

    def strike(write: int) -> None:
        if write == order.die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        with faults.striking(order.plate.parent, strike):
            return Outcome(os.getpid(), order.unit.run(order.plate))
    except BaseException:  # noqa: BLE001 - whatever it is, the report names it
        return Outcome(os.getpid(), error=traceback.format_exc())
