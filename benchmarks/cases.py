"""What is measured, case by case."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from measure import ENVIRONMENT, Cost, Unit, measure
from packages import Package
from report import Row, Section

PLATES_SCRIPT = str(Path(__file__).with_name("plates.py"))
FIELD_TABLE = "FOV_ROI_table"
WELL_TABLE = "well_ROI_table"
PEER_WELL_MEMORY_BYTES = 8e9
"""The peer takes 5.8 GB for a well of 16 fields of 2048 x 2048."""


@dataclass(frozen=True)
class Plate:
    """A plate of one well with two acquisitions, and the plate it was copied from."""

    path: Path
    pristine: Path

    @property
    def well(self) -> Path:
        """The folder of the only well."""
        return self.path / "A" / "01"

    def url(self, acquisition: int) -> str:
        """Give the zarr_url of an acquisition."""
        return str(self.well / str(acquisition))

    def reset(self) -> None:
        """Undo *apply*: remove the new image, also from the list of the well."""
        shutil.rmtree(f"{self.url(1)}_registered", ignore_errors=True)
        shutil.copy(self.pristine / "A" / "01" / ".zattrs", self.well)


@dataclass(frozen=True)
class Bench:
    """All that a case needs."""

    ours: Package
    peer: Package
    plates: dict[int, Path]
    """Plates as created, by number of fields."""
    folder: Path
    repeats: int
    imports: dict[str, Cost] = field(default_factory=dict)
    """Cost of the imports, by package and task."""

    def plate(self, package: Package, fields: int) -> Plate:
        """Give the package's own copy of a plate."""
        path = self.folder / package.name / f"{fields}.zarr"
        if not path.exists():
            shutil.copytree(self.plates[fields], path)
            truth = f"{self.plates[fields]}.truth.json"
            shutil.copy(truth, f"{path}.truth.json")
        return Plate(path, self.plates[fields])

    def above_imports(self, package: Package, task: str, cost: Cost) -> Cost:
        """Give what a run of a task took beyond its imports."""
        imports = self.imports[f"{package.name} {task}"]
        return Cost(
            cpu_s=cost.cpu_s - imports.cpu_s,
            wall_s=cost.wall_s - imports.wall_s,
            peak_mb=cost.peak_mb - imports.peak_mb,
        )

    def calculate(self, package: Package, plate: Plate, table: str, level: str) -> Unit:
        """Give the process that measures the shifts of acquisition 1."""
        arguments = {
            "zarr_url": plate.url(1),
            "init_args": {"reference_zarr_url": plate.url(0)},
            "wavelength_id": "A01_C01",
            "input_roi_table": table,
            "level_path": level,
        }
        return package.run_task(package.calculate, arguments, self.folder)

    def consensus(self, package: Package, plate: Plate) -> Unit:
        """Give the process that finds the common regions of the well."""
        arguments = {
            "zarr_url": plate.url(0),
            "init_args": {"zarr_url_list": [plate.url(0), plate.url(1)]},
        }
        return package.run_task(package.consensus, arguments, self.folder)

    def apply(self, package: Package, plate: Plate) -> Unit:
        """Give the process that writes acquisition 1 registered, beside the old."""
        arguments = {
            "zarr_url": plate.url(1),
            "registered_roi_table": f"{FIELD_TABLE}_registered",
            "overwrite_input": False,
        }
        return package.run_task(package.apply, arguments, self.folder, plate.reset)


