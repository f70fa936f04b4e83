"""The columns of a registration in a ROI table."""

import json
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fractal_tasks.errors import (
    DisplacementsError,
    InvalidDataError,
    MissingStepError,
)
from fractal_tasks.storage.plate.rois import is_length
from fractal_tasks.transforms import (
    PixelSizes,
    ReadDisplacements,
    Transform,
    Vector,
)
from fractal_tasks.transforms.base import read_vector

if TYPE_CHECKING:
    from ngio import Roi

TRANSLATION_COLUMNS = ("translation_z", "translation_y", "translation_x")
"""In um: how far the transform moves the centre of the ROI."""

TRANSFORM_COLUMN = "transform"
"""JSON text of the transform, acquisition to reference, as in OME-NGFF RFC-5."""

PIXEL_SIZES_COLUMN = "transform_pixel_sizes"
"""JSON text: which pixels' centres it leads from and to, where that matters."""

CONFIDENCE_COLUMN = "registration_confidence"
ERROR_COLUMN = "registration_error"
ERROR_Z_COLUMN = "registration_error_z"
STATUS_COLUMN = "registration_status"
REASON_COLUMN = "registration_reason"
KEPT_COLUMN = "registration_kept"
ALTERNATIVES_COLUMN = "registration_alternatives"
"""JSON text: the other candidates, best first."""

EVIDENCE_PREFIX = "registration_"
"""And its name is the column of what confidence and error were computed from."""

OWN_COLUMNS = (
    *TRANSLATION_COLUMNS,
    *(TRANSFORM_COLUMN, PIXEL_SIZES_COLUMN),
    *(CONFIDENCE_COLUMN, ERROR_COLUMN, ERROR_Z_COLUMN),
    *(STATUS_COLUMN, REASON_COLUMN, KEPT_COLUMN, ALTERNATIVES_COLUMN),
)
"""All columns but those of the evidence."""


AGAIN = "Run 'Calculate Registration (image-based)' again for this acquisition."
"""What to do about columns that are damaged."""


def present_columns(roi: "Roi") -> dict[str, Any]:
    """Give the further columns of a row that have a value.

    A missing one is NaN, or, where a table is text, nothing between two commas.
    """
    extra = (roi.model_extra or {}).items()
    return {
        key: value for key, value in extra if value is not None and value == value != ""
    }


def write_pixel_sizes(
    pixels: PixelSizes, transforms: Iterable[Transform]
) -> str | None:
    """Give the text of `PIXEL_SIZES_COLUMN`; None if it matters for no transform."""
    if not any(map(pixels.matter_for, transforms)):
        return None
    return json.dumps({"input": pixels.moving_um, "output": pixels.fixed_um})


def read_pixel_sizes(roi: "Roi", spacing_um: Vector, where: str) -> PixelSizes:
    """Read which pixels the transform of a row is of.

    Args:
        roi: The row.
        spacing_um: Pixels of its image, which are those of both images if the row does
            not say it.
        where: Names ROI and table in errors.

    Raises:
        InvalidDataError: The text is none of `write_pixel_sizes`.
    """
    text = present_columns(roi).get(PIXEL_SIZES_COLUMN)
    if text is None:
        return PixelSizes.same(spacing_um)
    try:
        sizes = json.loads(str(text))
        return PixelSizes(read_vector(sizes["input"]), read_vector(sizes["output"]))
    except (LookupError, RecursionError, TypeError, ValueError) as error:
        raise InvalidDataError(
            f"{where}: found {PIXEL_SIZES_COLUMN}={text!r}; needed are the pixel sizes "
            "of input and output (um). Run 'Calculate Registration (image-based)' "
            "again."
        ) from error


def read_stored_transform(
    roi: "Roi", pixels: PixelSizes, displacements: ReadDisplacements, where: str
) -> Transform | None:
    """Read the transform of a row, and nothing else of it; None if it has none.

    Args:
        roi: The row.
        pixels: Those of both images.
        displacements: Reads those of its image.
        where: Names ROI and table in errors.

    Raises:
        InvalidDataError: It is no transform.
    """
    text = present_columns(roi).get(TRANSFORM_COLUMN)
    if text is None:
        return None
    try:
        return pixels.from_json(str(text), displacements)
    except DisplacementsError:
        raise
    except InvalidDataError as error:
        raise InvalidDataError(f"{where}: {error}") from error


def read_translation(extra: Mapping[str, Any], where: str) -> Vector:
    """Read the translation columns.

    Raises:
        MissingStepError: They are there, but not whole.
    """
    try:
        z, y, x = (float(extra[column]) for column in TRANSLATION_COLUMNS)
    except (KeyError, OverflowError, TypeError, ValueError):
        z = y = x = math.nan
    if not all(map(is_length, (z, y, x))):
        found = {column: extra.get(column) for column in TRANSLATION_COLUMNS}
        raise MissingStepError(
            f"{where}: found {found}; needed are three numbers (um). {AGAIN}"
        )
    return z, y, x


def read_number(
    extra: Mapping[str, Any], column: str, highest: float, needed: str, where: str
) -> float | None:
    """Read a number from 0 to `highest`, also from text; None if there is none.

    Raises:
        InvalidDataError: There is something else.
    """
    stored = extra.get(column)
    if stored is None:
        return None
    try:
        number = float(str(stored))
    except ValueError:
        number = math.nan
    if not 0 <= number <= highest:
        raise InvalidDataError(
            f"{where}: found {stored!r} in {column!r}; needed is {needed}. {AGAIN}"
        )
    return number


def read_evidence(extra: Mapping[str, Any]) -> dict[str, float]:
    """Read the columns of the evidence, by its names."""
    return {
        column.removeprefix(EVIDENCE_PREFIX): float(value)
        for column, value in extra.items()
        if column.startswith(EVIDENCE_PREFIX)
        and column not in OWN_COLUMNS
        and isinstance(value, int | float | np.number)
    }
