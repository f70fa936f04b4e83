"""The yardstick of the contract measures any transform, not only translations."""

import numpy as np
import pytest

from fractal_tasks.model import Candidate
from fractal_tasks.registration.estimate import Estimate
from fractal_tasks.transforms import Transform, Translation
from tests.registration.truth import centre_displacement_px, target_errors_px
from tests.transforms.stretch import Stretch

SHAPE, SPACING_UM = (200, 300), (0.5, 0.25)


def estimate_of(transform: Transform) -> Estimate:
    return Estimate((Candidate(transform, 1.0, 0.0),))


def test_the_error_of_a_translation_is_the_same_everywhere() -> None:
    estimate = estimate_of(Translation((0.0, 2.0, -1.0)))
    errors = target_errors_px(estimate, (3.0, -5.0), SHAPE, SPACING_UM)
    # 2 um are 4 pixels of 0.5 um, 1 um is 4 pixels of 0.25 um.
    np.testing.assert_allclose(errors, np.broadcast_to((0, 1, 1), errors.shape))


def test_the_largest_error_of_a_stretch_is_at_the_far_corner() -> None:
    estimate = estimate_of(Stretch((1.0, 1.01, 1.01), (0.0, 0.0, 0.0)))
    errors = target_errors_px(estimate, (0.0, 0.0), SHAPE, SPACING_UM)
    # 1 % of 200 and of 300 pixels; half of it at the centre.
    assert np.abs(errors).max(axis=0) == pytest.approx((0, 2, 3))
    centre = centre_displacement_px(estimate, SHAPE, SPACING_UM)
    assert centre == pytest.approx((0, 1, 1.5))
