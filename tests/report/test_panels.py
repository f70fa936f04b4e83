"""Where the part at full resolution is taken from."""

import numpy as np
import pytest

from fractal_tasks.report.panels import move_inwards
from fractal_tasks.report.sampling import Frame

FRAME = Frame((10.0, 20.0), 2.0, (50, 40), 0.0, 1.0)
"""From y=10 to 110, from x=20 to 100."""


@pytest.mark.parametrize(
    ("centre_um", "moved_um"),
    [
        ((60.0, 60.0), [60.0, 60.0]),
        ((12.0, 99.0), [25.0, 85.0]),
        ((109.0, 21.0), [95.0, 55.0]),
    ],
    ids=["inside", "upper right", "lower left"],
)
def test_crop_does_not_leave_what_both_show(
    centre_um: tuple[float, float], moved_um: list[float]
) -> None:
    """Of the left side 20 um are unknown; a crop is 30 um wide."""
    known = np.ones(FRAME.size_px, dtype=bool)
    known[:, :10] = False
    assert move_inwards(centre_um, (30.0, 30.0), known, FRAME) == moved_um


def test_crop_larger_than_what_both_show_has_it_in_the_middle() -> None:
    known = np.ones(FRAME.size_px, dtype=bool)
    assert move_inwards((12.0, 99.0), (200.0, 200.0), known, FRAME) == [60.0, 60.0]


def test_crop_stays_in_the_frame_where_nothing_is_known() -> None:
    known = np.zeros(FRAME.size_px, dtype=bool)
    assert move_inwards((12.0, 99.0), (30.0, 30.0), known, FRAME) == [25.0, 85.0]
