"""All three tasks on fields that show one thing only.

The images are those of many test suites: one bright square that moved, without noise.
"""

from typing import Any

import numpy as np
import pytest
from ngio import open_ome_zarr_container

from tests.conftest import MakePlate
from tests.tasks.plates import (
    REGISTERED,
    image_urls,
    read_pixels,
    read_table,
    run_apply,
    run_calculate,
    run_consensus,
)

FIELD_PX, SIDE_PX = 64, 10
TINY: dict[str, Any] = {
    "field_size_px": FIELD_PX,
    "pixel_size_um": 0.325,
    "levels": 3,
    "channels": 1,
    "acquisitions": 2,
    "labels": False,
    "table_backend": "csv",
    "nuclei_per_mm2": 0,
}
SHIFT_PX = (4, -6)
"""How much further down and right the squares lie in the acquisition."""


def draw_squares(urls: list[str], corners_px: list[tuple[int, int]]) -> None:
    """Draw one square per field, those side by side."""
    for url, shift_px in zip(urls, ((0, 0), SHIFT_PX), strict=True):
        pixels = np.zeros_like(read_pixels(url))
        for field, corner in enumerate(corners_px):
            y, x = np.add(corner, shift_px)
            x += field * FIELD_PX
            pixels[..., y : y + SIDE_PX, x : x + SIDE_PX] = 1000
        image = open_ome_zarr_container(url).get_image()
        image.set_array(pixels)
        image.consolidate(mode="numpy")


@pytest.mark.parametrize("level_path", ["0", "1"])
@pytest.mark.parametrize("fields", [1, 2, 3])
def test_one_square_without_noise_is_certain(
    make_plate: MakePlate, fields: int, level_path: str
) -> None:
    plate = make_plate(**TINY, fields_y=1, fields_x=fields)
    urls = image_urls(plate, 2)
    draw_squares(urls, [(20, 20), (30, 24), (12, 30)][:fields])
    content = read_pixels(urls[0])
    run_calculate(urls, level_path=level_path)
    run_consensus(urls)
    for roi in read_table(urls[1], REGISTERED).rois.values():
        found = roi.model_extra or {}
        assert found["registration_status"] == "measured"
        assert found["registration_confidence"] > 0.95
        assert found["registration_error"] < 0.325
    run_apply(urls)
    registered = [read_pixels(url) for url in urls]
    np.testing.assert_array_equal(*registered)
    assert registered[0].sum() == content.sum()
