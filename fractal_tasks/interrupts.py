"""End on SIGTERM and SIGINT in order: clean up what was begun, and free locks.

SLURM sends SIGTERM before it kills a job that reached its time limit, as `scancel`
does, and Ctrl-C is SIGINT. The first signal becomes an exception in the main thread, so
that everything on the way out has its `finally`; the second ends the process at once.
So does a clean-up that takes longer than who sent the signal is likely to wait.
"""

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

MAX_CLEANUP_S = 5.0
"""From the signal to the end. SLURM kills 30 s after it, other schedulers sooner."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_WAKE_S = 0.1
"""Between signals to a main thread that waits without hearing them."""


class Stopped(SystemExit):
    """The process is to end, as a signal said; the exit code is that of shells."""

    code: int

    def __init__(self, number: int) -> None:
        """Stop by a signal of this number."""
        super().__init__(128 + number)
        self.signal_name = signal.Signals(number).name


class _State:
    """What has been received; signals are of the process, and so is this."""

    received: int | None = None
    second_ends = True
    deferred = 0
    """How many bodies of `undisturbed` the main thread is in."""


@contextmanager
def stopping_on_signals(
    max_cleanup_s: float = MAX_CLEANUP_S, *, second_ends: bool = True
) -> Iterator[None]:
    """Raise `Stopped` in the body on the first SIGTERM or SIGINT.

    Only in the main thread, where Python has its handlers; elsewhere nothing is done.

    Args:
        max_cleanup_s: After so long the process ends wherever it is. What is left then
            is what a kill leaves, and is healed by the next run.
        second_ends: Whether a second signal ends the process at once, or is ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _State.received = None
    _State.second_ends = second_ends
    # What a shell runs in its background is not to hear Ctrl-C.
    heard = [one for one in _SIGNALS if signal.getsignal(one) != signal.SIG_IGN]
    before = {number: signal.signal(number, _stop) for number in heard}
    # polars, which ngio imports, puts a handler for SIGINT before Python's, after which
    # the system goes on with a wait of the main thread. SIGURG, which is free to be
    # used and else ignored, ends the wait.
    before[signal.SIGURG] = signal.signal(signal.SIGURG, lambda number, frame: None)
    # Python writes the number of a signal here as it arrives, in whatever call of a
    # library the main thread is.
    watched, told = socket.socketpair()
    told.setblocking(False)
    wakeup = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    ended = threading.Event()
    limits = (watched, ended, max_cleanup_s)
    threading.Thread(target=_limit, args=limits, daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        _State.received = None
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        told.close()


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let a first signal wait until the body has ended; short bodies only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting = _State.received is None
    _State.deferred += 1
    try:
        yield
    finally:
        _State.deferred -= 1
        received = _State.received
        if waiting and received is not None and not _State.deferred:
            raise Stopped(received)


def is_stopping() -> bool:
    """Whether a signal has come."""
    return _State.received is not None


def _stop(number: int, frame: FrameType | None) -> None:
    if _State.received is not None:
        if _State.second_ends:
            os._exit(128 + number)
        return
    _State.received = number
    if not _State.deferred:
        raise Stopped(number)


def _limit(
    watched: socket.socket, ended: threading.Event, max_cleanup_s: float
) -> None:
    """End the process some time after a signal; return if the other end is closed."""
    main = threading.main_thread().ident or 0
    with watched:
        while number := watched.recv(1):
            if number[0] not in _SIGNALS:
                continue
            limit = time.monotonic() + max_cleanup_s
            while not ended.wait(_WAKE_S):
                if time.monotonic() > limit:
                    os._exit(128 + number[0])
                if _State.received is None:
                    signal.pthread_kill(main, signal.SIGURG)
