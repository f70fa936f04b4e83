"""The mixture against its formula, written out for single candidates."""

import math

import numpy as np
import pytest

from fractal_tasks.qc.candidates import (
    CandidateArrays,
    arrange_candidates,
    find_displacements,
)
from fractal_tasks.qc.mixture import (
    find_gains,
    join_candidates,
    limit_gains,
    measure_residuals,
    weigh_mode,
    widen_tolerance,
)
from fractal_tasks.qc.stage import StageModel
from tests.qc.wells import PITCH_UM, measured

STILL = StageModel((0.0, 0.0), (0.0, 0.0, 0.0))
SIGMA_UM = (1.0, 1.0, 1.0)
TOLERANCE_UM = 5.0
AREA_UM2 = 4 * PITCH_UM**2


def at(*distances_um: float, confidence: float = 0.4) -> CandidateArrays:
    """Give one ROI with candidates that far along y."""
    (first, *others) = [((0.0, y_um, 0.0), confidence) for y_um in distances_um]
    roi = measured(first[0], (0.0, 0.0), confidence, others)
    return arrange_candidates([find_displacements(roi)])


def normal(distance_um: float, sigma_um: float) -> float:
    """Give the density of the normal distribution in the plane."""
    exponent = -0.5 * (distance_um / sigma_um) ** 2
    return math.exp(exponent) / (2 * math.pi * sigma_um**2)


def expected_gain(distance_um: float) -> float:
    wrong = (1 / AREA_UM2 + normal(distance_um, TOLERANCE_UM)) / 2
    return normal(distance_um, 1.0) / wrong


def test_gain_is_the_ratio_of_the_densities() -> None:
    candidates = at(0.0, 2.0, 8.0)
    found = find_gains(candidates, STILL, SIGMA_UM, TOLERANCE_UM)[0]
    np.testing.assert_allclose(found, [expected_gain(d) for d in (0.0, 2.0, 8.0)])
    assert found[2] < 1e-6


@pytest.mark.parametrize(("distance_um", "gain"), [(4.99, 1.0), (5.01, 0.01)])
def test_gain_is_never_below_one_within_the_tolerance(
    distance_um: float, gain: float
) -> None:
    assert expected_gain(distance_um) < 0.01
    found = find_gains(at(distance_um), STILL, SIGMA_UM, TOLERANCE_UM)[0, 0]
    assert found <= gain
    assert (found == 1) == (gain == 1)


def test_posterior_is_the_share_of_a_candidate_in_all_that_may_be() -> None:
    candidates = at(0.0, 30.0)
    mode = weigh_mode(candidates, STILL, SIGMA_UM, TOLERANCE_UM)
    near, far = 0.4 * expected_gain(0.0), 0.4 * expected_gain(30.0)
    np.testing.assert_allclose(
        mode.posteriors[0], [near / (0.2 + near + far), far / (0.2 + near + far)]
    )


@pytest.mark.parametrize("turn", [0.0, 0.01], ids=["translation", "turned"])
def test_freedom_of_the_model_costs_what_one_roi_gains_or_two(turn: float) -> None:
    """The ROI lies at the origin of the model, so a turn does not move it."""
    model = StageModel((0.0, 0.0), (0.0, 0.0, 0.0), turn=turn)
    mode = weigh_mode(at(0.0), model, SIGMA_UM, TOLERANCE_UM)
    gain = expected_gain(0.0)
    cost = math.log(gain) * (2 if turn else 1)
    assert mode.evidence == pytest.approx(math.log(0.6 + 0.4 * gain) - cost)


def test_nothing_is_gained_by_candidates_that_are_far_away() -> None:
    candidates = at(50.0, 60.0)
    gains = find_gains(candidates, STILL, SIGMA_UM, TOLERANCE_UM)
    joint, total = join_candidates(candidates, gains)
    assert joint.max() < 1e-100
    assert total[0] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("length_um", "most"),
    [(0.0, 1.0), (1.0, 20 ** (1 - math.exp(-0.5))), (100.0, 20.0)],
)
def test_agreement_counts_20_times_at_most_and_not_at_zero(
    length_um: float, most: float
) -> None:
    found = limit_gains(np.array([[1e6]]), at(length_um), TOLERANCE_UM)
    assert found[0, 0] == pytest.approx(most)
    # What is below its limit stays.
    assert limit_gains(np.array([[0.1]]), at(length_um), TOLERANCE_UM)[0, 0] == 0.1


def test_distance_along_z_speaks_against_a_candidate() -> None:
    roi = measured((30.0, 0.0, 0.0), (0.0, 0.0), 0.4)
    deep = arrange_candidates([find_displacements(roi)])
    assert find_gains(deep, STILL, SIGMA_UM, TOLERANCE_UM)[0, 0] < 1e-6


def test_residuals_are_from_the_model_to_the_candidates() -> None:
    model = StageModel((0.0, 0.0), (1.0, 2.0, 3.0))
    found = measure_residuals(at(7.0), model)
    np.testing.assert_allclose(found, [[[-1, 5, -3]]])


@pytest.mark.parametrize(("sigma_um", "tolerance_um"), [(0.2, 5.0), (1.5, 7.5)])
def test_tolerance_is_five_deviations_at_least(
    sigma_um: float, tolerance_um: float
) -> None:
    assert widen_tolerance((0.1, sigma_um, sigma_um), 5.0) == tolerance_um
