"""Kill the tasks at random instants, look at the plate, and run them again.

Usage: `python -m stress.kills [--kills N] [--seed N] [--folder PATH]`, with N kills in
each of the two ways to replace a directory (exchange, two renames). Ends with exit code
1 at the first fault.
"""

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

from ngio import open_ome_zarr_container, open_ome_zarr_plate

from stress.launcher import Launch
from stress.plates import (
    REGISTER,
    VARIANTS,
    Stages,
    Tree,
    Unit,
    apply_unit,
    calculate_unit,
    consensus_unit,
    differences,
    read_tree,
    register_unit,
)
from stress.workers import Fault, be_quiet, report_success

WELL = "A/01"
SIGNALS = (signal.SIGKILL, signal.SIGTERM)
# What is tried on the plate at which stage.
JOBS = {
    "calculate": ("raw", calculate_unit(WELL, 1)),
    # With the same arguments there would be nothing to write.
    "calculate again": ("calculated", calculate_unit(WELL, 2, method="chi2_shift")),
    "consensus": ("calculated", consensus_unit(WELL)),
    "consensus again": ("judged", consensus_unit(WELL, keep="reference")),
    "apply": ("judged", apply_unit(WELL, 1, overwrite=True)),
    "apply to the reference": ("judged", apply_unit(WELL, 0, overwrite=True)),
    "apply keeping": ("judged", apply_unit(WELL, 1, overwrite=False)),
    "apply keeping again": ("rejudged", apply_unit(WELL, 1, overwrite=False)),
    "register": ("raw", register_unit(overwrite=True)),
    "register again": ("calculated", register_unit(overwrite=True)),
    "register keeping": ("raw", register_unit(overwrite=False)),
}


@dataclass
class Case:
    """A task on a plate, and what it makes of it undisturbed."""

    name: str
    unit: Unit
    two_renames: bool
    before: Path
    after: Path
    first_write_s: float = 0
    seconds: float = 0

    def slow_down(self, seconds: float) -> None:
        """Take into account how long a run takes in the present load."""
        mean = (self.seconds + seconds) / 2
        self.first_write_s *= mean / self.seconds
        self.seconds = mean

    @cached_property
    def old(self) -> Tree:
        return read_tree(self.before)

    @cached_property
    def new(self) -> Tree:
        return read_tree(self.after)


