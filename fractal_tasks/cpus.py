"""How many CPUs a unit of work may use.

By default as many as SLURM gives it, or one: tasks run side by side, and each core that
one of them took unasked would be missing to another.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

_OF_SLURM = "SLURM_CPUS_PER_TASK"


class _State:
    """Of this process."""

    given: int | None = None


def given_cpus() -> int:
    """Give how many CPUs the unit that this process runs may use, at least 1."""
    if _State.given is not None:
        return _State.given
    text = os.environ.get(_OF_SLURM, "")
    return max(1, int(text)) if text.isdecimal() else 1


@contextmanager
def giving_cpus(count: int) -> Iterator[None]:
    """Let the units in the body use so many CPUs, whatever SLURM says."""
    before, _State.given = _State.given, count
    try:
        yield
    finally:
        _State.given = before
