"""Columns of the page, from results made by hand."""

import numpy as np
import pytest

from fractal_tasks.report.columns import make_roi_columns, make_well_columns
from tests.report.test_results import of_well, result


@pytest.mark.parametrize("shift_um", [0.2, 7.0, 1e5])
def test_arrows_fit_into_their_roi_and_are_scaled_by_a_round_number(
    shift_um: float,
) -> None:
    place = {"centre_um": (0.0, 100.0, 50.0), "size_um": (1.0, 200.0, 100.0)}
    columns = make_roi_columns([result(shift_um=(0.0, shift_um, 0.0), **place)])
    length = columns["to_y"][0] - columns["y"][0]
    assert 40 / 2.5 <= length <= 40.001
    digits = f"{columns['times'][0]:e}"
    assert digits[0] in "125"


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
