"""Models that cross the line between an init task and its parallel units."""

from pydantic import BaseModel, ConfigDict


class InitArgsRegistration(BaseModel):
    """What *Calculate Registration* gets from its init task."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    reference_zarr_url: str
    """Url of the image of the reference acquisition."""


class WellPlacement(BaseModel):
    """How an acquisition of a well moved, as the other wells of its plate say."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    translation_um: tuple[float, float, float]
    """Acquisition to reference (z, y, x)."""

    wells: int
    """The number of wells that were asked."""


class PlateEvidence(BaseModel):
    """What the plate says about a well."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    input_roi_table: str
    """The ROI table that was read."""

    placements: dict[int, WellPlacement]
    """By acquisition id."""


class InitArgsRegistrationConsensus(BaseModel):
    """What *Find Registration Consensus* gets from its init task."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    zarr_url_list: list[str]
    """Urls of the images of all acquisitions of the well, reference included."""

    plate: PlateEvidence | None = None
    """What the other wells say; left out if they say nothing."""
