"""Types of task arguments, and models that go from an init task to its units."""

import json
from typing import Annotated, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict

TASK_CONFIG = ConfigDict(hide_input_in_errors=True)
"""For `validate_call` of the tasks: pydantic's errors would quote the arguments, and
with them secrets in `storage_options`."""


def _to_text(value: object) -> object:
    return json.dumps(value) if isinstance(value, dict) else value


StorageOptionsText: TypeAlias = Annotated[str | None, BeforeValidator(_to_text)]
"""The task argument `storage_options`: the text of a JSON object, or the object.

Text, as Fractal's web form has no field for an object of any content.
"""


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