def start_up(bench: Bench) -> Section:
    """Measure the imports of every task; also for the other cases."""
    units: dict[str, Unit] = {"ngio": Unit([bench.ours.python, "-c", "import ngio"])}
    for task in bench.ours.tasks:
        units[f"{task} to first line"] = bench.ours.import_task(task)
    for package in (bench.ours, bench.peer):
        for task in package.tasks:
            name = f"{package.name} {task}"
            units[name] = package.import_task(task, package.deferred)
    # Once without measuring, for the compiled modules and the file system's cache.
    measure(units, repeats=1)
    costs = measure(units, bench.repeats)
    bench.imports.update(costs)
    rows = []
    for task in bench.ours.tasks:
        cost = costs[f"{task} to first line"]
        against = f"`{task}`, against `import ngio`"
        rows.append(Row(against, cost.cpu_s, costs["ngio"].cpu_s, "s", at_most=1.15))
    for task, peer_task in zip(bench.ours.tasks, bench.peer.tasks, strict=True):
        ours = costs[f"{bench.ours.name} {task}"]
        peer = costs[f"{bench.peer.name} {peer_task}"]
        rows.append(Row(f"`{task}` and ngio", ours.cpu_s, peer.cpu_s, "s"))
    return Section(
        "Start-up",
        "CPU time from the start of the process to the first line of the task. The "
        "tasks import ngio when they open the first image, so it is added where they "
        "are compared with fractal-tasks-core. *Imports* below means: with ngio.",
        rows,
    )


def calculate_by_field(bench: Bench, fields: int) -> Section:
    """Measure *calculate* by field of view, and its errors."""
    ours, peer = bench.ours, bench.peer
    our_plate, peer_plate = bench.plate(ours, fields), bench.plate(peer, fields)
    errors: dict[str, list[float]] = {}
    costs: dict[str, Cost] = {}
    # The peer's level 0 comes last: *apply* uses what it wrote.
    for name, package, plate, level in (
        ("ours", ours, our_plate, "2"),
        ("level 2", peer, peer_plate, "2"),
        ("level 0", peer, peer_plate, "0"),
    ):
        unit = bench.calculate(package, plate, FIELD_TABLE, level)
        costs |= measure({name: unit}, bench.repeats)
        errors[name] = _ask_plates("errors", str(plate.path))
    rows = []
    for level, times_less in (("level 0", 3.0), ("level 2", None)):
        rows += _cost_rows(
            bench,
            (ours.calculate, costs["ours"]),
            (peer.calculate, costs[level]),
            against=f", peer at {level}",
            cpu_times_less=times_less,
            memory_times_less=2.0 if times_less else None,
        )
        for what, statistic in (("median", median), ("largest", max)):
            mine, theirs = statistic(errors["ours"]), statistic(errors[level])
            rows.append(Row(f"{what} error, peer at {level}", mine, theirs, "px"))
    return Section(
        "Calculate, field by field",
        f"{fields} fields, `level_path=2`, compared with fractal-tasks-core at level 0 "
        "and at level 2. Errors are distances from the true shift in pixels of level "
        "0; the true shifts are not whole pixels, the peer's answers are.",
        rows,
    )


def calculate_by_well(bench: Bench, few: int, many: int) -> Section:
    """Measure *calculate* on a whole well, and how its memory grows."""
    ours, peer = bench.ours, bench.peer
    units = {
        "few": bench.calculate(ours, bench.plate(ours, few), WELL_TABLE, "2"),
        "many": bench.calculate(ours, bench.plate(ours, many), WELL_TABLE, "2"),
        "peer": bench.calculate(peer, bench.plate(peer, few), WELL_TABLE, "0"),
    }
    costs = measure(units, bench.repeats)
    rows = _cost_rows(
        bench,
        (ours.calculate, costs["few"]),
        (peer.calculate, costs["peer"]),
        against=f", {few} fields",
    )
    if _available_memory() > PEER_WELL_MEMORY_BYTES:
        unit = bench.calculate(peer, bench.plate(peer, many), WELL_TABLE, "0")
        rows += _cost_rows(
            bench,
            (ours.calculate, costs["many"]),
            (peer.calculate, measure({"peer, many": unit}, repeats=1)["peer, many"]),
            against=f", {many} fields",
        )
    small, large = costs["few"].peak_mb, costs["many"].peak_mb
    growth = f"peak memory, {many} fields against {few}"
    rows.append(Row(growth, large, small, "MB", at_most=1.1))
    return Section(
        "Calculate, whole well",
        "The well as one ROI, `level_path=2`, compared with fractal-tasks-core at "
        f"level 0 ({many} fields: measured once).",
        rows,
    )


