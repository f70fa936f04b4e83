"""Measure how right the estimates are, against other packages and the exact truth.

Usage: ``python benchmarks/accuracy/run.py [--quick] [--peer-python PATH]``. Draws
synthetic plates under many conditions, registers every field with every method, keeps
what was found in ``rows.json`` of the output folder, and writes RESULTS.md with
`summary.py`, which can also be run alone.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
# After this folder, for what the two benchmarks share.
sys.path.append(str(HERE.parent))

from comparing import Comparison, add_arguments, start_comparison  # noqa: E402
from conditions import CONDITIONS, Condition  # noqa: E402
from ours import make_pairs  # noqa: E402
from rows import Row, save_rows  # noqa: E402
from summary import write_summary  # noqa: E402

from fractal_tasks.synthetic import PlateOptions, create_plate  # noqa: E402

FIRST_SEED = 1000
"""Of the first condition; each other has its own seeds, from the next hundred on."""
QUICK_SEED = 100_000
"""The same with ``--quick``: what is developed on these plates is judged on others."""


def main() -> None:
    options = _parse_options()
    started = time.perf_counter()
    rows: list[Row] = []
    first_seed = QUICK_SEED if options.quick else FIRST_SEED
    levels = ("0", "2") if options.quick else ("0", "1", "2")
    with start_comparison(options, levels) as comparison:
        for index, condition in enumerate(CONDITIONS):
            if options.only in condition.name:
                print(condition.name, flush=True)
                plates = condition.plates(options.plates, first_seed + 100 * index)
                for plate in plates:
                    rows += _measure(condition, plate, comparison)
        facts = comparison.facts()
    facts |= {
        "minutes": (time.perf_counter() - started) / 60,
        "plates": options.plates,
        "seeds": f"{first_seed} to {first_seed + 100 * len(CONDITIONS) - 1}",
    }
    source = options.output / "rows.json"
    save_rows(rows, facts, source)
    incomplete = options.quick or options.only
    write_summary(source, options.output if incomplete else HERE, options.real)


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one other plate per condition, not level 1, RESULTS.md into the output",
    )
    parser.add_argument("--plates", type=int, help="plates per condition, default 4")
    parser.add_argument("--only", default="", help="conditions with this in the name")
    parser.add_argument("--real", type=Path, help="real.json of real.py, to include")
    add_arguments(parser)
    options = parser.parse_args()
    options.plates = options.plates or (1 if options.quick else 4)
    return options


def _measure(
    condition: Condition, options: PlateOptions, comparison: Comparison
) -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="fractal-tasks-accuracy-") as folder:
        plate = create_plate(Path(folder) / "plate.zarr", options)
        yield from comparison.register(plate, make_pairs(plate, condition))


if __name__ == "__main__":
    main()
