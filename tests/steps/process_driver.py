"""Estimates ROIs in processes that never end by themselves."""

import os
import sys
from pathlib import Path
from threading import Event

from fractal_tasks.cpus import giving_cpus
from fractal_tasks.interrupts import stopping_on_signals
from fractal_tasks.registration.estimate import Estimate
from fractal_tasks.registration.patch import PatchPyramid
from tests.records.plates import image_url
from tests.steps.methods import InProcess, estimation_of


class Waits(InProcess):
    """Says which process it is in, and waits."""

    def estimate(
        self, fixed: PatchPyramid, moving: PatchPyramid, *, start_level: int
    ) -> Estimate:
        os.write(1, f"{os.getpid()}\n".encode())
        Event().wait()
        raise AssertionError


def main(plate: str) -> None:
    """Estimate all ROIs of a plate."""
    urls = image_url(Path(plate), 1), image_url(Path(plate), 0)
    estimation, pairs = estimation_of(*urls, Waits())
    with stopping_on_signals(), giving_cpus(2):
        list(estimation.run(pairs))


if __name__ == "__main__":
    main(*sys.argv[1:])
