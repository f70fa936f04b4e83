"""Columns of the page, from results made by hand."""

from typing import Any

import numpy as np
import pytest

from fractal_tasks.report.columns import (
    ends_of_scale,
    make_roi_columns,
    make_well_columns,
)
from tests.report.test_results import of_well, result


@pytest.mark.parametrize("shift_um", [0.2, 7.0, 1e5])
def test_longest_arrow_of_the_map_stays_in_its_well(shift_um: float) -> None:
    shifts = [(0.0, shift_um, 0.0), (0.0, shift_um / 2, 0.0)]
    rois = [result(well=f"A/0{i}", shift_um=shift) for i, shift in enumerate(shifts, 1)]
    wells = make_well_columns(make_roi_columns(rois))
    lengths = wells["to_row"] - wells["row"]
    assert lengths == pytest.approx([0.4, 0.2])


def test_where_an_unresolved_roi_was_left_is_no_shift() -> None:
    rois = [result(status="unresolved", shift_um=(0.0, 0.0, 0.0)), result()]
    columns = make_roi_columns(rois)
    assert np.isnan(columns["shift"]).tolist() == [True, False]
    assert np.isnan(make_well_columns(make_roi_columns(rois[:1]))["shift"]).all()


def test_shift_in_z_is_known_of_stacks_only() -> None:
    flat = make_well_columns(make_roi_columns([result()]))
    assert np.isnan(flat["shift_z"]).all()
    assert np.isnan(flat["error_z"]).all()
    stack = [result(shift_um=(-2.0, 1.0, 1.0), error_z_um=0.5), result()]
    wells = make_well_columns(make_roi_columns(stack))
    assert (wells["shift_z"][0], wells["error_z"][0]) == (-1.0, 0.5)


@pytest.mark.parametrize(
    ("scale", "ends"),
    [("part", (0.0, 1.0)), ("from zero", (0.0, 3.0)), ("about zero", (-3.0, 3.0))],
)
def test_scale_has_a_meaning(scale: Any, ends: tuple[float, float]) -> None:
    values = np.array([np.nan, 0.5, -3.0], np.float32)
    assert ends_of_scale(values, scale) == ends


def test_wells_have_medians_worst_values_and_shares() -> None:
    rois = [
        result(status="reference", acquisition=0),
        *of_well("B/03", "measured", "measured", "imputed", "unresolved"),
        result(well="B/03", shift_um=(0.0, 30.0, 40.0), error_px=2.0, confidence=0.5),
    ]
    wells = make_well_columns(make_roi_columns(rois))
    assert wells["well"] == ["B/03"]
    assert (wells["row"][0], wells["column"][0]) == (1, 2)
    assert wells["rois"][0] == 5
    assert wells["imputed"][0] == wells["lost"][0] == np.float32(0.2)
    assert (wells["error_px"][0], wells["confidence"][0]) == (2.0, 0.5)
    assert wells["shift_y"][0] == np.float32(1.3)


def test_images_in_no_plate_lie_side_by_side() -> None:
    images = [
        result(plate_url="", well="", zarr_url=f"/lab/day_{day}.zarr") for day in (1, 2)
    ]
    wells = make_well_columns(make_roi_columns(images))
    assert wells["well"] == wells["column_name"] == ["day_1.zarr", "day_2.zarr"]
    assert wells["column"].tolist() == [0, 1]
