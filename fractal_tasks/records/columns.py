"""The columns of a registration in a ROI table."""

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
