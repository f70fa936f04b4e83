"""The columns of a registration in a ROI table."""

from typing import TYPE_CHECKING, Any

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.transforms import Transform, transform_from_json

if TYPE_CHECKING:
    from ngio import Roi

TRANSLATION_COLUMNS = ("translation_z", "translation_y", "translation_x")
"""In um: how far the transform moves the centre of the ROI."""

TRANSFORM_COLUMN = "transform"
"""JSON text of the transform, acquisition to reference, as in OME-NGFF RFC-5."""

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
    *(TRANSFORM_COLUMN, CONFIDENCE_COLUMN, ERROR_COLUMN, ERROR_Z_COLUMN),
    *(STATUS_COLUMN, REASON_COLUMN, KEPT_COLUMN, ALTERNATIVES_COLUMN),
)
"""All columns but those of the evidence."""


def present_columns(roi: "Roi") -> dict[str, Any]:
    """Give the further columns of a row that have a value.

    A missing one is NaN, or, where a table is text, nothing between two commas.
    """
    extra = (roi.model_extra or {}).items()
    return {
        key: value for key, value in extra if value is not None and value == value != ""
    }


def read_stored_transform(roi: "Roi", where: str) -> Transform | None:
    """Read the transform of a row, and nothing else of it; None if it has none.

    Raises:
        InvalidDataError: It is no transform.
    """
    text = present_columns(roi).get(TRANSFORM_COLUMN)
    if text is None:
        return None
    try:
        return transform_from_json(str(text))
    except InvalidDataError as error:
        raise InvalidDataError(f"{where}: {error}") from error
