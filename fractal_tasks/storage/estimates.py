"""What *calculate* stored about each ROI, read with checks."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fractal_tasks.errors import InvalidDataError, MissingStepError
from fractal_tasks.storage.images import roi_extent_um
from fractal_tasks.storage.roi_columns import (
    ALTERNATIVES_COLUMN,
    CONFIDENCE_COLUMN,
    ERROR_COLUMN,
    read_alternatives,
    read_translation,
)
from fractal_tasks.transforms.precision import within_pixel

if TYPE_CHECKING:
    from ngio import Image, Roi


@dataclass(frozen=True)
class StoredEstimate:
    """The estimate of one ROI of one acquisition."""

    translation_um: tuple[float, float, float]
    confidence: float | None
    """None if the table holds none: another package made it."""

    precision: float
    """Probability that it is right within a pixel, unless it is altogether wrong; 1 if
    the table says nothing."""

    place_um: tuple[float, float]
    """Centre of the ROI, y and x."""

    size_um: tuple[float, float]
    """Size of the ROI, y and x."""

    alternatives: tuple[tuple[tuple[float, float, float], float, float], ...]
    """The next best translations with their confidence and precision."""


def read_estimate(roi: "Roi", level: "Image", where: str) -> StoredEstimate:
    """Read the estimate of a ROI.

    Args:
        roi: A row of the ROI table of an acquisition.
        level: Level 0 of the image.
        where: Names the ROI in errors.

    Raises:
        MissingStepError: There is none yet, or its translation is not whole.
        InvalidDataError: A confidence is not a probability, or the alternatives
            cannot be read.
    """
    translation_um = read_translation(roi, where)
    if translation_um is None:
        raise MissingStepError(
            f"{where}: found no translation in the ROI table. Run 'Calculate "
            "Registration (image-based)' for this acquisition first."
        )
    pixel_um = max(level.pixel_size.y, level.pixel_size.x)
    start_um, length_um = roi_extent_um(roi, level)
    _, y_um, x_um = (start_um + length_um / 2).tolist()
    _, height_um, width_um = length_um.tolist()
    return StoredEstimate(
        translation_um=translation_um,
        confidence=read_confidence(roi, where),
        precision=within_pixel(_read_error(roi, where) / pixel_um),
        place_um=(y_um, x_um),
        size_um=(height_um, width_um),
        alternatives=tuple(
            (
                other.translation_um,
                _checked_confidence(other.confidence, ALTERNATIVES_COLUMN, where),
                within_pixel(other.error_um / pixel_um),
            )
            for other in read_alternatives(roi, where)
        ),
    )


def read_confidence(roi: "Roi", where: str) -> float | None:
    """Read the confidence of a ROI's translation; None if none is stored.

    Raises:
        InvalidDataError: It is not a number from 0 to 1.
    """
    stored = (roi.model_extra or {}).get(CONFIDENCE_COLUMN)
    if stored is None or stored != stored:  # NaN: a row without a value
        return None
    return _checked_confidence(stored, CONFIDENCE_COLUMN, where)


def _read_error(roi: "Roi", where: str) -> float:
    """Read the standard error in um; 0 if none is stored."""
    stored = (roi.model_extra or {}).get(ERROR_COLUMN)
    if stored is None or stored != stored:  # NaN: a row without a value
        return 0.0
    try:
        error_um = float(str(stored))
    except ValueError:
        error_um = -1.0
    if not 0 <= error_um < math.inf:
        raise InvalidDataError(
            f"{where}: found {stored!r} in {ERROR_COLUMN!r}; needed is a standard "
            "error in um, 0 or more. Run 'Calculate Registration (image-based)' again "
            "for this acquisition."
        )
    return error_um


def _checked_confidence(stored: object, column: str, where: str) -> float:
    try:
        confidence = float(str(stored))
    except ValueError:
        confidence = math.nan
    if not 0 <= confidence <= 1:
        raise InvalidDataError(
            f"{where}: found the confidence {stored!r} in {column!r}; needed is a "
            "number from 0 to 1. Run 'Calculate Registration (image-based)' again for "
            "this acquisition."
        )
    return confidence
