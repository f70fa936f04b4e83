"""Settings are compared with what is stored: nothing may be lost or added."""

import json
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from fractal_tasks.model import ApplySettings, CalculateSettings, ConsensusSettings
from fractal_tasks.model.output_format import OutputFormat

EXAMPLES: list[BaseModel] = [
    CalculateSettings(
        wavelength_id="A01_C01",
        more_wavelength_ids=("A02_C02",),
        method={"type": "phase_cross_correlation", "max_shift_um": 50.0},
        lower_rescale_quantile=0.0,
        upper_rescale_quantile=0.99,
        input_roi_table="FOV_ROI_table",
        level_path="2",
        dimensions="auto",
        planes="2-9",
        normalize="local",
        mask="nuclei",
        missing_length_unit="nanometer",
    ),
    ConsensusSettings(
        input_roi_table="FOV_ROI_table",
        registered_roi_table="FOV_ROI_table_registered",
        keep="intersection",
        output_grid="0.65",
        fill_value=0.0,
        subpixel=False,
        min_confidence=0.9,
        rejected="impute",
    ),
    ApplySettings(
        registered_roi_table="registered",
        labels=("nuclei", "cells"),
        interpolation="linear",
        seen_label=None,
        output_format=OutputFormat(chunk_size_px=512),
    ),
]
each_settings = pytest.mark.parametrize(
    "settings", EXAMPLES, ids=lambda settings: type(settings).__name__
)


@each_settings
def test_settings_survive_json(settings: BaseModel) -> None:
    stored = json.loads(json.dumps(settings.model_dump(mode="json")))
    assert type(settings).model_validate(stored) == settings


@each_settings
def test_settings_cannot_be_changed(settings: BaseModel) -> None:
    for name in type(settings).model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(settings, name, None)


@each_settings
def test_settings_refuse_what_they_do_not_know_and_miss_nothing(
    settings: BaseModel,
) -> None:
    fields: dict[str, Any] = settings.model_dump()
    with pytest.raises(ValidationError, match="colour"):
        type(settings)(**fields, colour="red")
    for name in fields:
        with pytest.raises(ValidationError, match=name):
            type(settings)(**{key: fields[key] for key in fields if key != name})
