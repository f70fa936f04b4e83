"""Estimates of the ROIs of an image, in this process or in several."""

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fractal_tasks.cpus import given_cpus, giving_cpus
from fractal_tasks.errors import FractalTasksError, InvalidInputError
from fractal_tasks.registration.base import RegistrationMethod
from fractal_tasks.registration.estimate import Estimate
from tests.records.plates import image_url
from tests.steps.methods import InProcess, Moves, estimation_of

LIMIT_S = 60
"""Nobody waits so long, unless something is wrong."""


def run(plate: Path, method: RegistrationMethod, cpus: int) -> list[Estimate]:
    urls = image_url(plate, 1), image_url(plate, 0)
    estimation, pairs = estimation_of(*urls, method)
    with giving_cpus(cpus):
        return list(estimation.run(pairs))


def test_processes_give_what_one_gives_in_order(
    plate: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="fractal_tasks")
    found, lines = [], []
    for cpus in (1, 3):
        caplog.clear()
        found.append(run(plate, InProcess(), cpus))
        lines.append([line for line in caplog.messages if "first pixel" in line])
    here, there = found
    for one, other in zip(here, there, strict=True):
        first, second = one.best.evidence, other.best.evidence
        assert first["first_pixel"] == second["first_pixel"]
        assert first["process"] == os.getpid() != second["process"]
    assert lines[0] == lines[1]
    assert len(lines[0]) == 2


def test_method_that_is_fast_stays_in_this_process(plate: Path) -> None:
    method = Moves()
    run(plate, method, 2)
    assert len(method.calls) == 2


def test_error_of_a_process_is_that_of_the_method(plate: Path) -> None:
    with pytest.raises(InvalidInputError, match="ROI: found nothing"):
        run(plate, InProcess(fails=True), 2)


def test_process_that_is_killed_is_an_error_that_says_so(plate: Path) -> None:
    with pytest.raises(FractalTasksError, match=r"A/01/1: one of 2 processes"):
        run(plate, InProcess(kills=True), 2)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.sampled(2)
def test_processes_end_with_their_parent(plate: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "tests.steps.process_driver", str(plate)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        processes = {int(parent.stdout.readline()) for _ in range(2)}
        assert parent.pid not in processes
        assert len(processes) == 2
        parent.send_signal(number)
        assert parent.wait(LIMIT_S) in {-number, 128 + number}
        # They hold the other end until they are gone.
        assert parent.stdout.read() == ""


@pytest.mark.parametrize(
    ("text", "expected"), [("3", 3), ("0", 1), ("", 1), ("2(x4)", 1), (None, 1)]
)
def test_cpus_are_those_of_slurm_unless_they_are_given(
    monkeypatch: pytest.MonkeyPatch, text: str | None, expected: int
) -> None:
    if text is None:
        monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    else:
        monkeypatch.setenv("SLURM_CPUS_PER_TASK", text)
    assert given_cpus() == expected
    with giving_cpus(7):
        assert given_cpus() == 7
    assert given_cpus() == expected
