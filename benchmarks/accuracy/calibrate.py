"""Fit the constants of the confidence to synthetic plates, as `evidence.py` has them.

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
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
from conditions import CONDITIONS, Condition
from ours import WELL, make_pairs
from scipy.optimize import minimize

from fractal_tasks.registration.evidence import Evidence
from fractal_tasks.registration.measure import Fit
from fractal_tasks.registration.phase_cross_correlation import PhaseCrossCorrelation
from fractal_tasks.synthetic import PlateOptions, create_plate
from fractal_tasks.task_io import InitArgsRegistration
from fractal_tasks.tasks.calculate_registration import calculate_registration

_FIRST_SEED = 500_000


@dataclass(frozen=True)
class Sample:
    """One measured shift."""

    condition: str
    evidence: Evidence
    error_px: float
    """Largest difference from the truth along y and x."""


def measure_plate(
    condition: Condition, options: PlateOptions, level: str
) -> list[Sample]:
    """Register one plate and compare every shift that was measured with the truth."""
    with tempfile.TemporaryDirectory() as folder, _recorded_fits() as fits:
        plate = create_plate(Path(folder) / "plate.zarr", options)
        pairs = make_pairs(plate, condition)
        calculate_registration(
            zarr_url=f"{plate}/{WELL}/1",
            init_args=InitArgsRegistration(reference_zarr_url=f"{plate}/{WELL}/0"),
            wavelength_id="A01_C01",
            level_path=level,
        )
    samples = []
    for pair, measured in zip(pairs, fits, strict=True):
        fixed_px, moving_px = np.array(pair.start_px)
        for fit in measured:
            found_px = fit.translation_um[1:] / options.pixel_size_um
            found_px += (fixed_px - moving_px)[1:]
            error_px = float(np.abs(found_px - pair.true_px[1:]).max())
            samples.append(Sample(condition.name, fit.evidence, error_px))
    return samples


@contextmanager
def _recorded_fits() -> Iterator[list[list[Fit]]]:
    """Note the fits of every estimate."""
    recorded: list[list[Fit]] = []
    fit_candidates = PhaseCrossCorrelation.fit_candidates

    def record(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (any signature)
        result = fit_candidates(*args, **kwargs)
        recorded.append(result[0])
        return result

    with patch.object(PhaseCrossCorrelation, "fit_candidates", record):
        yield recorded


def fit_logistic(samples: list[Sample]) -> npt.NDArray[np.float64]:
    """Find intercept, slope per ln(ratio) and per ln(lead) of maximum likelihood."""
    evidence = [sample.evidence for sample in samples]
    logs = np.array([[1.0, *one.logs] for one in evidence])
    others = np.array([one.certainty for one in evidence])
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
    print(f"{len(samples)} shifts: {np.round(fit_logistic(samples), 2).tolist()}")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
