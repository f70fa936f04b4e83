"""Cut the power at every step of a task, on every state that a disk may then hold.

Usage: `python -m stress.power_loss [--limit N] [--kills N] [--seed N] [--folder PATH]`.
Each task is recorded while it replaces images and tables by exchange and by two
renames, and again after it was killed at each of its last writes. After each step every
state of the disk is made that its flushes allow (`stress.disks`), about 4 N of them at
most, and the package heals it. What was replaced must then be the old or the new
version, byte for byte; what was not must be what it was; nothing else may be left. At
the end it must be the new version.

Then the same without one of the flushes: each must be seen to be needed.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fractal_tasks.errors import PublishError
from fractal_tasks.storage.local.publish import heal
from stress.disks import Disk, Tree, states
from stress.kills import JOBS, WELL, is_passing, replaced_part
from stress.launcher import Launch
from stress.plates import REGISTER, Stages, Unit
from stress.recording import Operation, read_operations, record
from stress.workers import Fault, be_quiet, report_success

# What a launch counts to know when to die.
WRITES = ("make file", "make folder", "remove", "rename")
IMAGES = ("0", "1", "2", "1_registered")


@dataclass(frozen=True)
class Recording:
    """What a task did to a plate, and the plate before and after it."""

    name: str
    unit: Unit
    before: Tree
    after: Tree
    operations: list[Operation]


def record_jobs(
    folder: Path, stages: Stages, cases: Sequence[tuple[str, bool, Sequence[int]]]
) -> Iterator[Recording]:
    """Record jobs, each on a plate of its own.

    Args:
        folder: Where to work.
        stages: The plates before.
        cases: Name of the job, whether it takes two renames, and the writes at which
            it is killed before it is run to the end.

    Raises:
        Fault: Something was done to the plate that was not recorded.
    """
    launches = []
    for number, (name, two_renames, deaths) in enumerate(cases):
        stage, unit = JOBS[name]
        plate = folder / f"{number}" / "plate.zarr"
        shutil.copytree(stages[stage].parent, plate.parent)
        launches += [
            Launch(unit, str(plate), two_renames, die_at=write)
            for write in (*deaths, None)
        ]
    record(launches, folder / "log")
    for number, (name, two_renames, deaths) in enumerate(cases):
        stage, unit = JOBS[name]
        plate = folder / f"{number}" / "plate.zarr"
        switch = "two renames" if two_renames else "exchange"
        before, after = read_plate(stages[stage]), read_plate(plate)
        disk = Disk(before)
        done = do_in_order(disk, read_operations(folder / "log", plate))
        name = f"{name}, {switch}" + (f", killed at {list(deaths)}" if deaths else "")
        if disk.tree() != after:
            raise Fault(f"{name}: not all that it did was recorded")
        yield without_bystanders(Recording(name, unit, before, after, done))


def do_in_order(disk: Disk, operations: Sequence[Operation]) -> list[Operation]:
    """Do what was recorded, and give it in the order in which it can have been done.

    Of threads, strace may tell that a folder was made after what was made in it.
    """
    done, early = [], []
    for operation in operations:
        waiting, early = [operation, *early], []
        for candidate in waiting:
            try:
                disk.do(candidate)
            except KeyError:
                early.append(candidate)
            else:
                done.append(candidate)
    return done


def without_bystanders(recording: Recording) -> Recording:
    """Leave out images that no operation touches: they need not be made each time."""

    def image_of(path: str) -> tuple[str, ...]:
        return tuple(path.split("/")[:3])

    touched = {
        image_of(path) for op in recording.operations for path in (op.path, op.target)
    }
    before, after = (
        {
            name: content
            for name, content in tree.items()
            if image_of(name) in touched or len(image_of(name)) < 3
        }
        for tree in (recording.before, recording.after)
    )
    return replace(recording, before=before, after=after)


def read_plate(plate: Path) -> Tree:
    """Give the content of every file, and None for every folder."""
    return {
        str(path.relative_to(plate)): None if path.is_dir() else path.read_bytes()
        for path in sorted(plate.rglob("*"))
    }


class _Plate:
    """A plate that is changed to one state after the other, file by file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[tuple[int, int, int], bytes] = {}
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        self._now: Tree = {}

    def change_to(self, tree: Tree) -> None:
        """Remove and write what is different."""
        now = self._now
        same = {name for name in now.keys() & tree.keys() if now[name] == tree[name]}
        for name in sorted(now.keys() - same, reverse=True):
            path = self.path / name
            if now[name] is not None:
                path.unlink()
            elif tree.get(name, b"") is not None:
                path.rmdir()
        for name in sorted(tree.keys() - same):
            content = tree[name]
            if content is None:
                (self.path / name).mkdir()
            else:
                (self.path / name).write_bytes(content)

    def read(self) -> Tree:
        """Give all that is there; no file is read twice."""
        tree: Tree = {}
        folders = [""]
        while folders:
            prefix = folders.pop()
            with os.scandir(self.path / prefix) as entries:
                for entry in entries:
                    name = prefix + entry.name
                    if entry.is_dir(follow_symlinks=False):
                        tree[name] = None
                        folders.append(name + "/")
                    else:
                        tree[name] = self._read_file(entry)
        self._now = tree
        return tree

    def _read_file(self, entry: "os.DirEntry[str]") -> bytes:
        status = entry.stat(follow_symlinks=False)
        version = (status.st_ino, status.st_mtime_ns, status.st_size)
        if version not in self._known:
            self._known[version] = Path(entry.path).read_bytes()
        return self._known[version]


