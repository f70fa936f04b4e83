"""Columns that this package adds to ROI tables, and how they are read."""

import itertools
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fractal_tasks.errors import InvalidDataError, MissingStepError

if TYPE_CHECKING:
    from ngio import Roi

MAX_LENGTH_UM = 1e9
"""A kilometre. Positions and movements are smaller, or nonsense."""

TRANSLATION_COLUMNS = ("translation_z", "translation_y", "translation_x")
ERROR_COLUMN = "registration_error"
EVIDENCE_COLUMNS = (
    ERROR_COLUMN,
    "registration_similarity_before",
    "registration_similarity_after",
    "registration_overlap",
)
CONFIDENCE_COLUMN = "registration_confidence"
STATUS_COLUMN = "registration_status"
REASON_COLUMN = "registration_reason"
TRANSFORM_COLUMN = "transform"
ALTERNATIVES_COLUMN = "registration_alternatives"
"""JSON text: a list of ``[z, y, x, confidence, error]``, best first, in um."""
OWN_COLUMNS = (
    *EVIDENCE_COLUMNS,
    CONFIDENCE_COLUMN,
    STATUS_COLUMN,
    REASON_COLUMN,
    TRANSFORM_COLUMN,
    ALTERNATIVES_COLUMN,
)


def is_length(value_um: float) -> bool:
    """Whether a position or distance is not NaN, infinite or out of this world."""
    return abs(value_um) < MAX_LENGTH_UM


def read_translation(roi: "Roi", where: str) -> tuple[float, float, float] | None:
    """Read the translation columns of a ROI, in um (z, y, x); None if it has none.

    Raises:
        MissingStepError: A column is missing or not a number below `MAX_LENGTH_UM`.
    """
    extra = roi.model_extra or {}
    if not any(column in extra for column in TRANSLATION_COLUMNS):
        return None
    try:
        z, y, x = (float(extra[column]) for column in TRANSLATION_COLUMNS)
    except (KeyError, OverflowError, TypeError, ValueError):
        z = y = x = math.nan
    if not all(map(is_length, (z, y, x))):
        found = {column: extra.get(column) for column in TRANSLATION_COLUMNS}
        raise MissingStepError(
            f"{where}: found {found}; needed are three numbers (um). Run "
            "'Calculate Registration (image-based)' again for this acquisition."
        )
    return z, y, x


@dataclass(frozen=True)
class StoredAlternative:
    """Another translation that a ROI may have."""

    translation_um: tuple[float, float, float]
    confidence: float
    error_um: float


def alternatives_to_json(alternatives: Iterable[StoredAlternative]) -> str:
    """Write other translations (z, y, x; um) for `ALTERNATIVES_COLUMN`."""
    return json.dumps(
        [
            [*other.translation_um, other.confidence, other.error_um]
            for other in alternatives
        ]
    )


def read_alternatives(roi: "Roi", where: str) -> list[StoredAlternative]:
    """Read the other translations a ROI may have, best first.

    Raises:
        InvalidDataError: The column is there, but does not hold them.
    """
    text = (roi.model_extra or {}).get(ALTERNATIVES_COLUMN)
    if text is None or text != text:  # NaN: a row without a value
        return []
    try:
        rows = [[float(value) for value in row] for row in json.loads(str(text))]
        if not all(map(is_length, itertools.chain.from_iterable(rows))):
            raise ValueError(f"a value is not a number below {MAX_LENGTH_UM:g}")
        return [
            StoredAlternative((z, y, x), confidence, error)
            for z, y, x, confidence, error in rows
        ]
    except (OverflowError, RecursionError, TypeError, ValueError) as error:
        raise InvalidDataError(
            f"{where}: found {ALTERNATIVES_COLUMN}={text!r}; needed is a JSON list of "
            f"[z, y, x, confidence, error] ({error}). Run 'Calculate Registration "
            "(image-based)' again for this acquisition."
        ) from error
