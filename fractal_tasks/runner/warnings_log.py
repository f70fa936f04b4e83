"""What the package warns of while something runs, to be told again at its end."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@contextmanager
def collecting_warnings() -> Iterator[list[str]]:
    """Give a list to which each warning of the package's log is added.

    The log goes on as before. What its level leaves out is not collected either.
    """
    logger = logging.getLogger("fractal_tasks")
    collector = _Collector()
    logger.addHandler(collector)
    try:
        yield collector.messages
    finally:
        logger.removeHandler(collector)