class Judge:
    """Heals what is left of a plate, and says what is wrong with it then."""

    def __init__(self, recording: Recording, folder: Path) -> None:
        self._recording = recording
        self._plate = _Plate(folder / "plate.zarr")
        self._seen: dict[frozenset[tuple[str, bytes | None]], Counter[str]] = {}
        self._old = self._parts(recording.before)
        self._new = self._parts(recording.after)

    @property
    def count(self) -> int:
        """How many different states were healed."""
        return len(self._seen)

    def judge(self, state: Tree) -> Counter[str]:
        """Heal a state; give how many parts are unchanged, old and new.

        Raises:
            Fault: A part is torn or lost, or something is left.
        """
        key = frozenset(state.items())
        if key not in self._seen:
            self._seen[key] = self._compare(self._heal(state))
        return self._seen[key]

    def _heal(self, state: Tree) -> Tree:
        self._plate.change_to(state)
        for image in IMAGES:
            try:
                heal(self._plate.path / WELL / image)
            except PublishError as error:
                raise Fault(f"healing ends with {error}") from error
        return self._plate.read()

    def _compare(self, found: Tree) -> Counter[str]:
        left = [name for name in found if is_passing(f"plate.zarr/{name}")]
        if left:
            raise Fault(f"left over: {left[:5]}")
        now = self._parts(found)
        versions: Counter[str] = Counter()
        for part in sorted(self._old.keys() | self._new.keys() | now.keys()):
            old, new, tree = (
                parts.get(part, {}) for parts in (self._old, self._new, now)
            )
            if tree not in (old, new):
                raise Fault(f"{part} is neither the old nor the new")
            versions["same" if old == new else "old" if tree == old else "new"] += 1
        return versions

    def _parts(self, tree: Tree) -> dict[str, Tree]:
        parts: dict[str, Tree] = {}
        for name, content in tree.items():
            part = replaced_part(self._recording.unit, f"plate.zarr/{name}")
            parts.setdefault(part, {})[name] = content
        return parts


