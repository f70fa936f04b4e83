"""Let the file system fail, or kill the process, at a chosen write of a task.

An audit hook counts what changes files below a folder: no point depends on where
somebody thought of putting a test hook.

`python fault_driver.py FOLDER < JOBS` kills tasks. JOBS is a JSON list of jobs
`{"plate", "function", "arguments", "points"}` with the plate's path inside FOLDER. For
every point, a copy of FOLDER beside it is worked on by a child that is killed before a
write: a fraction of the writes of an undisturbed run, or the first one after a path has
come to be. Prints the copies by job, the undisturbed one first. It forks before any
thread runs.
"""

import importlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CREATIONS = frozenset({"open", "os.mkdir"})
CHANGES = CREATIONS | {"os.rename", "os.remove", "os.rmdir", "os.truncate", "os.link"}


class Faults:
    """Counts writes below a folder, and strikes at the one numbered `point`."""

    def __init__(self) -> None:
        self.folder: str | None = None
        self.events = CHANGES
        self.writes = 0
        self.strike: Callable[[int], None] = lambda write: None
        # A hook cannot be removed: without a folder it does nothing.
        sys.addaudithook(self._see)

    def _see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.folder is None or event not in self.events:
            return
        if event == "open":
            flags = arguments[2]
            if not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_RDWR):
                return
        path = str(arguments[0])
        # shutil.rmtree names what it removes relative to an open directory.
        if path.startswith(self.folder) or not os.path.isabs(path):
            self.writes += 1
            self.strike(self.writes - 1)

    @contextmanager
    def striking(
        self,
        folder: Path,
        strike: Callable[[int], None] = lambda write: None,
        events: frozenset[str] = CHANGES,
    ) -> Iterator[None]:
        """Call `strike` with the number of each write below `folder`."""
        self.writes, self.strike, self.events = 0, strike, events
        self.folder = str(folder)
        try:
            yield
        finally:
            self.folder = None


def _run_killed(job: dict[str, Any], copy: Path, point: int | str | None) -> int:
    """Run a job in a child that dies at `point`; give the writes seen."""
    module = importlib.import_module(f"fractal_tasks.tasks.{job['function']}")
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        faults = Faults()

        def strike(write: int) -> None:
            if write == point or (isinstance(point, str) and (copy / point).exists()):
                os.kill(os.getpid(), signal.SIGKILL)

        text = json.dumps(job["arguments"]).replace("{folder}", str(copy))
        with faults.striking(copy, strike):
            getattr(module, job["function"])(**json.loads(text))
        os.write(writer, str(faults.writes).encode())
        os._exit(0)
    os.close(writer)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with os.fdopen(reader) as file:
        text = file.read()
    if status != (0 if point is None else -signal.SIGKILL):
        sys.exit(f"{job['function']} at {point}: ended with {status}")
    return int(text or 0)


def main() -> None:
    folder = Path(sys.argv[1])
    results = []
    for number, job in enumerate(json.load(sys.stdin)):
        copies = []
        writes = 0
        for index, point in enumerate([None, *job["points"]]):
            copy = folder.with_name(f"{folder.name}-{number}-{index}")
            shutil.copytree(folder, copy)
            if isinstance(point, float):
                point = round(point * writes)
            writes = _run_killed(job, copy, point) or writes
            copies.append(str(copy))
        results.append({"writes": writes, "copies": copies})
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
