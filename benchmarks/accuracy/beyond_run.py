"""Score finished plates that turned, grew or bent, against the exact truth.

Usage: ``python benchmarks/accuracy/beyond_run.py [--quick] [--only NAME ...]``. Draws
plates as `plate_run.py` does, runs all tasks of this package on each with the methods
that are meant for it, and writes BEYOND.md and beyond.png with `beyond_report.py`,
which can also be run alone.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
import warnings
from logging import WARNING, disable
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

HERE = Path(__file__).parent
# After this folder, for what the two benchmarks share.
sys.path.append(str(HERE.parent))

from beyond_conditions import CONDITIONS, METHODS, Condition  # noqa: E402
from beyond_report import write_beyond  # noqa: E402
from beyond_scores import FieldErrors, save_fields, score_fields  # noqa: E402
from packages import this_package  # noqa: E402
from plate_drawing import draw_plate  # noqa: E402
from plate_tasks import Workflow, load_workflow  # noqa: E402

FIRST_SEED = 9000
"""Of the first condition; each other has its own, from the next hundred on."""
QUICK_SEED = 300_000
"""The same with ``--quick``: what is developed on these plates is judged on others."""


def main() -> None:
    options = _parse_options()
    options.output.mkdir(parents=True, exist_ok=True)
    warnings.simplefilter("ignore")
    disable(WARNING)
    started = time.perf_counter()
    first_seed = QUICK_SEED if options.quick else FIRST_SEED
    workflow = load_tasks()
    fields: list[FieldErrors] = []
    facts: dict[str, Any] = {
        "cores": os.cpu_count(),
        "plates": options.plates,
        "seeds": f"{first_seed} to {first_seed + 100 * len(CONDITIONS) - 1}",
        "cpu_s": {},
        "failed": [],
    }
    for index, condition in enumerate(CONDITIONS):
        if not any(part in condition.kind.name for part in options.only):
            continue
        for plate in range(options.plates):
            seed = first_seed + 100 * index + plate
            fields += _register_plate(condition, seed, workflow, facts)
            facts["minutes"] = (time.perf_counter() - started) / 60
            # Every time: what is there can be looked at while the rest is measured.
            save_fields(fields, facts, options.output)
    is_whole = not options.quick and options.only == [""]
    write_beyond(options.output, HERE if is_whole else options.output)


def load_tasks() -> Workflow:
    """Give the tasks of this package."""
    package = this_package()
    return load_workflow(package.module, package.tasks)


def _register_plate(
    condition: Condition, seed: int, workflow: Workflow, facts: dict[str, Any]
) -> list[FieldErrors]:
    """Draw a plate, and register a copy of it by each method."""
    name = condition.kind.name
    print(f"{name}, seed {seed}", flush=True)
    fields = []
    with tempfile.TemporaryDirectory(prefix="fractal-tasks-beyond-") as folder:
        drawn = draw_plate(Path(folder) / "drawn.zarr", condition.kind, seed)
        for method in condition.methods:
            path = Path(shutil.copytree(drawn.path, Path(folder) / "copy.zarr"))
            plate = drawn.at(path)
            with threadpool_limits(1, "blas"):
                found = workflow.run(plate.urls, folder, method=METHODS[method])
            own = score_fields(plate, method, found["own"], found["registered"])
            spent = facts["cpu_s"].setdefault(f"{name}, {method}", [])
            spent.append(found["cpu_s"]["calculate"] / len(own))
            facts["failed"] += found["failed"]
            fields += own
            shutil.rmtree(path)
    return fields


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one other plate per condition, BEYOND.md into the output",
    )
    parser.add_argument("--plates", type=int, help="plates per condition, default 2")
    parser.add_argument(
        "--only",
        nargs="+",
        default=[""],
        help="conditions with one of these in the name",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(tempfile.gettempdir()) / "fractal-tasks-beyond",
        help="folder for what is measured",
    )
    options = parser.parse_args()
    options.plates = options.plates or (1 if options.quick else 2)
    return options


if __name__ == "__main__":
    main()
