"""What is in a ROI table."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fractal_tasks.transforms import Vector

if TYPE_CHECKING:
    from ngio import Roi
    from ngio.tables.backends import BackendMeta

RECORD_KEY = "registration"

MICROMETRES: Vector = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class RoiTableData:
    """The content of a ROI table."""

    name: str
    rois: dict[str, "Roi"]
    """ROIs by name, in the order of the table; in micrometres."""

    meta: "BackendMeta"
    """Table metadata as ngio holds it: type, index, backend, further attributes."""

    unit_um: Vector = MICROMETRES
    """How many micrometres one unit of the stored table is (z, y, x)."""

    @property
    def record(self) -> dict[str, Any] | None:
        """What this package stored beside the table; None if it did not write it."""
        extra = self.meta.model_extra or {}
        record = extra.get(RECORD_KEY)
        return record if isinstance(record, dict) else None
