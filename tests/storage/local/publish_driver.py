"""Strike `publish` at each thing it asks of the file system, and tell what is left.

`python publish_driver.py FAULT SWITCH TREE TARGET DIRECTORY` prints a JSON object for
the tests to judge. FAULT is kill, fail once, fail from then on, or read; SWITCH is
exchange or two renames; TREE is image, table or file; TARGET exists, is linked from an
archive, or is missing before.

It forks a child per point, which is cheap here and not safe in pytest's own process. An
audit hook counts the child's file system calls: no point depends on where somebody
thought of putting a test hook.
"""

import errno
import json
import logging
import os
import re
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from fractal_tasks.errors import PublishError
from fractal_tasks.storage.local import publish

TREES = {
    "image": (".", ["zarr.json", "0/c"]),
    "table": ("tables/FOV", ["zarr.json", "x/c"]),
    "file": ("tables/zarr.json", []),
}


class Plate:
    """A well with two images; the first, or a part of it, gets replaced."""

    def __init__(self, root: Path, tree: str, target: str) -> None:
        inner, self.files = TREES[tree]
        self.well = root / "plate.zarr" / "B" / "03"
        self.image = self.well / "1"
        self.target = self.image / inner
        self.before = target
        self.archive = root / "archive"
        self.is_file = not self.files
        self.bystanders = [self.well / "zarr.json", self.well / "2" / "zarr.json"]
        if self.target != self.image:
            self.bystanders.append(self.image / "zarr.json")

    def create(self) -> None:
        shutil.rmtree(self.well, ignore_errors=True)
        self.target.parent.mkdir(parents=True)
        for path in self.bystanders:
            _write(path, "untouched")
        if self.before == "exists":
            self.build(self.target, "old")
        elif self.before == "linked":
            shutil.rmtree(self.archive, ignore_errors=True)
            self.build(self.archive / "one", "old")
            self.target.symlink_to(self.archive / "one")

    def build(self, path: Path, version: str) -> None:
        if self.is_file:
            _write(path, version)
        for name in self.files:
            _write(path / name, version)

    def replace(self, version: str = "new") -> None:
        if self.is_file:
            publish.replace_file(self.target, version.encode(), image=self.image)
            return
        with publish.replace_directory(
            self.target, image=self.image, validate=lambda build: None
        ) as build:
            self.build(build, version)

    def heal(self) -> None:
        publish.heal(self.image)

    def state(self) -> str:
        """The version of the target if it is one as a whole, 'missing' or 'broken'."""
        if not self.target.exists():
            return "missing"
        if self.is_file:
            return self.target.read_text()
        found = {
            path.relative_to(self.target).as_posix(): path.read_text()
            for path in self.target.rglob("*")
            if path.is_file()
        }
        versions = set(found.values())
        if found.keys() != set(self.files) or len(versions) != 1:
            return "broken"
        return versions.pop()

    def has_only_itself(self) -> bool:
        """True if only the target has changed: not what is beside it or linked."""
        beside = {
            path
            for path in self.well.rglob("*")
            if path.is_file() and not path.is_relative_to(self.target)
        }
        hidden = list(self.well.rglob(".*"))
        linked = [path for path in self.archive.rglob("*") if path.is_file()]
        return (
            len(linked) == (max(1, len(self.files)) if self.archive.exists() else 0)
            and all(path.read_text() == "old" for path in linked)
            and beside - set(self.bystanders) == set()
            and not hidden
            and all(path.read_text() == "untouched" for path in self.bystanders)
        )

    def fingerprint(self) -> str:
        """All names and contents in the well, but for the workspace's random name."""
        content = [
            (str(path), path.read_text() if path.is_file() else "")
            for path in sorted(self.well.rglob("*"))
        ]
        text = re.sub("[0-9a-f]{32}", "<uuid>", json.dumps(content))
        return re.sub('"pid[^}]*', "", re.sub("created[^,]*", "", text))


def strike(fault: str, point: int, action: Callable[[], None]) -> tuple[str, bool]:
    """Run `action` in a child that meets `fault` at its file system call `point`.

    Returns:
        How the child ended, and whether it came as far as `point`.
    """
    child = os.fork()
    if child == 0:
        calls = count()

        def hook(event: str, _: tuple[Any, ...]) -> None:
            if event != "open" and not event.startswith(("os.", "shutil.")):
                return
            call = next(calls)
            if fault == "kill" and call == point:
                os.kill(os.getpid(), signal.SIGKILL)
            if call == point or (fault == "fail from then on" and call > point):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        sys.addaudithook(hook)
        code = 0
        try:
            action()
        except PublishError:
            code = 1
        except BaseException:  # noqa: BLE001 - reported to the test by the exit code
            code = 2
        os._exit(code + (10 if next(calls) > point else 0))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status < 0:
        return "killed", True
    return ("done", "PublishError", "other error")[status % 10], status >= 10


def strike_everywhere(fault: str, plate: Plate) -> dict[str, Any]:
    """Strike a replacement at each point, and healing what is left at each point."""
    seen: dict[str, Counter[str]] = {
        name: Counter()
        for name in ("ended", "struck", "heal struck", "healed", "clean", "rerun")
    }
    fingerprints = set()
    for point in count():
        plate.create()
        ended, reached = strike(fault, point, plate.replace)
        if not reached:
            break
        seen["ended"][ended] += 1
        seen["struck"][plate.state()] += 1
        if plate.fingerprint() in fingerprints:
            continue
        fingerprints.add(plate.fingerprint())
        saved = plate.well.with_name("saved")
        shutil.copytree(plate.well, saved, symlinks=True)
        # After a lasting failure it would only meet again what a kill leaves.
        for heal_point in count() if fault != "fail from then on" else [0]:
            shutil.rmtree(plate.well)
            shutil.copytree(saved, plate.well, symlinks=True)
            _, reached = strike(fault, heal_point, plate.heal)
            seen["heal struck"][plate.state()] += 1
            plate.heal()
            plate.heal()
            seen["healed"][plate.state()] += 1
            seen["clean"][str(plate.has_only_itself())] += 1
            if not reached:
                break
        shutil.rmtree(saved)
        plate.replace()
        seen["rerun"][plate.state()] += 1
    return {"points": point, "states": len(fingerprints), **seen}


def read_while_replaced(plate: Plate, replacements: int = 200) -> dict[str, Any]:
    """Read a target again and again while another process replaces it."""
    plate.create()
    child = os.fork()
    if child == 0:
        for number in range(replacements):
            plate.replace(("new", "old")[number % 2])
        os._exit(0)
    seen: Counter[str] = Counter()
    running = True
    while running:
        running = os.waitpid(child, os.WNOHANG)[0] == 0
        # Held open, the inode is not used again: the same number is the same version.
        descriptor = os.open(plate.target, os.O_RDONLY | os.O_DIRECTORY)
        try:
            state = plate.state()
        except OSError:
            state = "removed while reading"
        if os.path.samestat(os.fstat(descriptor), os.stat(plate.target)):
            seen[state] += 1
        os.close(descriptor)
    return dict(seen)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def main() -> None:
    fault, switch, tree, target, directory = sys.argv[1:]
    logging.disable()
    # Flushing guards against power loss, which no test here can stage.
    publish._flush_file_system = lambda path: None
    os.fsync = lambda descriptor: None
    if switch == "two renames":
        publish._exchange = lambda first, second: False
    plate = Plate(Path(directory), tree, target)
    if fault == "read":
        result = read_while_replaced(plate)
    else:
        result = strike_everywhere(fault, plate)
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