def cut_power(
    recording: Recording,
    folder: Path,
    limit: int,
    rng: random.Random,
    left_out: int | None = None,
) -> Counter[str]:
    """Judge each state that the disk may hold after each operation.

    Args:
        recording: What is done.
        folder: Where to make the states.
        limit: About four times this is the most that are tried after an operation.
        rng: Chooses which, where there are more.
        left_out: Number of an operation that is not done.

    Raises:
        Fault: One of the states cannot be healed.
    """
    disk = Disk(recording.before)
    judge = Judge(recording, folder)
    counts: Counter[str] = Counter()
    last: list[Counter[str]] = []
    for number, operation in enumerate(recording.operations):
        if number == left_out:
            continue
        if not disk.do(operation):
            counts["flushes with nothing to do"] += 1
        counts["steps"] += 1
        counts["flushes"] += operation.kind.startswith("flush")
        if left_out is not None and number < left_out:
            continue  # as if nothing were left out
        try:
            last = [judge.judge(state) for state in states(disk, limit, rng)]
        except Fault as fault:
            raise Fault(
                f"{recording.name}, after step {number} ({operation.kind} "
                f"{operation.path}): {fault}"
            ) from fault
        counts["states"] += len(last)
    if any(versions["old"] for versions in last):
        raise Fault(f"{recording.name}: done, but the power can still undo it")
    counts["different states"] = judge.count
    return counts


def find_needless(
    recording: Recording, folder: Path, limit: int, rng: random.Random
) -> list[str]:
    """Name the flushes without which no state is torn either."""
    needless = []
    for number, operation in enumerate(recording.operations):
        if not operation.kind.startswith("flush"):
            continue
        try:
            cut_power(recording, folder, limit, rng, left_out=number)
        except Fault:
            continue
        needless.append(f"{number} {operation.kind} {operation.path}")
    return needless


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, default=8)
    parser.add_argument("--kills", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where to work")
    options = parser.parse_args()
    be_quiet()
    folder = Path(tempfile.mkdtemp(prefix="stress-", dir=options.folder))
    start = time.monotonic()
    counts: Counter[str] = Counter()
    try:
        run_all(folder, options.limit, options.kills, options.seed, counts)
    except Fault as fault:
        print(f"FAULT (seed {options.seed}): {fault}")
        print(f"The plate is kept in {folder / 'cut'}.")
        return 1
    shutil.rmtree(folder)
    report_success(counts, start)
    return 0


def run_all(
    folder: Path, limit: int, kills: int, seed: int, counts: Counter[str]
) -> None:
    """Cut the power in all jobs, and leave out each flush of the shortest ones.

    Raises:
        Fault: A state cannot be healed, or a flush is not needed.
    """
    rng = random.Random(seed)
    # The small one: more files in a build make no other states of the switch.
    stages = Stages(folder / "stages", "csv", columns=1)
    stages.add_rejudged()
    # What `register` writes is written by the tasks one after the other.
    single = [name for name, (_, unit) in JOBS.items() if unit.task != REGISTER]
    undisturbed = [(name, two, ()) for name in single for two in (False, True)]
    recordings = list(record_jobs(folder / "jobs", stages, undisturbed))
    killed = []
    for recording, (name, two, _) in zip(recordings, undisturbed, strict=True):
        # The last writes are those of the switch and after it.
        writes = sum(op.kind in WRITES for op in recording.operations)
        killed += [(name, two, (writes - n,)) for n in range(1, kills + 1)]
    for recording in [*recordings, *record_jobs(folder / "killed", stages, killed)]:
        counts["recordings"] += 1
        found = cut_power(recording, folder / "cut", limit, rng)
        print(f"{recording.name}: {found['states']} states", flush=True)
        counts.update(found)
    for recording in recordings[:2]:
        needless = find_needless(recording, folder / "cut", 4 * limit, rng)
        if needless:
            raise Fault(f"{recording.name}: no need for {needless}")
        counts["flushes seen to be needed"] += sum(
            op.kind.startswith("flush") for op in recording.operations
        )


if __name__ == "__main__":
    sys.exit(main())
