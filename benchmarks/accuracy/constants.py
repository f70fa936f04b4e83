"""Halve and double constants of the registration, one at a time, and see what changes.

Only such that have no source but a reason. What hardly matters needs none; what does is
where a better reason would pay.
"""

import argparse
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

import numpy as np
from conditions import CONDITIONS
from ours import TABLE, WELL, make_pairs, read_records
from plate_conditions import PLATE_KINDS
from plate_drawing import draw_plate
from tables import table

from fractal_tasks.model.task_arguments import InitArgsRegistration
from fractal_tasks.synthetic import create_plate
from fractal_tasks.tasks.calculate_registration import calculate_registration

_FIRST_SEED = 900_000
_SUBSET = (
    "easy, fields of 256",
    "sparse, 8 per field",
    "faint and dirty",
    "rotation 1 deg",
    "empty, dirty",
)
_FOREIGN_SUBSET = "debris 30", "debris 30, sparse", "camera pattern"
_CONSTANTS = {
    "likelihood": (
        "_SIGNIFICANCE",
        "_MAX_COHERENCE",
        "_CHANCE_TIMES",
        "_ITERATIONS",
        "_DISPERSION",
        "_FREEDOM",
    ),
    "motion": ("_GAIN", "_CONTRAST"),
    "correlation": ("_CANDIDATES", "_SHARPER"),
    "evidence": ("_CLEAR_SDS",),
    "brightness": ("_CLEAR_TIMES", "_LIMIT_TIMES"),
    "coarse": ("_DAZZLED", "_HEAP_UM"),
    "fixed_pattern": ("_VISIBLE", "_STILL_BINS", "_SURPRISING_SDS", "_RINGING"),
}
_RANGES = {
    "_MAX_COHERENCE": (0.5, 0.999),
    "_GAIN": (1.0, 2.3),
    "_SHARPER": (1.0, 2.5),
    "_DAZZLED": (0.5, 1.0),
}
"""Where half or double would make no sense."""


@dataclass(frozen=True)
class Score:
    """What comes out with one set of constants."""

    right: float
    """Part of the fields that are right within a pixel."""

    median_px: float
    """Error of these."""

    ratio: float
    """Median of error over standard error of these."""

    confident: float
    """Part of the right ones with a confidence of at least 0.9."""

    wrong: float
    """Part of all that are wrong with such a confidence."""

    def cells(self) -> list[str]:
        """Write the numbers of a row."""
        return [
            f"{self.right:.1%}",
            f"{self.median_px:.3f} px",
            f"{self.ratio:.2f}",
            f"{self.confident:.1%}",
            f"{self.wrong:.1%}",
        ]


Truth = dict[str, list[float]]
"""True translation (y, x) in pixels of each ROI; none where there is no answer."""


def measure_plates(plates: dict[Path, Truth]) -> Score:
    """Register the first well of all plates, and compare with the truth."""
    errors, standard, confidences = [], [], []
    for plate, truth in plates.items():
        calculate_registration(
            zarr_url=f"{plate}/{WELL}/1",
            init_args=InitArgsRegistration(reference_zarr_url=f"{plate}/{WELL}/0"),
            wavelength_id="A01_C01",
            level_path="2",
            rerun=True,
        )
        records = read_records(f"{plate}/{WELL}/1", TABLE)
        for name, record in records.items():
            one = record.measurement
            found_px = np.divide(one.displacement_um(one.best)[1:], one.pixel_um)
            errors.append(float(np.abs(found_px - truth.get(name, np.inf)).max()))
            standard.append((one.best.error_um or 0.0) / one.pixel_um)
            confidences.append(one.best.confidence or 0.0)
    error_px = np.array(errors)
    is_right, is_confident = error_px < 1, np.array(confidences) >= 0.9
    return Score(
        right=float(is_right.mean()),
        median_px=float(np.median(error_px[is_right])),
        ratio=float(np.median((error_px / np.array(standard))[is_right])),
        confident=float(is_confident[is_right].mean()),
        wrong=float((is_confident & ~is_right).mean()),
    )


def _variants() -> Iterator[tuple[str, str, float]]:
    """List module, name and other value of each constant."""
    for module, names in _CONSTANTS.items():
        for name in names:
            value = getattr(import_module(f"fractal_tasks.registration.{module}"), name)
            for other in _RANGES.get(name, (value / 2, value * 2)):
                yield module, name, type(value)(other)


def _draw_plates(folder: Path) -> Iterator[tuple[Path, Truth]]:
    for index, condition in enumerate(CONDITIONS):
        if condition.name in _SUBSET:
            (options,) = condition.plates(1, _FIRST_SEED + 100 * index)
            plate = create_plate(folder / f"{index}.zarr", options)
            pairs = make_pairs(plate, condition)
            yield plate, {one.roi: one.true_px[1:] for one in pairs if one.informative}
    for index, kind in enumerate(PLATE_KINDS):
        if kind.name in _FOREIGN_SUBSET:
            path = folder / f"foreign_{index}.zarr"
            drawn = draw_plate(path, kind, _FIRST_SEED + 100 * index)
            moved = {
                field.name: field.movements[0](field.pixels) - field.pixels
                for field in drawn.wells[WELL]
            }
            yield path, {name: one.mean((0, 1)).tolist() for name, one in moved.items()}


def main() -> None:
    """Measure all variants, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="Markdown file")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        plates = dict(_draw_plates(Path(folder)))
        rows = [["as it is", "", *measure_plates(plates).cells()]]
        for module, name, value in _variants():
            with ExitStack() as changed:
                target = import_module(f"fractal_tasks.registration.{module}")
                changed.enter_context(patch.object(target, name, value))
                score = measure_plates(plates)
            rows.append([f"`{module}.{name}`", f"{value:g}", *score.cells()])
            options.output.write_text(_write(rows), encoding="utf-8")


def _write(rows: list[list[str]]) -> str:
    header = ["constant", "value", "right", "error", "error / s.e.", "sure", "wrong"]
    return table(header, rows)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
