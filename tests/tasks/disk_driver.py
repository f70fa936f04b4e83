"""Run the tasks on a disk that is full, read-only, limited or closed to the user.

`python -m tests.tasks.disk_driver KIND FOLDER < CASES` with KIND `mounted` (needs the
right to mount) or `plain`. CASES is a JSON list of pairs of a fault and a job. Each job
meets its fault on a copy of a plate of its own. Prints for each what the user read, and
whether anything had changed.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from fractal_tasks.errors import FractalTasksError
from fractal_tasks.synthetic import create_plate
from tests.conftest import SMALL
from tests.tasks.plates import (
    REGISTERED,
    TABLE,
    WELL,
    image_urls,
    run_apply,
    run_calculate,
    run_consensus,
    set_translations,
)

PAGE = 4096
PLATE = "plate.zarr"
# Of all backends, json makes the fewest files to copy.
OPTIONS = {
    "field_size_px": 64,
    "acquisitions": 2,
    "channels": 1,
    "levels": 3,
    "table_backend": "json",
}
SHIFTS_UM = {"FOV_1": (0.0, 1.3, 0.0), "FOV_2": (0.0, 0.0, 2.6)}
NOBODY = 65534

JOBS: dict[str, Callable[[list[str]], object]] = {
    "calculate": lambda urls: run_calculate(urls, level_path="1"),
    # The plate was judged already; to judge it again is what can be disturbed.
    "consensus": lambda urls: run_consensus(urls, rerun=True),
    "apply": lambda urls: run_apply(urls[1:]),
    "apply keeping": lambda urls: run_apply(urls[1:], overwrite_input=False),
}
Fault = Callable[[Path], AbstractContextManager[None]]


def full(pages: int) -> Fault:
    """A disk with so many free pages."""

    @contextmanager
    def strike(work: Path) -> Iterator[None]:
        filler = work.with_name("filler")
        disk = os.statvfs(work)
        filler.write_bytes(bytes(max(0, disk.f_bavail * disk.f_frsize - pages * PAGE)))
        try:
            yield
        finally:
            filler.unlink()

    return strike


@contextmanager
def read_only(work: Path) -> Iterator[None]:
    """A disk that is mounted read-only."""
    disk = str(work.parent)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)


def limited(size: int) -> Fault:
    """A limit for the size of a file, in bytes."""

    @contextmanager
    def strike(work: Path) -> Iterator[None]:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    return strike


def closed(path: str, mode: int) -> Fault:
    """A file or folder with other permissions."""

    @contextmanager
    def strike(work: Path) -> Iterator[None]:
        before = (work / path).stat().st_mode
        (work / path).chmod(mode)
        try:
            yield
        finally:
            (work / path).chmod(before)
            # A closed folder that was replaced lies where no one can remove it.
            for folder in work.glob(f"{PLATE}/{WELL}/.fractal-tasks-*/**"):
                folder.chmod(0o755)

    return strike


FAULTS: dict[str, Fault] = {
    **{f"full {pages}": full(pages) for pages in (0, 5, 25)},
    "read-only": read_only,
    **{f"limited {size}": limited(size) for size in (600, 2500)},
    "parent": closed(".", 0o555),
    "well": closed(f"{PLATE}/{WELL}", 0o555),
    "well unseen": closed(f"{PLATE}/{WELL}", 0o311),
    "reference": closed(f"{PLATE}/{WELL}/0", 0),
    "reference tables": closed(f"{PLATE}/{WELL}/0/tables", 0o555),
    "reference chunk": closed(f"{PLATE}/{WELL}/0/0/0/0/0/1", 0),
    "acquisition": closed(f"{PLATE}/{WELL}/1", 0),
    "acquisition closed": closed(f"{PLATE}/{WELL}/1", 0o555),
    "tables": closed(f"{PLATE}/{WELL}/1/tables", 0o555),
    "table": closed(f"{PLATE}/{WELL}/1/tables/{TABLE}/table/.zattrs", 0),
    "registered table": closed(
        f"{PLATE}/{WELL}/1/tables/{REGISTERED}/table/.zattrs", 0
    ),
    "chunk": closed(f"{PLATE}/{WELL}/1/0/0/0/0/1", 0),
    "label": closed(f"{PLATE}/{WELL}/1/labels/nuclei/0/0/0/0", 0),
}


def prepare(folder: Path) -> None:
    """Make a plate on which each job can run next."""
    plate = create_plate(folder / PLATE, SMALL.model_copy(update=OPTIONS))
    urls = image_urls(plate, 2)
    set_translations(urls[1], SHIFTS_UM)
    run_consensus(urls)
    # The first task on a plate has to make its folder of locks.
    shutil.rmtree(folder / f"{PLATE}.fractal-tasks-locks")


def run_job(name: str, folder: Path) -> str:
    """Run a job; give what the user reads."""
    try:
        JOBS[name](image_urls(folder / PLATE, 2))
    except FractalTasksError as error:
        return f"{type(error).__name__}: {error}"
    return "done"


def state_of(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder, hidden and empty folders included, but no locks."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if "-locks" not in path.relative_to(folder).parts[0]
    }


def become_nobody(folder: Path) -> None:
    """Give up the rights of root, for whom no file is closed."""
    if os.geteuid() != 0:
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def main() -> None:
    kind, folder, cases = sys.argv[1], Path(sys.argv[2]), json.load(sys.stdin)
    if kind == "mounted":
        mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
        subprocess.run(mount, check=True)
    prepared, work = folder / "prepared", folder / "work"
    prepare(prepared)
    if kind == "plain":
        # Nobody may not be able to import what the jobs need.
        for job in JOBS.values():
            shutil.copytree(prepared, work)
            job(image_urls(work / PLATE, 2))
            shutil.rmtree(work)
        become_nobody(folder)
    results: list[dict[str, Any]] = []
    for fault, name in cases:
        shutil.copytree(prepared, work)
        before = state_of(work)
        with FAULTS[fault](work):
            said = run_job(name, work)
        unchanged = state_of(work) == before
        shutil.rmtree(work)
        results.append({"said": said, "unchanged": unchanged})
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
