"""Wells of fields whose displacements are known."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from fractal_tasks.model import Candidate, Measurement, RowKey, Verdict, WellMovement
from fractal_tasks.qc.judgement import Judgement, judge_measurements
from fractal_tasks.qc.vetoes import VETOES, Veto
from fractal_tasks.transforms import Transform, Translation, Vector

PITCH_UM = 666.0
PIXEL_UM = 0.325
SHIFT_UM = (0.0, 12.0, -30.0)


def fov(index: int) -> RowKey:
    return RowKey(f"FOV_{index}")


def grid(rows: int, columns: int) -> npt.NDArray[np.float64]:
    """Give the centres (y, x) of fields that lie side by side, row by row."""
    places = np.indices((rows, columns)).reshape(2, -1).T + 0.5
    return np.asarray(places * PITCH_UM)


def moved_plate(
    places_um: npt.NDArray[np.float64], rotation_deg: float = 0.0, scale: float = 1.0
) -> npt.NDArray[np.float64]:
    """Give the exact displacements of a plate turned and scaled about its centre."""
    angle = np.deg2rad(rotation_deg)
    matrix = scale * np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    )
    offsets_um = places_um - places_um.mean(axis=0)
    displacements_um = np.tile(SHIFT_UM, (len(places_um), 1))
    displacements_um[:, 1:] += offsets_um @ (matrix - np.eye(2)).T
    return displacements_um


def moves(vector_um: Sequence[float]) -> Translation:
    z_um, y_um, x_um = (float(value) for value in vector_um)
    return Translation((z_um, y_um, x_um))


def measured(
    vector_um: Sequence[float],
    place_um: Sequence[float] = (0.0, 0.0),
    confidence: float | None = 0.95,
    others: Sequence[tuple[Sequence[float], float]] = (),
    size_um: float = PITCH_UM,
) -> Measurement:
    """Give a measurement of translations without a standard error.

    Args:
        vector_um: The best translation.
        place_um: Centre of the ROI (y, x).
        confidence: Of the best one.
        others: The next best ones with their confidences.
        size_um: Size of the ROI along y and x.
    """
    candidates = [(vector_um, confidence), *others]
    return Measurement(
        candidates=tuple(
            Candidate(moves(vector), own, None) for vector, own in candidates
        ),
        centre_um=(0.5, float(place_um[0]), float(place_um[1])),
        size_um=(1.0, size_um, size_um),
        pixel_um=PIXEL_UM,
    )


def measured_well(
    places_um: npt.NDArray[np.float64], displacements_um: npt.NDArray[np.float64]
) -> dict[RowKey, Measurement]:
    """Give a well in which every field is measured with high confidence."""
    return {
        fov(index): measured(vector_um, place_um)
        for index, (place_um, vector_um) in enumerate(
            zip(places_um, displacements_um, strict=True), start=1
        )
    }


def with_best(measurement: Measurement, **changes: object) -> Measurement:
    """Give a measurement whose best candidate differs."""
    best = replace(measurement.best, **changes)  # type: ignore[arg-type]  # any field
    return replace(measurement, candidates=(best, *measurement.candidates[1:]))


def with_transform(measurement: Measurement, transform: Transform) -> Measurement:
    """Give a measurement whose best candidate has another transform."""
    return with_best(measurement, transform=transform)


def place_of(measurement: Measurement) -> tuple[float, float]:
    _, y_um, x_um = measurement.centre_um
    return y_um, x_um


def judge(
    measurements: Mapping[RowKey, Measurement],
    vetoes: Sequence[Veto] = VETOES,
    min_confidence: float = 0.5,
    movement: WellMovement | None = None,
) -> Judgement:
    return judge_measurements(
        measurements, min_confidence=min_confidence, movement=movement, vetoes=vetoes
    )


def statuses(judgement: Judgement) -> dict[RowKey, str]:
    return {key: verdict.status for key, verdict in judgement.verdicts.items()}


def vector_of(verdict: Verdict) -> Vector:
    """Give the translation that a verdict uses."""
    return verdict.candidate.transform.displacement_at((0.0, 0.0, 0.0))
