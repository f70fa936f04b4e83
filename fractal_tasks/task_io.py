"""Models that cross the line between an init task and its parallel units."""

from pydantic import BaseModel, ConfigDict


class InitArgsRegistration(BaseModel):
    """What *Calculate Registration* gets from its init task."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    reference_zarr_url: str
    """Url of the image of the reference acquisition."""


class InitArgsRegistrationConsensus(BaseModel):
    """What *Find Registration Consensus* gets from its init task."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    zarr_url_list: list[str]
    """Urls of the images of all acquisitions of the well, reference included."""
