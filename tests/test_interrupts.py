"""Processes that are told to end clean up, and are gone in time."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fractal_tasks.cli import main
from fractal_tasks.interrupts import Stopped, stopping_on_signals, undisturbed
from fractal_tasks.storage.local.locks import image_lock
from fractal_tasks.storage.local.publish import heal
from tests.cli.helpers import CHANNEL, IN_PROCESS
from tests.conftest import MakePlate

LIMIT_S = 60
"""Nobody waits so long, unless something is wrong."""

GENTLE = [(signal.SIGTERM, 143), (signal.SIGINT, 130)]


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    plate = tmp_path / "plate.zarr"
    images = [plate / "A" / "01" / name for name in "01"]
    for image in images:
        image.mkdir(parents=True)
        (image / "whole").write_text("old")
    (plate / ".zattrs").touch()  # locks lie beside plates
    return images


@contextmanager
def driver(
    images: list[Path], workers: int, stuck: str = "-", max_cleanup_s: float = LIMIT_S
) -> Iterator["subprocess.Popen[str]"]:
    """Start units, and wait until as many as there are workers are half done."""
    command = [sys.executable, "-m", "tests.interrupt_driver", str(workers), stuck]
    with subprocess.Popen(
        [*command, str(max_cleanup_s), *map(str, images)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        for _ in range(workers):
            assert read(process) == "building"
        yield process


def read(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def are_untouched(images: list[Path]) -> bool:
    return {path.name for path in images[0].parent.iterdir()} == {"0", "1"} and all(
        (image / "whole").read_text() == "old" for image in images
    )


@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["process", "group"])
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(("number", "code"), GENTLE)
@pytest.mark.sampled(3)
def test_signal_ends_all_processes_and_leaves_nothing(
    images: list[Path],
    workers: int,
    number: signal.Signals,
    code: int,
    send: Callable[[int, int], None],
) -> None:
    with driver(images, workers) as process:
        send(process.pid, number)
        assert process.wait(LIMIT_S) == code
        assert process.stderr is not None
        assert "leaked" not in process.stderr.read()
    assert are_untouched(images)
    for image in images:
        with image_lock(image):
            pass


def test_workers_end_when_their_parent_is_killed(images: list[Path]) -> None:
    with driver(images, 2) as process:
        process.kill()
        # Each holds its lock until it has cleaned up.
        for image in images:
            with image_lock(image):
                pass
    assert are_untouched(images)


@pytest.mark.parametrize("again", [True, False], ids=["second", "limit"])
def test_clean_up_ends_by_a_second_signal_or_after_its_time(
    images: list[Path], again: bool
) -> None:
    with driver(images, 1, "stuck", LIMIT_S if again else 0.1) as process:
        process.send_signal(signal.SIGTERM)
        assert read(process) == "cleaning"
        if again:
            process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 143
    assert not are_untouched(images)
    heal(images[0])
    assert are_untouched(images)


WAIT = """
import os, signal
from threading import Event, Timer
from fractal_tasks.interrupts import stopping_on_signals

with stopping_on_signals(%s):
    # As polars does, in C.
    signal.siginterrupt(signal.SIGINT, False)
    Timer(0.2, os.kill, [os.getpid(), signal.SIGINT]).start()
    try:
        Event().wait()
    finally:
        print("cleaned up")
"""


def test_signal_ends_a_wait_that_the_system_goes_on_with() -> None:
    command = [sys.executable, "-c", WAIT % LIMIT_S]
    ended = subprocess.run(command, capture_output=True, check=False, timeout=LIMIT_S)
    assert (ended.returncode, ended.stdout) == (130, b"cleaned up\n")


def test_second_signal_is_ignored_where_several_send_it() -> None:
    with stopping_on_signals(second_ends=False):
        with pytest.raises(Stopped):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)


def test_signal_that_a_shell_has_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stopping_on_signals():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_first_signal_waits_for_what_is_not_to_be_disturbed() -> None:
    done: list[str] = []

    def work() -> None:
        with undisturbed():
            with undisturbed():
                signal.raise_signal(signal.SIGTERM)
            done.append("rest")

    with stopping_on_signals(), pytest.raises(Stopped):
        work()
    assert done


def test_register_says_how_far_it_got_and_the_same_command_ends_it(
    make_plate: MakePlate,
) -> None:
    plate = make_plate()
    command = [Path(sys.executable).parent / "fractal-tasks", "register"]
    options = [*CHANNEL, "--workers", "1", "--log-level", "info"]
    with subprocess.Popen(
        [*command, plate, *options], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        # Consensus runs, and apply is still to come.
        while "find_registration_consensus" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGTERM)
        stopped = process.stderr.read()
        assert process.wait(LIMIT_S) == 143
    assert "Done so far: Calculate Registration (image-based), 2 of 2 units" in stopped
    assert "stopped by SIGTERM. Run the same command again" in stopped
    assert main(["register", str(plate), *CHANNEL, *IN_PROCESS, "--quiet"]) == 0
