"""A row of a ROI table: what its columns (`columns`) say of a registration.

The transform of a row is its truth; the translation columns, which fractal-tasks-core
and people read, are derived from it: how far it moves the ROI's centre. Where both are
there and disagree, somebody edited the columns: they count, with unknown confidence.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fractal_tasks.errors import DisplacementsError, InvalidDataError
from fractal_tasks.model import Candidate, Measurement, RowKey, Status
from fractal_tasks.records.candidates import candidates_from_json, candidates_to_json
from fractal_tasks.records.columns import (
    AGAIN,
    ALTERNATIVES_COLUMN,
    CONFIDENCE_COLUMN,
    ERROR_COLUMN,
    ERROR_Z_COLUMN,
    EVIDENCE_PREFIX,
    KEPT_COLUMN,
    OWN_COLUMNS,
    PIXEL_SIZES_COLUMN,
    REASON_COLUMN,
    STATUS_COLUMN,
    TRANSFORM_COLUMN,
    TRANSLATION_COLUMNS,
    present_columns,
    read_evidence,
    read_number,
    read_pixel_sizes,
    read_stored_transform,
    read_translation,
    write_pixel_sizes,
)
from fractal_tasks.storage.library_errors import describe_cause
from fractal_tasks.storage.plate.displacements import displacements_of
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.storage.plate.rois import MAX_LENGTH_UM, is_length, roi_extent_um
from fractal_tasks.transforms import (
    Displacements,
    PixelSizes,
    ReadDisplacements,
    Transform,
    Translation,
    Vector,
)
from fractal_tasks.transforms.base import collect_displacements, to_vector

if TYPE_CHECKING:
    from ngio import Roi

logger = logging.getLogger(__name__)

_AGREE_UM, _FLOAT32 = 1e-6, 2.0**-23
"""Columns and transform agree up to this, and to what 32 bits per number lose."""

_A_PART = "a number from 0 to 1"
_AN_ERROR = "a standard error in um, 0 or more"


@dataclass(frozen=True)
class RoiRecord:
    """What a row says about one ROI of an acquisition."""

    key: RowKey
    candidates: tuple[Candidate, ...]
    """Best first, between the images; the first one is that of the row itself. Empty
    if nothing was measured yet."""

    centre_um: Vector
    """Centre of the ROI in its own image."""

    size_um: Vector
    pixel_um: float
    """Size of a level-0 pixel, the larger of y and x."""

    pixels: PixelSizes
    """Those of the image, and of the one that it is registered to."""

    status: Status | None = None
    reason: str | None = None
    kept: float | None = None
    """Part (0 to 1) of the ROI that is in the registered image."""

    moved_um: Vector | None = None
    """What the columns say of the centre that the ROI had before it was placed."""

    @classmethod
    def of(
        cls,
        roi: "Roi",
        image: OpenImage,
        candidates: tuple[Candidate, ...],
        pixels: PixelSizes,
        *,
        status: Status | None = None,
        reason: str | None = None,
        kept: float | None = None,
    ) -> "RoiRecord":
        """Make the record of a ROI of an image."""
        start_um, length_um = roi_extent_um(roi, image)
        return cls(
            key=RowKey(str(roi.name)),
            candidates=candidates,
            centre_um=to_vector(start_um + length_um / 2),
            size_um=to_vector(length_um),
            pixel_um=max(image.spacing_um[1:]),
            pixels=pixels,
            status=status,
            reason=reason,
            kept=kept,
        )

    @classmethod
    def from_roi(
        cls, roi: "Roi", image: OpenImage, where: str, *, is_placed: bool = False
    ) -> "RoiRecord":
        """Read a row.

        Args:
            roi: The row, with its columns as further fields.
            image: Image whose ROI table it is in.
            where: Names ROI and table in errors.
            is_placed: Whether the ROI was cut to what is kept, or moved there: then the
                columns are about the centre that it had before.

        Raises:
            MissingStepError: The translation is there, but not whole.
            InvalidDataError: A column does not hold what it should.
        """
        extra = present_columns(roi)
        status, reason = extra.get(STATUS_COLUMN), extra.get(REASON_COLUMN)
        kept = read_number(extra, KEPT_COLUMN, 1, _A_PART, where)
        pixels = read_pixel_sizes(roi, image.spacing_um, where)
        empty = cls.of(roi, image, (), pixels, status=status, reason=reason, kept=kept)
        displacements = displacements_of(image.url)
        transform, edited = _read_transform(roi, empty, displacements, where, is_placed)
        if transform is None:
            return empty
        if edited:
            # Confidence, error and evidence are those of what was measured.
            return replace(empty, candidates=(Candidate(transform, None, None),))
        best = Candidate(
            transform,
            read_number(extra, CONFIDENCE_COLUMN, 1, _A_PART, where),
            read_number(extra, ERROR_COLUMN, MAX_LENGTH_UM, _AN_ERROR, where),
            read_evidence(extra),
            read_number(extra, ERROR_Z_COLUMN, MAX_LENGTH_UM, _AN_ERROR, where),
        )
        others = _read_alternatives(extra, empty, displacements, where)
        moved_um = None
        is_turned = is_placed and not isinstance(transform, Translation)
        if is_turned and not extra.keys().isdisjoint(TRANSLATION_COLUMNS):
            # Of the centre that the row now has, the transform would say another one.
            moved_um = read_translation(extra, where)
        return replace(empty, candidates=(best, *others), moved_um=moved_um)

    @property
    def displacement_um(self) -> Vector:
        """How far the ROI's centre is moved; only where there are candidates."""
        best = self.candidates[0]
        return self.moved_um or best.transform.displacement_at(self.centre_um)

    @property
    def measurement(self) -> Measurement:
        """What was measured; only where there are candidates."""
        where = self.centre_um, self.size_um, self.pixel_um
        return Measurement(self.candidates, *where, self.status == "imported")

    def to_roi(self, roi: "Roi") -> "Roi":
        """Write the row: a ROI with these columns in the place of its own.

        Args:
            roi: Where it lies, and columns of others, which stay.
        """
        best, *others = self.candidates
        transforms = [candidate.transform for candidate in self.candidates]
        columns: dict[str, Any] = {
            **dict(zip(TRANSLATION_COLUMNS, self.displacement_um, strict=True)),
            TRANSFORM_COLUMN: self.pixels.to_json(best.transform),
            PIXEL_SIZES_COLUMN: write_pixel_sizes(self.pixels, transforms),
            CONFIDENCE_COLUMN: best.confidence,
            ERROR_COLUMN: best.error_um,
            ERROR_Z_COLUMN: best.error_z_um,
            **{EVIDENCE_PREFIX + name: best.evidence[name] for name in best.evidence},
            STATUS_COLUMN: self.status,
            REASON_COLUMN: self.reason,
            KEPT_COLUMN: self.kept,
            ALTERNATIVES_COLUMN: candidates_to_json(others, self.pixels)
            if others
            else None,
        }
        known = {key: value for key, value in columns.items() if value is not None}
        return without_record(roi).model_copy(update=known)


