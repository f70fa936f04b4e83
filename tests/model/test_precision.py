"""The probability that follows from a standard error."""

import numpy as np
import pytest

from fractal_tasks.model.precision import within_pixel


@pytest.mark.parametrize("error_px", [0.1, 0.3, 1.0, 3.0])
def test_errors_follow_student_t_in_the_plane(error_px: float) -> None:
    """Normal errors whose scale is itself drawn, with 4 degrees of freedom."""
    rng = np.random.default_rng(0)
    scale = error_px * np.sqrt(4 / rng.chisquare(4, 400_000))
    lengths = scale * np.hypot(*rng.normal(size=(2, 400_000)))
    assert within_pixel(error_px) == pytest.approx((lengths < 1).mean(), abs=0.003)


def test_no_error_is_certain_and_any_error_is_possible() -> None:
    assert within_pixel(0.0) == 1
    assert within_pixel(float("inf")) == 0
