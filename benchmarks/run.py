"""Measure fractal-tasks against fractal-tasks-core on the same plates in one run.

Usage: ``python benchmarks/run.py [--quick] [--peer-python PATH]``. Writes RESULTS.md;
with ``--quick``, which is for trying it out, only what ``--output`` says.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cases import (
    PLATES_SCRIPT,
    Bench,
    apply,
    calculate_by_field,
    calculate_by_well,
    consensus,
    start_up,
)
from measure import ENVIRONMENT
from packages import Package, peer_environment, peer_package, this_package
from report import write_report

HERE = Path(__file__).parent

LAYOUTS = {4: (2, 2), 8: (2, 4), 16: (4, 4)}
"""Rows and columns of fields, by number of fields."""


def main() -> None:
    options = _parse_options()
    started = time.perf_counter()
    peer_python = options.peer_python or peer_environment(HERE.parent / ".venv-peer")
    size_px = 512 if options.quick else 2048
    with tempfile.TemporaryDirectory(prefix="fractal-tasks-bench-") as folder:
        bench = Bench(
            ours=this_package(),
            peer=peer_package(peer_python),
            plates=_create_plates(Path(folder), size_px),
            folder=Path(folder),
            repeats=options.repeats,
        )
        sections = [
            start_up(bench),
            calculate_by_field(bench, 16),
            calculate_by_well(bench, 4, 16),
            consensus(bench, 16),
            apply(bench, 16, [8, 16]),
        ]
    introduction = _introduction(bench, size_px, time.perf_counter() - started)
    write_report(options.output, introduction, sections)
    print(f"written: {options.output}")


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fields of 512 x 512")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer-python", help="Python with fractal-tasks-core")
    parser.add_argument("--output", type=Path, help="default: RESULTS.md here")
    options = parser.parse_args()
    if options.output is None:
        name = "RESULTS-quick.md" if options.quick else "RESULTS.md"
        options.output = HERE / name
    return options


def _create_plates(folder: Path, size_px: int) -> dict[int, Path]:
    print(f"drawing plates of {list(LAYOUTS)} fields", flush=True)
    paths = {fields: folder / "created" / f"{fields}.zarr" for fields in LAYOUTS}

    def create(fields: int) -> None:
        arguments = [paths[fields], *LAYOUTS[fields], size_px]
        command = [sys.executable, PLATES_SCRIPT, "create", *map(str, arguments)]
        subprocess.run(command, check=True, env=ENVIRONMENT)

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        list(pool.map(create, sorted(LAYOUTS, reverse=True)))
    return paths


def _introduction(bench: Bench, size_px: int, seconds: float) -> str:
    memory_gb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    return f"""# Benchmarks

fractal-tasks against fractal-tasks-core, each in its own environment, on the same
synthetic plates in one run. Written by `make bench` (this run took {seconds / 60:.0f}
minutes); only the notes at the end are written by hand.

- **Plate**: one well, 2 acquisitions, 2 channels, uint16, fields and chunks of
  {size_px} x {size_px} pixels, 5 levels, OME-Zarr 0.4, no labels, shifts of up to 20 um
  (0.325 um per pixel), another 1 um from field to field.
- **Runs**: every run is a fresh process that runs the task's file as a Fractal server
  does, {bench.repeats} times. CPU (user and system time) and
  peak resident memory are medians, wall time is the minimum. *Above imports*: minus a
  process that only imports the task and what all tasks need. Threads of linear algebra
  libraries are set to 1, nothing else is limited.
- **Machine**: {platform.system()}, {platform.machine()}, {os.cpu_count()} cores,
  {memory_gb:.0f} GB; not idle, so CPU time says more than wall time.
- **fractal-tasks**: {_versions(bench.ours, "scipy")}
- **fractal-tasks-core**: {_versions(bench.peer, "scikit-image")}

*Compared with* is fractal-tasks-core unless the row says otherwise.
"""


def _versions(package: Package, *names: str) -> str:
    versions = package.versions(package.name, "ngio", "zarr", "numpy", *names)
    return ", ".join(f"{name} {version}" for name, version in versions.items())


if __name__ == "__main__":
    main()
