"""Which intensities are black and bright in a picture."""

from pathlib import Path

import numpy as np
import pytest
import zarr

from fractal_tasks.report.contrast import Contrast, find_contrast
from tests.conftest import MakePlate
from tests.records.plates import TINY, open_acquisition

PICTURE = np.linspace(100, 1100, 10_001, dtype=np.float32).reshape(1, -1)
"""From 110 to 1098 between its 1st and 99.8th percentile."""

PERCENTILES = (110.0, 1098.0)


def set_window(plate: Path, window: object) -> None:
    group = zarr.open_group(plate / "A/01/1", mode="r+")
    omero = dict(group.attrs["omero"])
    omero["channels"] = [{**omero["channels"][0], "window": window}]
    group.attrs["omero"] = omero


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        ({"start": 200, "end": 1200}, (200, 1200)),
        ({"start": 0, "end": 65535}, PERCENTILES),
        ({"start": 100, "end": 300}, PERCENTILES),
        ({"start": 900, "end": 200}, PERCENTILES),
        ({"start": "0", "end": None}, PERCENTILES),
        ({"start": float("nan"), "end": 1200.0}, PERCENTILES),
        ("none", PERCENTILES),
    ],
    ids=["sensible", "of the type", "saturated", "turned", "text", "nan", "no window"],
)
def test_window_of_the_channel_is_used_where_it_shows_something(
    make_plate: MakePlate, window: object, expected: tuple[float, float]
) -> None:
    plate = make_plate(**TINY)
    set_window(plate, window)
    found = find_contrast(open_acquisition(plate, 1), 0, PICTURE)
    assert (found.low, found.high) == pytest.approx(expected, abs=0.2)


def test_pixels_that_are_not_known_do_not_count_and_are_black(
    make_plate: MakePlate,
) -> None:
    plate = make_plate(**TINY)
    set_window(plate, None)
    unknown = np.full((1, 30_000), np.nan, np.float32)
    zeros = np.zeros((1, 30_000), np.float32)
    picture = np.concatenate([PICTURE, unknown, zeros], axis=1)
    found = find_contrast(open_acquisition(plate, 1), 0, picture)
    assert (found.low, found.high) == pytest.approx(PERCENTILES, abs=0.2)
    grey = Contrast(100, 300).apply(np.array([[np.nan, 0, 100, 200, 900]], np.float32))
    assert grey.tolist() == [[0, 0, 0, 127, 255]]
