"""What the other wells of a plate say about a well."""

from pydantic import BaseModel, ConfigDict


class WellMovement(BaseModel):
    """How an acquisition of a well moved, as the other wells of its plate say."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    translation_um: tuple[float, float, float]
    """Acquisition to reference (z, y, x)."""

    wells: int
    """The number of wells that were asked."""

    scatter_um: float = 5.0
    """Standard deviation of wells about this, along y or x."""


class PlateEvidence(BaseModel):
    """What the plate says about a well."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    input_roi_table: str
    """The ROI table that was read."""

    movements: dict[int, WellMovement]
    """By acquisition id."""
