"""Processes that end with the one that began them, whatever ends that."""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from multiprocessing.context import BaseContext
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

Lifeline: TypeAlias = "Connection[Any, Any]"
"""The end of a pipe to which nothing is ever written."""

_Workers = TypeVar("_Workers", bound=Executor)


@contextmanager
def holding_lifeline(
    context: BaseContext, begin: Callable[[Lifeline], _Workers]
) -> Iterator[_Workers]:
    """Give an executor with processes; what they have not begun is dropped at the end.

    If the body raises, or this process is gone, the lifeline is cut.

    Args:
        context: How the processes are started.
        begin: Makes the executor. Each process is to call `watch_lifeline`.
    """
    # Only this process has the end to write: once it is closed, by whom or whatever,
    # every other one knows.
    theirs, ours = context.Pipe(duplex=False)
    with theirs, ours:
        workers = begin(theirs)
        try:
            yield workers
        except BaseException:
            ours.close()
            raise
        finally:
            workers.shutdown(cancel_futures=True)


def watch_lifeline(lifeline: Lifeline, end: Callable[[], object]) -> None:
    """Call `end`, in a thread of its own, when the lifeline is cut."""

    def wait() -> None:
        lifeline.poll(None)
        end()

    Thread(target=wait, daemon=True).start()
