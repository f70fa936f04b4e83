"""Fit the constants of the confidence to synthetic plates, as `evidence.py` has them.

All candidates count that *calculate* stores, each with its evidence.

Its seeds are not those of `run.py`, which judges the result.
"""

import argparse
import itertools
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from conditions import CONDITIONS, Condition
from ours import TABLE, WELL, make_pairs, read_records
from scipy.optimize import minimize

from fractal_tasks.model import Measurement
from fractal_tasks.model.precision import within_pixel
from fractal_tasks.model.task_arguments import InitArgsRegistration
from fractal_tasks.registration.evidence import Evidence
from fractal_tasks.synthetic import PlateOptions, create_plate
from fractal_tasks.tasks.calculate_registration import calculate_registration

_FIRST_SEED = 500_000


@dataclass(frozen=True)
class Sample:
    """One candidate."""

    condition: str
    evidence: Evidence
    error_px: float
    """Largest difference from the truth along y and x."""


def measure_plate(
    condition: Condition, options: PlateOptions, level: str
) -> list[Sample]:
    """Register one plate and compare every candidate with the truth."""
    with tempfile.TemporaryDirectory() as folder:
        plate = create_plate(Path(folder) / "plate.zarr", options)
        pairs = make_pairs(plate, condition)
        calculate_registration(
            zarr_url=f"{plate}/{WELL}/1",
            init_args=InitArgsRegistration(reference_zarr_url=f"{plate}/{WELL}/0"),
            wavelength_id="A01_C01",
            level_path=level,
        )
        records = read_records(f"{plate}/{WELL}/1", TABLE)
    return [
        Sample(condition.name, evidence, error_px)
        for pair in pairs
        for evidence, error_px in _compare(records[pair.roi].measurement, pair.true_px)
    ]


def _compare(
    measurement: Measurement, true_px: list[float]
) -> Iterator[tuple[Evidence, float]]:
    """Give the evidence of each candidate, and how far it is from the truth."""
    for candidate in measurement.candidates:
        # Where nothing was found, there is nothing to learn from.
        if "ratio" not in candidate.evidence or candidate.error_um is None:
            continue
        evidence = Evidence(
            ratio=candidate.evidence["ratio"],
            lead=candidate.evidence["lead"],
            dissent=candidate.evidence["dissent"],
            error_px=candidate.error_um / measurement.pixel_um,
        )
        displacement_um = measurement.displacement_um(candidate)
        found_px = np.divide(displacement_um[1:], measurement.pixel_um)
        yield evidence, float(np.abs(found_px - true_px[1:]).max())


def fit_logistic(samples: list[Sample]) -> npt.NDArray[np.float64]:
    """Find intercept, slope per ln(ratio) and per ln(lead) of maximum likelihood."""
    evidence = [sample.evidence for sample in samples]
    logs = np.array([[1.0, *one.logs] for one in evidence])
    others = np.array([within_pixel(one.error_px) for one in evidence])
    right = np.array([sample.error_px < 1 for sample in samples])

    def loss(constants: npt.NDArray[np.float64]) -> float:
        found = others / (1 + np.exp(-logs @ constants))
        found = np.clip(found, 1e-9, 1 - 1e-9)
        return float(-np.where(right, np.log(found), np.log1p(-found)).sum())

    best: npt.NDArray[np.float64] = minimize(loss, np.zeros(3), method="Nelder-Mead").x
    return best


def main() -> None:
    """Measure all conditions from the coarsest and the finest level, and fit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plates", type=int, default=2, help="plates per condition")
    parser.add_argument("--output", type=Path, help="JSON file for the samples")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    samples: list[Sample] = []
    for index, (condition, level) in enumerate(itertools.product(CONDITIONS, "02")):
        seed = _FIRST_SEED + 100 * index
        for plate in condition.plates(options.plates, seed):
            samples += measure_plate(condition, plate, level)
        print(f"{condition.name}, level {level}", flush=True)
    if options.output:
        options.output.write_text(json.dumps([asdict(sample) for sample in samples]))
    print(f"{len(samples)} candidates: {np.round(fit_logistic(samples), 2).tolist()}")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