class Kills:
    """Kills on one set of plates."""

    def __init__(self, folder: Path, seed: int, variants: tuple[str, ...]) -> None:
        self.folder = folder
        self.rng = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self._launcher = subprocess.Popen(
            [sys.executable, "-m", "stress.launcher"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._stages = {
            variant: Stages(folder / variant, variant, columns=1)
            for variant in variants
        }
        for stages in self._stages.values():
            stages.add_rejudged()
        self._cases: dict[tuple[str, str, bool], Case] = {}

    def close(self) -> None:
        """End the process that starts the tasks."""
        self._launcher.communicate()

    def run(self, name: str, variant: str, two_renames: bool) -> int:
        """Kill a job once or several times, then let it end; give the kills.

        Raises:
            Fault: The plate was torn, or the job did not end as undisturbed.
        """
        case = self._case(name, variant, two_renames)
        folder = self.folder / "killed"
        shutil.copytree(case.before, folder)
        kills = 0
        for _ in range(self.rng.choice([1, 1, 1, 2, 3])):
            kills += self._kill(case, folder)
        # All but the first hit a run that began with healing.
        self.counts["kills of a rerun"] += max(0, kills - 1)
        result = self._launch(case, folder)
        if result["status"] != 0:
            raise Fault("the last run, undisturbed, failed")
        if result["first_write_s"] is not None:
            case.slow_down(result["seconds"])
        wrong = list(differences(read_tree(folder), case.new))
        if wrong:
            raise Fault(f"after the last run {'; '.join(wrong[:20])}")
        shutil.rmtree(folder)
        return kills

    def _kill(self, case: Case, folder: Path) -> bool:
        """Run a job and kill it; True if it came to that before the end."""
        writes = self.rng.random() < 0.6
        duration = case.seconds - (case.first_write_s if writes else 0)
        with_signal = self.rng.choice(SIGNALS)
        result = self._launch(
            case,
            folder,
            signal=with_signal,
            delay_s=self.rng.random() * duration,
            after_first_write=writes,
        )
        if result["status"] not in (0, -with_signal, 128 + with_signal):
            raise Fault(f"the run failed: {result}")
        # Between two tasks a plate is neither the old nor the new.
        wrong = [] if case.unit.task == REGISTER else list(torn(case, folder))
        if wrong:
            raise Fault(f"after {with_signal.name} {'; '.join(wrong[:20])}")
        if result["status"] == 0:
            return False
        found = read_tree(folder)
        state = "changed nothing" if found == case.old else "left something"
        self.counts[f"{with_signal.name} of {case.name}"] += 1
        self.counts[f"kills that {state} to see"] += 1
        self.counts["kills with a workspace"] += any("/.fractal" in p for p in found)
        return True

    def _case(self, name: str, variant: str, two_renames: bool) -> Case:
        key = (name, variant, two_renames)
        if key not in self._cases:
            stage, unit = JOBS[name]
            before = self._stages[variant][stage].parent
            after = self.folder / f"{name}-{variant}-{two_renames}"
            case = self._cases[key] = Case(name, unit, two_renames, before, after)
            for _ in range(2):  # the first one warms up
                shutil.rmtree(after, ignore_errors=True)
                shutil.copytree(before, after)
                times = self._launch(case, after)
            case.first_write_s = times["first_write_s"]
            case.seconds = times["seconds"]
        return self._cases[key]

    def _launch(self, case: Case, folder: Path, **how: Any) -> dict[str, Any]:
        assert self._launcher.stdin is not None
        assert self._launcher.stdout is not None
        plate = str(folder / "plate.zarr")
        order = Launch(case.unit, plate, case.two_renames, **how)
        print(order.to_json(), file=self._launcher.stdin, flush=True)
        return json.loads(self._launcher.stdout.readline())


def torn(case: Case, folder: Path) -> Iterator[str]:
    """Name what is neither the old nor the new version as a whole, or cannot be read.

    Between two renames a directory may be missing: then both versions are set aside.
    """
    aside = list(folder.rglob(".fractal-tasks-*/old"))
    if aside and not case.two_renames:
        yield f"{aside} although there is an exchange"
    parts: dict[str, list[Tree]] = {}
    for index, tree in enumerate((case.old, case.new, read_tree(folder))):
        for name, content in tree.items():
            if is_passing(name):
                continue
            part = replaced_part(case.unit, name)
            parts.setdefault(part, [{}, {}, {}])[index][name] = content
    missing = []
    for part, (old, new, now) in parts.items():
        if aside and not now:
            missing.append(part)
        elif now not in (old, new):
            yield f"{part} is neither the old nor the new"
    if len(missing) > len(aside):
        yield f"{missing} are missing, set aside are {aside}"
    if not missing:
        open_all(folder / "plate.zarr")


def is_passing(name: str) -> bool:
    """Whether a file or folder is a workspace, a lock, or in one of them."""
    return "/.fractal-tasks-" in name or name.startswith("plate.zarr.")


def replaced_part(unit: Unit, name: str) -> str:
    """What a file is replaced with as a whole: its image or table, or itself."""
    depth = {"apply_registration_to_image": 4}.get(unit.task, 6)
    parts = name.split("/")
    if depth == 6 and parts[4:5] != ["tables"]:
        return name
    return "/".join(parts[:depth])


def open_all(plate: Path) -> None:
    """Read every image, label and table that a plate lists."""
    for path in open_ome_zarr_plate(plate, mode="r").images_paths():
        container = open_ome_zarr_container(plate / path, mode="r")
        for level in container.level_paths:
            container.get_image(path=level).get_as_numpy()
        for label in container.list_labels():
            for level in container.get_label(label).meta.paths:
                container.get_label(label, path=level).get_as_numpy()
        for table in container.list_tables():
            container.get_table(table).load_as_pandas_df()


def run_mode(kills: Kills, needed: int, two_renames: bool) -> None:
    """Kill each job in turn until there were as many kills as needed."""
    mode = "two renames" if two_renames else "exchange"
    start = time.monotonic()
    done = 0
    for number in count():
        if number % 50 == 0 or done >= needed:
            seconds = time.monotonic() - start
            print(f"{mode}: {number} plates, {done} kills, {seconds:.0f} s", flush=True)
        if done >= needed:
            return
        name = list(JOBS)[number % len(JOBS)]
        variant = VARIANTS[number // len(JOBS) % 4 > 0]
        try:
            done += kills.run(name, variant, two_renames)
        except Fault as fault:
            raise Fault(f"{name}, {variant} tables, {mode}: {fault}") from fault


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=250)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where to work")
    options = parser.parse_args()
    be_quiet()
    folder = Path(tempfile.mkdtemp(prefix="stress-", dir=options.folder))
    start = time.monotonic()
    kills = Kills(folder, options.seed, VARIANTS)
    try:
        for two_renames in (False, True):
            run_mode(kills, options.kills, two_renames)
    except Fault as fault:
        print(f"FAULT (seed {options.seed}): {fault}")
        print(f"The plate is kept in {folder / 'killed'}.")
        return 1
    finally:
        kills.close()
    shutil.rmtree(folder)
    report_success(kills.counts, start)
    return 0


if __name__ == "__main__":
    sys.exit(main())
