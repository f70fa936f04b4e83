"""Score the finished plates, against fractal-tasks-core and the exact truth.

Usage: ``python benchmarks/accuracy/plate_run.py [--quick] [--peer-python PATH]``. Draws
plates under many conditions, runs all tasks of both packages on each, keeps what became
of every field in ``plates.json`` of the output folder, and writes PLATES.md with
`plate_tables.py`, which can also be run alone.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

HERE = Path(__file__).parent
# After this folder, for what the two benchmarks share.
sys.path.append(str(HERE.parent))

from measure import ENVIRONMENT  # noqa: E402
from packages import (  # noqa: E402
    Package,
    peer_environment,
    peer_package,
    this_package,
)
from plate_conditions import PLATE_KINDS  # noqa: E402
from plate_drawing import draw_plate  # noqa: E402
from plate_geometry import DrawnPlate, PlateKind  # noqa: E402
from plate_scores import FieldScore, save_scores, score_plate  # noqa: E402
from plate_tables import write_plates  # noqa: E402

FIRST_SEED = 2000
"""Of the first condition; each other has its own seeds, from the next hundred on."""
QUICK_SEED = 200_000
"""The same with ``--quick``: what is developed on these plates is judged on others."""
_QUICK_STEP = 3
"""So many conditions there are for each one with ``--quick``."""


@dataclass(frozen=True)
class _Runner:
    """A process that runs the tasks of one package."""

    package: Package
    questions: IO[str]
    answers: IO[str]

    def start(self, plate: DrawnPlate) -> None:
        """Let it run all tasks on a plate."""
        question = {"urls": plate.urls, "folder": str(plate.path.parent)}
        print(json.dumps(question), file=self.questions, flush=True)

    def finish(self, plate: DrawnPlate) -> tuple[list[FieldScore], dict[str, Any]]:
        """Wait until it is done; give what became of each field, and what it took."""
        line = self.answers.readline()
        if not line:
            raise RuntimeError(f"{self.package.name} failed: see its log in the output")
        answer = json.loads(line)
        scores = score_plate(
            plate, self.package.name, answer["own"], answer["registered"]
        )
        cost = {
            "condition": plate.kind.name,
            "package": self.package.name,
            "fields": len(scores),
            "cpu_s": answer["cpu_s"],
            "failed": answer["failed"],
        }
        return scores, cost


def main() -> None:
    options = _parse_options()
    options.output.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    first_seed = QUICK_SEED if options.quick else FIRST_SEED
    scores: list[FieldScore] = []
    costs: list[dict[str, Any]] = []
    kinds = [
        (kind, first_seed + 100 * index + plate)
        for index, kind in enumerate(PLATE_KINDS)
        if any(part in kind.name for part in options.only)
        and not (options.quick and index % _QUICK_STEP)
        for plate in range(options.plates)
    ]
    facts: dict[str, Any] = {
        "cores": os.cpu_count(),
        "plates": options.plates,
        "seeds": f"{first_seed} to {first_seed + 100 * len(PLATE_KINDS) - 1}",
    }
    source = options.output / "plates.json"
    with ExitStack() as stack:
        packages = _packages(options)
        facts["versions"] = {
            one.name: one.versions(one.name)[one.name] for one in packages
        }
        runners = [
            stack.enter_context(_start_runner(package, options.output))
            for package in packages
        ]
        for found, cost in _measure(kinds, runners):
            scores += found
            costs.append(cost)
            facts["minutes"] = (time.perf_counter() - started) / 60
            # Every time: what is there can be looked at while the rest is measured.
            save_scores(scores, costs, facts, source)
    incomplete = options.quick or any(options.only) or options.no_peer
    write_plates(source, options.output if incomplete else HERE)


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one other plate of every third condition, PLATES.md into the output",
    )
    parser.add_argument("--plates", type=int, help="plates per condition, default 3")
    parser.add_argument(
        "--only",
        nargs="+",
        default=[""],
        help="conditions with one of these in the name",
    )
    parser.add_argument("--peer-python", help="Python with fractal-tasks-core")
    parser.add_argument(
        "--no-peer", action="store_true", help="fractal-tasks alone, which is quicker"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(tempfile.gettempdir()) / "fractal-tasks-plates",
        help="folder for what is measured",
    )
    options = parser.parse_args()
    options.plates = options.plates or (1 if options.quick else 3)
    return options


def _packages(options: argparse.Namespace) -> list[Package]:
    if options.no_peer:
        return [this_package()]
    python = options.peer_python or peer_environment(HERE.parents[1] / ".venv-peer")
    return [this_package(), peer_package(python)]


@contextmanager
def _start_runner(package: Package, output: Path) -> Iterator[_Runner]:
    command = [package.python, str(HERE / "plate_tasks.py"), package.module]
    with (
        (output / f"{package.name}.log").open("w") as log,
        subprocess.Popen(
            [*command, *package.tasks],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=ENVIRONMENT,
        ) as process,
    ):
        yield _Runner(
            package, cast("IO[str]", process.stdin), cast("IO[str]", process.stdout)
        )


def _measure(
    kinds: list[tuple[PlateKind, int]], runners: list[_Runner]
) -> Iterator[tuple[list[FieldScore], dict[str, Any]]]:
    """Register every plate with every package, and draw the next one meanwhile."""
    with tempfile.TemporaryDirectory(prefix="fractal-tasks-plates-") as folder:
        running: list[DrawnPlate] = []
        for number, (kind, seed) in enumerate(kinds):
            print(f"{kind.name}, seed {seed}", flush=True)
            plates = _draw_copies(Path(folder) / f"{number}", kind, seed, runners)
            yield from _finish(running, runners)
            for runner, plate in zip(runners, plates, strict=True):
                runner.start(plate)
            running = plates
        yield from _finish(running, runners)


def _draw_copies(
    folder: Path, kind: PlateKind, seed: int, runners: list[_Runner]
) -> list[DrawnPlate]:
    """Draw a plate for each package."""
    drawn = draw_plate(folder / "drawn.zarr", kind, seed)
    copies = []
    for runner in runners:
        copy = folder / f"{runner.package.name}.zarr"
        copies.append(drawn.at(Path(shutil.copytree(drawn.path, copy))))
    return copies


def _finish(
    plates: list[DrawnPlate], runners: list[_Runner]
) -> Iterator[tuple[list[FieldScore], dict[str, Any]]]:
    # There is none before the first plate.
    for runner, plate in zip(runners, plates, strict=False):
        yield runner.finish(plate)
    if plates:
        shutil.rmtree(plates[0].path.parent)


if __name__ == "__main__":
    main()
