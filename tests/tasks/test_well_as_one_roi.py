"""A whole well as one ROI, whose fields moved a little differently."""

import logging
import re

import numpy as np
import pytest

from fractal_tasks.synthetic import load_truth
from tests.conftest import MakePlate
from tests.tasks.plates import (
    WELL,
    image_urls,
    read_table,
    run_calculate,
    run_consensus,
)

TABLE = "well_ROI_table"


@pytest.mark.parametrize("jitter_um", [0.8, pytest.param(1.5, marks=pytest.mark.e2e)])
def test_well_whose_fields_jitter_is_registered_and_says_how_exactly(
    make_plate: MakePlate, caplog: pytest.LogCaptureFixture, jitter_um: float
) -> None:
    """There is one peak, as wide as this. Windows have 512 pixels, as fields have."""
    plate = make_plate(
        fields_y=3,
        fields_x=3,
        field_size_px=512,
        acquisitions=2,
        channels=1,
        stage_jitter_um=jitter_um,
    )
    urls = image_urls(plate, 2)
    with caplog.at_level(logging.WARNING, "fractal_tasks"):
        run_calculate(urls, input_roi_table=TABLE)
        run_consensus(urls, input_roi_table=TABLE)
    (roi,) = read_table(urls[1], f"{TABLE}_registered").rois.values()
    found = roi.model_extra or {}
    assert found["registration_status"] == "measured"
    truth = load_truth(plate)
    apart_um = [
        truth.field(WELL, 1, f"FOV_{number}").translation_um[1:]
        - np.array([found["translation_y"], found["translation_x"]])
        for number in range(1, 10)
    ]
    spread_um = np.sqrt(np.mean(np.square(apart_um)))
    # A window may show parts of several fields, or none that moved far. One in 1000
    # estimates is wrong, whatever it says: by 10 px, this adds 0.07 um.
    assert spread_um / 2.5 < found["registration_error"] < 2.5 * spread_um + 0.1
    assert re.search("smaller .*, such as (its )?fields", caplog.text)
