"""Run units in children that are killed at given instants.

`python -m stress.launcher` reads one `Launch` as JSON per line from its input and
writes what became of it. Children are forked from a process that has imported
everything and runs no thread, so that they begin to work at once.
"""

import importlib
import json
import os
import select
import signal
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fractal_tasks.storage.local import publish
from stress.plates import Unit
from stress.workers import be_quiet
from tests.tasks.fault_driver import Faults

# Imported by the tasks and by ngio when they first need it.
PRELOADED = (
    "anndata",
    "dask.array",
    "fractal_tasks.steps.derived_image",
    "fractal_tasks.tasks.apply_registration_to_image",
    "fractal_tasks.tasks.calculate_registration",
    "fractal_tasks.tasks.find_registration_consensus",
    "ngio.tables",
    "pandas",
    "scipy.optimize",
    "scipy.spatial",
    "zarr",
)


@dataclass(frozen=True)
class Launch:
    """A unit to run, and when to kill it."""

    unit: Unit
    plate: str
    two_renames: bool
    signal: int = signal.SIGKILL
    delay_s: float | None = None
    """Until the kill; None to let it run."""

    after_first_write: bool = False
    """Whether the delay begins with the first write, or with the unit."""

    die_at: int | None = None
    """Number of the write at which it kills itself."""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Launch":
        fields = json.loads(text)
        return cls(**{**fields, "unit": Unit(**fields["unit"])})


def launch(order: Launch) -> dict[str, Any]:
    """Run a unit; give its exit status and when it first wrote and ended, in s."""
    reader, writer = os.pipe()
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        _run(order, writer)
    os.close(writer)
    first_write_s = None
    end = None
    if order.delay_s is not None and not order.after_first_write:
        end = start + order.delay_s
    # Until the instant has come, or the child has ended.
    while select.select([reader], [], [], end and max(0, end - time.monotonic()))[0]:
        if not os.read(reader, 1):
            break
        first_write_s = time.monotonic() - start
        if order.delay_s is not None and order.after_first_write:
            end = time.monotonic() + order.delay_s
    if order.delay_s is not None:
        os.kill(child, order.signal)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(reader)
    return {
        "status": status,
        "first_write_s": first_write_s,
        "seconds": time.monotonic() - start,
    }


def _run(order: Launch, writer: int) -> None:
    """Run the unit in the child, and say when it first changes anything."""
    if order.two_renames:
        publish._exchange = lambda first, second: False
    faults = Faults()

    def tell(write: int) -> None:
        if write == 0:
            os.write(writer, b"w")
        if write == order.die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    code = 1
    try:
        # The lock beside the plate does not count.
        with faults.striking(Path(order.plate) / "A", tell):
            result = order.unit.run(Path(order.plate))
        code = result if isinstance(result, int) else 0
    finally:
        if sys.exc_info()[1] is not None:
            sys.excepthook(*sys.exc_info())
        os._exit(code)


def main() -> None:
    be_quiet()
    for name in PRELOADED:
        importlib.import_module(name)
    for line in sys.stdin:
        print(json.dumps(launch(Launch.from_json(line))), flush=True)


if __name__ == "__main__":
    main()