def consensus(bench: Bench, fields: int) -> Section:
    """Measure *find consensus* on a well; *apply* uses what it writes."""
    ours, peer = bench.ours, bench.peer
    units = {
        "ours": bench.consensus(ours, bench.plate(ours, fields)),
        "peer": bench.consensus(peer, bench.plate(peer, fields)),
    }
    costs = measure(units, bench.repeats)
    rows = _cost_rows(
        bench, (ours.consensus, costs["ours"]), (peer.consensus, costs["peer"])
    )
    return Section("Find consensus", f"Two acquisitions of {fields} fields.", rows)


def apply(bench: Bench, fields: int, sizes: list[int]) -> Section:
    """Measure *apply*, how its memory grows, and how far it is from the floor."""
    ours, peer = bench.ours, bench.peer
    for size in sizes:
        plate = bench.plate(ours, size)
        if size != fields:
            measure({f"calculate, {size}": _calculate_for_apply(bench, plate)}, 1)
            measure({f"consensus, {size}": bench.consensus(ours, plate)}, 1)
    units = {f"ours, {n}": bench.apply(ours, bench.plate(ours, n)) for n in sizes}
    units["peer"] = bench.apply(peer, bench.plate(peer, fields))
    costs = measure(units, bench.repeats)
    mine = costs[f"ours, {fields}"]
    rows = _cost_rows(
        bench,
        (ours.apply, mine),
        (peer.apply, costs["peer"]),
        cpu_times_less=2.0,
        wall_times_less=3.0,
    )
    for small, large in itertools.pairwise(sizes):
        before, after = costs[f"ours, {small}"].peak_mb, costs[f"ours, {large}"].peak_mb
        growth = f"peak memory, {large} fields against {small}"
        rows.append(Row(growth, after, before, "MB", at_most=1.1))
    floor_s = _floor_cpu(bench, fields)
    beyond = bench.above_imports(ours, ours.apply, mine).cpu_s
    rows.append(
        Row("CPU above imports, against the floor", beyond, floor_s, "s", at_most=2)
    )
    return Section(
        "Apply",
        f"{fields} fields, 2 channels, whole pixels, with all levels, input kept; each "
        "package from the tables it wrote itself. The floor: decode, encode and write "
        "every chunk of every level once, in one thread.",
        rows,
    )


def _calculate_for_apply(bench: Bench, plate: Plate) -> Unit:
    return bench.calculate(bench.ours, plate, FIELD_TABLE, "2")


def _floor_cpu(bench: Bench, fields: int) -> float:
    plate = bench.plate(bench.ours, fields)
    runs = []
    for _ in range(bench.repeats):
        plate.reset()
        new_url = f"{plate.url(1)}_registered"
        runs.append(_ask_plates("floor", plate.url(1), new_url)["cpu_s"])
    plate.reset()
    return float(median(runs))


def _cost_rows(
    bench: Bench,
    ours: tuple[str, Cost],
    peer: tuple[str, Cost],
    *,
    against: str = "",
    cpu_times_less: float | None = None,
    wall_times_less: float | None = None,
    memory_times_less: float | None = None,
) -> list[Row]:
    """Compare two runs, each given with its task, whole and above the imports."""
    (_, mine), (_, theirs) = ours, peer
    my_own, their_own = (
        bench.above_imports(package, task, cost)
        for package, (task, cost) in ((bench.ours, ours), (bench.peer, peer))
    )
    return [
        Row(f"CPU{against}", mine.cpu_s, theirs.cpu_s, "s", cpu_times_less),
        Row(
            f"CPU above imports{against}",
            my_own.cpu_s,
            their_own.cpu_s,
            "s",
            cpu_times_less,
        ),
        Row(f"wall{against}", mine.wall_s, theirs.wall_s, "s", wall_times_less),
        Row(f"peak memory{against}", mine.peak_mb, theirs.peak_mb, "MB"),
        Row(
            f"memory above imports{against}",
            my_own.peak_mb,
            their_own.peak_mb,
            "MB",
            memory_times_less,
        ),
    ]


def _ask_plates(*arguments: str) -> Any:  # noqa: ANN401 (JSON)
    answer = subprocess.run(
        [sys.executable, PLATES_SCRIPT, *arguments],
        check=True,
        stdout=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    return json.loads(answer.stdout)


def _available_memory() -> float:
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
