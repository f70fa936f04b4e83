"""Types of task arguments, and models that go from an init task to its units."""

import json
from typing import Annotated, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict

from fractal_tasks.model.plate_evidence import PlateEvidence

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


class InitArgsRegistrationConsensus(BaseModel):
    """What *Find Registration Consensus* gets from its init task."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    zarr_url_list: list[str]
    """Urls of the images of all acquisitions of the well. The reference is among them,
    unless it is to be only read."""

    reference_zarr_url: str | None = None
    """Url of the reference image; left out, the image of the unit is the reference."""

    unsure_zarr_urls: list[str] = []
    """Images that belong to the reference by their order alone: they count only if
    their pixels confirm it."""

    plate: PlateEvidence | None = None
    """What the other wells say; left out if they say nothing."""
