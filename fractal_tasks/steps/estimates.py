"""The estimates of all ROIs of an image, one after the other or in processes.

Most methods take less time than a process needs to start. Those that take longer hold
the lock of the interpreter, so that threads would not help.
"""

import logging
import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from logging.handlers import QueueHandler

import numpy as np
from threadpoolctl import threadpool_limits

from fractal_tasks.cpus import given_cpus
from fractal_tasks.errors import FractalTasksError
from fractal_tasks.lifeline import Lifeline, holding_lifeline, watch_lifeline
from fractal_tasks.model import CalculateSettings, Candidate, RowKey
from fractal_tasks.registration.base import RegistrationMethod
from fractal_tasks.registration.camera import shows_camera
from fractal_tasks.registration.estimate import Estimate
from fractal_tasks.registration.fixed_pattern import FixedPattern
from fractal_tasks.steps.prepared_pairs import prepare_pair
from fractal_tasks.steps.roi_pairs import RoiPair, open_pairs
from fractal_tasks.steps.sides import open_sides
from fractal_tasks.storage.urls import ImageUrl

_OTHERS = 4
"""Fields that one is compared with, to find out whether they show the camera."""

_PACKAGE = __name__.partition(".")[0]


@dataclass(frozen=True)
class Estimation:
    """All that estimates of the ROIs of an image depend on."""

    image: ImageUrl
    reference: ImageUrl
    channels: tuple[str, str]
    """Id, label or index of the first channel of reference and image."""

    method: RegistrationMethod
    settings: CalculateSettings
    keys: frozenset[RowKey]
    """The ROIs that are estimated."""

    pattern: FixedPattern | None
    """What the camera shows in all of them."""

    def run(self, pairs: Sequence[RoiPair]) -> Iterator[Estimate]:
        """Give the estimate of each ROI, in order.

        Args:
            pairs: The ROIs of `keys`.

        Raises:
            FractalTasksError: An image is not as needed, or a process was ended from
                outside.
        """
        processes = min(given_cpus(), len(pairs))
        if processes == 1 or not self.method.takes_long:
            for index in range(len(pairs)):
                yield self.estimate(pairs, index)
            return
        try:
            yield from self._run_in_processes(len(pairs), processes)
        except BrokenProcessPool as error:
            raise FractalTasksError(
                f"{self.image.zarr_url}: one of {processes} processes that registered "
                "its ROIs was ended from outside, e.g. since memory ran out. Give the "
                "task more memory, or one CPU."
            ) from error

    def estimate(self, pairs: Sequence[RoiPair], index: int) -> Estimate:
        """Give the estimate of one of the ROIs, relative to the first corners."""
        pair = pairs[index]
        fixed, moving = prepare_pair(pair, self.settings, self.pattern)
        start_level = min(pair.fixed.side.start_level, len(fixed) - 1)
        # Tasks run side by side: more threads would only wait for each other, at full
        # load.
        with threadpool_limits(1, "blas"):
            found = self.method.estimate(fixed, moving, start_level=start_level)
        if self.pattern is not None:
            others = [one for one in pairs if one is not pair]
            found = self._doubt(found, pair, others, self.pattern)
        pair.release()
        return found

    def _doubt(
        self,
        estimate: Estimate,
        pair: RoiPair,
        others: Sequence[RoiPair],
        pattern: FixedPattern,
    ) -> Estimate:
        """Believe nothing of what may be the camera, and not the sample."""
        patches = pair.fixed.start_patch, pair.moving.start_patch
        doubted = [
            pattern.explains(*patches, _shift_um(one)) for one in estimate.candidates
        ]
        if any(doubted) and not pattern.shows_in(*patches):
            # It explains what matches no better than other fields do; but does it show?
            step = -(-len(others) // _OTHERS)
            views = [
                (fixed[0], moving[0])
                for fixed, moving in (
                    prepare_pair(one, self.settings, pattern)
                    for one in (pair, *others[::step])
                )
            ]
            if not shows_camera(views[0], views[1:]):
                doubted = [False] * len(doubted)
        return Estimate(
            tuple(
                replace(
                    one,
                    confidence=0.0 if is_doubted else one.confidence,
                    evidence={**one.evidence, "fixed_pattern": float(is_doubted)},
                )
                for one, is_doubted in zip(estimate.candidates, doubted, strict=True)
            )
        )

    def _open(self) -> list[RoiPair]:
        sides = open_sides(self.reference, self.image, self.settings, self.channels)
        pairs = open_pairs(*sides, self.method, self.settings)
        return [pair for pair in pairs if pair.key in self.keys]

    def _run_in_processes(self, count: int, processes: int) -> Iterator[Estimate]:
        context = multiprocessing.get_context("spawn")
        level = logging.getLogger(_PACKAGE).getEffectiveLevel()

        def begin(lifeline: Lifeline) -> ProcessPoolExecutor:
            return ProcessPoolExecutor(
                max_workers=processes,
                mp_context=context,
                initializer=_start,
                initargs=(self, level, lifeline),
            )

        with holding_lifeline(context, begin) as pool:
            for found, records in pool.map(_estimate, range(count)):
                for record in records:
                    logging.getLogger(record.name).handle(record)
                yield found


def _shift_um(candidate: Candidate) -> tuple[float, float]:
    _, y_um, x_um = candidate.transform.displacement_at(np.zeros(3))
    return y_um, x_um


class _Worker:
    """What a process needs for all of its ROIs."""

    estimation: Estimation
    pairs: Sequence[RoiPair]
    records: "_Records"


class _Records(QueueHandler):
    """Keeps lines of the log, to be given back with an estimate."""

    def __init__(self) -> None:
        self.kept: list[logging.LogRecord] = []
        super().__init__(self.kept)  # type: ignore[arg-type]  # only `enqueue` uses it

    def enqueue(self, record: logging.LogRecord) -> None:
        self.kept.append(record)


def _start(estimation: Estimation, level: int, lifeline: Lifeline) -> None:
    # It writes nothing: who began it says when it ends, and it ends at once.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    watch_lifeline(lifeline, lambda: os._exit(1))
    _Worker.estimation, _Worker.pairs = estimation, estimation._open()
    # What opening says has been said.
    _Worker.records = _Records()
    logging.root.handlers = [_Worker.records]
    logging.getLogger(_PACKAGE).setLevel(level)


def _estimate(index: int) -> tuple[Estimate, list[logging.LogRecord]]:
    found = _Worker.estimation.estimate(_Worker.pairs, index)
    records, _Worker.records.kept = _Worker.records.kept, []
    return found, records