def displacements_of_rows(records: Iterable[RoiRecord]) -> dict[str, Displacements]:
    """Give those that are to be stored before rows are, by their path in the image."""
    return collect_displacements(
        candidate.transform for record in records for candidate in record.candidates
    )


def without_record(roi: "Roi") -> "Roi":
    """Give a row without the columns of a registration."""
    extra = {
        column: value
        for column, value in (roi.model_extra or {}).items()
        if column not in OWN_COLUMNS and not column.startswith(EVIDENCE_PREFIX)
    }
    fields = {name: getattr(roi, name) for name in type(roi).model_fields}
    return type(roi)(**fields, **extra)


def _read_transform(
    roi: "Roi",
    row: RoiRecord,
    displacements: ReadDisplacements,
    where: str,
    is_placed: bool,
) -> tuple[Transform | None, bool]:
    """Read the transform of a row, and whether it is one that somebody put there.

    None if nothing was measured yet.
    """
    extra = present_columns(roi)
    translation_um = None
    if not extra.keys().isdisjoint(TRANSLATION_COLUMNS):
        translation_um = read_translation(roi.model_extra or {}, where)
    transform = read_stored_transform(roi, row.pixels, displacements, where)
    if translation_um is None:
        return transform, False
    if transform is None:
        return Translation(translation_um), False
    if is_placed and not isinstance(transform, Translation):
        return transform, False
    derived_um = transform.displacement_at(row.centre_um)
    limit_um = _AGREE_UM + _FLOAT32 * np.abs(derived_um)
    if np.all(np.abs(np.subtract(derived_um, translation_um)) <= limit_um):
        return transform, False
    logger.warning(
        "%s: the translation columns say (z, y, x) %s um, and the stored transform %s "
        "um: the columns count, without the confidence of what was measured",
        where,
        translation_um,
        derived_um,
    )
    return Translation(translation_um), True


def _read_alternatives(
    extra: Mapping[str, Any],
    row: RoiRecord,
    displacements: ReadDisplacements,
    where: str,
) -> list[Candidate]:
    text = extra.get(ALTERNATIVES_COLUMN)
    if text is None:
        return []
    try:
        candidates = candidates_from_json(str(text), row.pixels, displacements)
        for candidate in candidates:
            moved_um = candidate.transform.displacement_at(row.centre_um)
            if not all(map(is_length, moved_um)):
                raise ValueError(f"{candidate.transform} leads out of this world")
    except DisplacementsError:
        raise
    except ValueError as error:
        raise InvalidDataError(
            f"{where}: found {ALTERNATIVES_COLUMN}={text!r}; needed is a JSON list of "
            "objects with 'transform', 'confidence', 'error_um' and 'evidence' "
            f"({describe_cause(error)}). {AGAIN}"
        ) from error
    return candidates
