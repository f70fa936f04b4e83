"""Pairing the rows of two ROI tables."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ngio import Roi

from fractal_tasks.model import Pairing
from fractal_tasks.records.roi_pairing import pair_rois
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.storage.plate.roi_table_data import RoiTableData
from fractal_tasks.storage.plate.roi_tables import plain_meta
from tests.records.plates import TABLE, open_acquisition

Places = Mapping[str, tuple[float, float | None]]
"""By name: x in the image, and x of the stage. Fields are 10 um wide."""


def table(places: Places) -> RoiTableData:
    rois = {}
    for name, (x_um, stage_um) in places.items():
        stage: dict[str, Any] = (
            {}
            if stage_um is None
            else {"y_micrometer_original": 0.0, "x_micrometer_original": stage_um}
        )
        slices = {"y": (0.0, 10.0), "x": (x_um, 10.0)}
        rois[name] = Roi.from_values(name=name, slices=slices, **stage)
    return RoiTableData(TABLE, rois, plain_meta("json"))


@pytest.fixture
def image(plate: Path) -> OpenImage:
    return open_acquisition(plate, 1)


def pair(image: OpenImage, fixed: Places, moving: Places) -> Pairing:
    return pair_rois(image, table(fixed), image, table(moving))


def test_place_on_the_stage_goes_before_that_in_the_image(image: OpenImage) -> None:
    """The acquisition lacks the first field, so its image begins at the second."""
    fixed = {"a": (0.0, 500.0), "b": (10.0, 510.0), "c": (20.0, 520.0)}
    found = pair(image, fixed, {"1": (0.0, 511.0), "2": (10.0, 521.0)})
    assert found.partners == {"1": "b", "2": "c"}
    assert found.fixed_alone == ("a",)


@pytest.mark.parametrize("stage_um", [None, 9000.0], ids=["unknown", "elsewhere"])
def test_place_in_the_image_counts_where_the_stage_says_nothing(
    image: OpenImage, stage_um: float | None
) -> None:
    fixed = {"a": (0.0, 500.0), "b": (10.0, 510.0)}
    moving = {"1": (10.5, stage_um), "2": (0.5, stage_um)}
    found = pair(image, fixed, moving)
    assert found.partners == {"1": "b", "2": "a"}
    assert set(found.paired_by.values()) == {"place"}
