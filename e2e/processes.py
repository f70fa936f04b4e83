"""Processes that are stopped by their id, whatever happens."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

_GRACE_S = 10


class E2EError(Exception):
    """The run cannot go on, or found something wrong; the message says what."""


def run(
    command: Sequence[object],
    *,
    log: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    user: str | None = None,
) -> None:
    """Run a command to its end; what it writes is appended to `log`.

    Raises:
        E2EError: It failed; with the end of the log.
    """
    with running(command, log=log, cwd=cwd, env=env, user=user) as process:
        code = process.wait()
    if code != 0:
        shown = " ".join(map(str, command))
        raise E2EError(f"exit code {code}: {shown}\n{tail(log)}")


@contextmanager
def running(
    command: Sequence[object],
    *,
    log: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    user: str | None = None,
    stop_signal: signal.Signals = signal.SIGTERM,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in the background, and stop it and its children at the end.

    It gets a session of its own, so that Ctrl-C reaches this process only and the
    group with its id holds all that it started.
    """
    with log.open("ab") as file:
        process = subprocess.Popen(
            list(map(str, command)),
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=env,
            user=user,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _stop(process, stop_signal)


def wait_until(
    ready: Callable[[], bool],
    process: subprocess.Popen[bytes],
    *,
    log: Path,
    timeout_s: float,
) -> None:
    """Wait until a started process is ready.

    Raises:
        E2EError: It ended, or was not ready in time; with the end of its log.
    """
    end = time.monotonic() + timeout_s
    while not ready():
        if process.poll() is not None:
            raise E2EError(f"ended with code {process.returncode}\n{tail(log)}")
        if time.monotonic() > end:
            raise E2EError(f"not ready after {timeout_s:.0f} s\n{tail(log)}")
        time.sleep(0.2)


def tail(log: Path, characters: int = 4000) -> str:
    """Give the end of a log with its name."""
    text = log.read_text(errors="replace")[-characters:]
    return f"--- {log} ---\n{text}"


def interrupt_once() -> None:
    """Let Ctrl-C and a scheduler's SIGTERM raise KeyboardInterrupt, the first time.

    Later ones are ignored, so that they cannot cut the cleaning up short.
    """

    def interrupt(_number: int, _frame: object) -> None:
        for one in (signal.SIGINT, signal.SIGTERM):
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, interrupt)


def _stop(process: subprocess.Popen[bytes], stop_signal: signal.Signals) -> None:
    """End a process gently, then at once, with whatever is left of its group."""
    if process.poll() is None:
        process.send_signal(stop_signal)
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
