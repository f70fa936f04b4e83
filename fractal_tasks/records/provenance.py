"""What made something that is stored: task, version, inputs and settings.

A step whose record would be the one that is stored has nothing to do. In doubt it runs:
a record that cannot be read is not up to date.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from fractal_tasks import __version__
from fractal_tasks.storage.plate.roi_table_data import RoiTableData

if TYPE_CHECKING:
    from ngio import Roi


class Record(BaseModel):
    """What made something that is stored."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    schema_version: Literal[1] = Field(default=1, alias="schema")
    """Changes with the meaning of what is stored."""

    task: str
    version: str = __version__
    """Version of this package."""

    inputs: dict[str, str]
    """What was read, by name: a path, or a fingerprint of the content."""

    settings: dict[str, JsonValue]

    @classmethod
    def of(cls, task: str, inputs: Mapping[str, str], settings: BaseModel) -> Self:
        """Make the record of a step, the same bytes whatever the order of inputs."""
        return cls(
            task=task,
            inputs=dict(sorted(inputs.items())),
            settings=settings.model_dump(mode="json"),
        )

    @classmethod
    def read(cls, stored: object) -> Self | None:
        """Read a stored record; None if there is none that can be read."""
        try:
            return cls.model_validate(stored)
        except ValidationError:
            return None

    @property
    def provenance(self) -> "Record":
        """The record without what a kind of record adds."""
        return Record(**{name: getattr(self, name) for name in Record.model_fields})

    def is_of(self, other: "Record") -> bool:
        """Whether both come from the same step, inputs, settings and version."""
        return self.provenance == other.provenance

    def to_json(self) -> dict[str, Any]:
        """Give the fields as they are stored."""
        return self.model_dump(mode="json", by_alias=True)


def fingerprint(parts: Iterable[object]) -> str:
    """Give a short text that differs wherever one of the parts (JSON) does."""
    text = json.dumps(list(parts), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fingerprint_rois(table: RoiTableData) -> str:
    """Give a fingerprint of where the ROIs of a table lie, whatever their columns.

    The order of axes is none of it: a table that is made has another than one read.

    To nine digits: a table in another unit than micrometres is rounded as it is read
    and written.
    """
    return fingerprint(
        [
            roi.name,
            [
                [part.axis_name, *map(_round, (part.start, part.length))]
                for part in sorted(roi.slices, key=lambda part: part.axis_name)
            ],
        ]
        for roi in table.rois.values()
    )


def _round(value: float | None) -> str:
    return "" if value is None else f"{value:.9g}"


def fingerprint_rows(table: RoiTableData) -> str:
    """Give a fingerprint of the rows of a table with all their columns."""
    return fingerprint(roi_to_json(roi) for roi in table.rois.values())


def roi_to_json(roi: "Roi") -> dict[str, Any]:
    """Give a ROI as plain JSON values; missing values of a table are left out.

    Sorted, as ngio reads the further columns in any order: each run the same bytes.
    """
    extras = {
        key: value.item() if isinstance(value, np.generic) else value
        for key, value in sorted((roi.model_extra or {}).items())
    }
    present = {
        key: value
        for key, value in extras.items()
        if value is not None and value == value  # NaN
    }
    return {
        "name": roi.name,
        "slices": [part.model_dump() for part in roi.slices],
        "label": None if roi.label is None else int(roi.label),
        "space": roi.space,
        **present,
    }
