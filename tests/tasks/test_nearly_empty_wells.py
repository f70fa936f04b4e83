"""All three tasks on wells that show little: one square, dust, or nothing sharp."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ngio import open_ome_zarr_container

from fractal_tasks.synthetic import load_truth
from tests.conftest import MakePlate
from tests.tasks.plates import (
    REGISTERED,
    WELL,
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
@pytest.mark.sampled(2)
def test_one_square_without_noise_is_certain(
    make_plate: MakePlate, fields: int, level_path: str
) -> None:
    """The images of many test suites."""
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


HARD: dict[str, Any] = {
    "fields_y": 2,
    "fields_x": 2,
    "acquisitions": 2,
    "channels": 1,
    "labels": False,
    "table_backend": "csv",
    "plate_shift_um": 8.0,
}


def judged(plate: Path, reference_acquisition: int = 0) -> list[dict[str, Any]]:
    """Measure and judge; give the columns of each field, and how far it is off."""
    urls = image_urls(plate, 2)
    moving = 1 - reference_acquisition
    run_calculate(urls, reference_acquisition=reference_acquisition)
    run_consensus(urls, reference_acquisition=reference_acquisition)
    found = []
    for name, roi in read_table(urls[moving], REGISTERED).rois.items():
        columns = dict(roi.model_extra or {})
        truth_um = np.array(load_truth(plate).field(WELL, 1, name).translation_um)
        vector_um = [columns[f"translation_{axis}"] for axis in "zyx"]
        off_um = vector_um - truth_um * (1 if moving else -1)
        columns["off_px"] = float(np.abs(off_um).max()) / 0.325
        found.append(columns)
    return found


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.sampled(2)
def test_dust_that_stays_with_the_camera_registers_no_empty_well(
    make_plate: MakePlate, seed: int
) -> None:
    """All fields show the same dust, and would agree that nothing moved."""
    plate = make_plate(
        **HARD, empty_fields=4, dust_specks=8, haze=0.5, hot_clusters=30, seed=seed
    )
    for columns in judged(plate):
        assert columns["registration_status"] == "unresolved"


@pytest.mark.parametrize("defocus_um", [1.0, 5.0])
def test_reference_out_of_focus_is_right_or_marked(
    make_plate: MakePlate, defocus_um: float
) -> None:
    """The later acquisition is the one that is out of focus."""
    plate = make_plate(**HARD, defocus_um=defocus_um)
    for columns in judged(plate, reference_acquisition=1):
        is_marked = (
            columns["registration_status"] in ("imputed", "unresolved")
            or columns["registration_error"] > 0.325
        )
        assert is_marked or columns["off_px"] < 2
