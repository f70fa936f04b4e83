"""Wells of fields whose translations are known."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fractal_tasks.qc.verdict import Judgement, Measurement, judge_measurements

PITCH_UM = 666.0
PIXEL_UM = 0.325
SHIFT_UM = (0.0, 12.0, -30.0)

Vector = tuple[float, float, float]


def grid(rows: int, columns: int) -> npt.NDArray[np.float64]:
    """Give the centres (y, x) of fields that lie side by side, row by row."""
    places = np.indices((rows, columns)).reshape(2, -1).T + 0.5
    return np.asarray(places * PITCH_UM)


def moved_plate(
    places_um: npt.NDArray[np.float64], rotation_deg: float = 0.0, scale: float = 1.0
) -> npt.NDArray[np.float64]:
    """Give the exact translations of a plate turned and scaled about its centre."""
    angle = np.deg2rad(rotation_deg)
    matrix = scale * np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    )
    offsets_um = places_um - places_um.mean(axis=0)
    translations_um = np.tile(SHIFT_UM, (len(places_um), 1))
    translations_um[:, 1:] += offsets_um @ (matrix - np.eye(2)).T
    return translations_um


def measured(
    translation_um: Sequence[float],
    place_um: Sequence[float] = (0.0, 0.0),
    confidence: float | None = 0.95,
    alternatives: Sequence[tuple[Vector, float]] = (),
    size_um: float = PITCH_UM,
) -> Measurement:
    z_um, y_um, x_um = (float(value) for value in translation_um)
    return Measurement(
        translation_um=(z_um, y_um, x_um),
        confidence=confidence,
        place_um=(float(place_um[0]), float(place_um[1])),
        size_um=(size_um, size_um),
        alternatives=tuple((*one, 1.0) for one in alternatives),
    )


def measured_well(
    places_um: npt.NDArray[np.float64], translations_um: npt.NDArray[np.float64]
) -> dict[str, Measurement]:
    """Give a well in which every field is measured with high confidence."""
    return {
        f"FOV_{index}": measured(translation_um, place_um)
        for index, (place_um, translation_um) in enumerate(
            zip(places_um, translations_um, strict=True), start=1
        )
    }


def judge(measurements: dict[str, Measurement], **options: float) -> Judgement:
    return judge_measurements(
        measurements, **{"min_confidence": 0.5, "outlier_tolerance_um": 5.0, **options}
    )


def statuses(judgement: Judgement) -> dict[str, str]:
    return {name: verdict.status for name, verdict in judgement.verdicts.items()}
