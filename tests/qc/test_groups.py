"""Fields that move together, against formulas written out for few of them."""

import math

import numpy as np
import pytest

from fractal_tasks.model import WellMovement
from fractal_tasks.qc.candidates import (
    CandidateArrays,
    arrange_candidates,
    find_displacements,
)
from fractal_tasks.qc.groups import APART, Group, believe, climb
from fractal_tasks.qc.hypotheses import find_still, weigh
from fractal_tasks.qc.stage import StageModel
from tests.qc.wells import (
    PITCH_UM,
    PIXEL_UM,
    grid,
    measured,
    measured_well,
    moved_plate,
    with_best,
)

STILL = StageModel((0.0, 0.0), (0.0, 0.0, 0.0))
AREA_UM2 = 4 * PITCH_UM**2
ERROR_UM = 0.6


def at(*vectors_um: tuple[float, float], confidence: float = 0.4) -> CandidateArrays:
    """Give one ROI with candidates at y, x."""
    first, *others = [((0.0, *vector), confidence) for vector in vectors_um]
    roi = with_best(measured(first[0], (0, 0), confidence, others), error_um=ERROR_UM)
    return arrange_candidates([find_displacements(roi, [1.0] * len(vectors_um))])


def normal(distance_um: float, variance: float) -> float:
    """Give the density of the normal distribution in the plane."""
    return math.exp(-(distance_um**2) / (2 * variance)) / (2 * math.pi * variance)


@pytest.mark.parametrize("distance_um", [0.0, 1.0, 5.0])
def test_gain_is_the_density_of_right_candidates_over_that_of_wrong_ones(
    distance_um: float,
) -> None:
    group = Group(STILL, scatter_um=0.8)
    found = group.gains(at((distance_um, 0.0)))[0, 0]
    # Scatter and standard error: 0.64 + 0.36. Along z the fit starts with 2 um, of 0.5.
    assert found == pytest.approx(normal(distance_um, 1.0) * AREA_UM2 * 0.5 / 2)


def test_posterior_is_the_share_of_a_candidate_in_all_that_may_be() -> None:
    candidates = at((0.0, 0.0), (0.0, 30.0))
    found = believe(candidates, np.array([[50.0, 0.1]]))
    joint = np.array([0.4 * 50, 0.4 * 0.1]) * (1 - APART)
    # Neither is right, or one is, of a field that moved alone.
    other = 0.2 + 0.8 * APART
    np.testing.assert_allclose(found[0], joint / (other + joint.sum()))


def test_one_field_agrees_with_nothing() -> None:
    """Integrated over all places of the model, its candidate is as probable as before.

    exp(evidence), over the prior of this scatter, is 0.4 (1 - APART), as nothing else
    than the candidate being right speaks for the group.
    """
    candidates = at((3.0, 4.0))
    group = climb(candidates, Group(StageModel((0, 0), (0, 3, 4)), 0.8), linear=False)
    assert group is not None
    found = weigh(candidates, [group], None).evidence
    prior = np.exp(-((np.log(0.1 * 2.0 ** np.arange(8) / 0.4) / 1.2) ** 2) / 2)
    depth = 0.5 / group.depth_um
    expected = 0.4 * (1 - APART) * 0.99 * prior[3] / prior.sum() * depth
    assert math.exp(found) == pytest.approx(expected, rel=1e-3)


def test_two_fields_that_agree_gain_what_chance_does_not_explain() -> None:
    """Their distance of d has the density of two scatters, against 1 / area."""
    rois = [
        with_best(measured((0, y_um, 0), (0, x_um), 0.4), error_um=0.0)
        for y_um, x_um in ((3.0, 0.0), (4.0, 700.0))
    ]
    candidates = arrange_candidates([find_displacements(roi, [1.0]) for roi in rois])
    start = Group(StageModel((0, 0), (0, 3.5, 0)), 0.8)
    group = climb(candidates, start, linear=False)
    assert group is not None
    found = weigh(candidates, [group], None).evidence
    prior = np.exp(-((np.log(0.1 * 2.0 ** np.arange(8) / 0.4) / 1.2) ** 2) / 2)
    both = (0.4 * (1 - APART)) ** 2 * AREA_UM2 * normal(1.0, 2 * 0.8**2)
    expected = both * 0.99 * prior[3] / prior.sum()
    # That one is right and the other is not adds a millionth.
    assert math.exp(found) == pytest.approx(expected, rel=1e-3)


def test_place_that_the_plate_expects_is_more_probable_before() -> None:
    candidates = at((3.0, 4.0))
    group = climb(candidates, Group(StageModel((0, 0), (0, 3, 4)), 0.8), linear=False)
    assert group is not None
    plate = WellMovement(translation_um=(0.0, 3.0, 4.0), wells=5, scatter_um=2.0)
    apart = WellMovement(translation_um=(0.0, 90.0, 4.0), wells=5, scatter_um=2.0)
    none, near, far = (
        weigh(candidates, [group], one).evidence for one in (None, plate, apart)
    )
    # Nine of ten wells are where the plate says, within 2 um and the field's 1 um.
    gain = 0.1 + 0.9 * normal(0.0, 2.0**2 + 1.0) * AREA_UM2
    assert math.exp(near - none) == pytest.approx(gain, rel=1e-4)
    assert math.exp(far - none) == pytest.approx(0.1)


def test_turned_plate_is_fitted_exactly() -> None:
    places_um = grid(4, 4)
    well = measured_well(places_um, moved_plate(places_um, 1.0, 1.001))
    candidates = arrange_candidates(
        [find_displacements(roi, [1.0]) for roi in well.values()]
    )
    start = Group(StageModel((1332.0, 1332.0), (0, 12, -30)), scatter_um=6.4)
    group = climb(candidates, start, linear=True)
    assert group is not None
    assert group.model.rotation_deg == pytest.approx(1.0, abs=1e-3)
    assert group.model.scale == pytest.approx(1.001, abs=1e-5)


@pytest.mark.parametrize("rotation_deg", [0.0, 0.5])
def test_turn_has_to_explain_more_than_its_freedom_costs(rotation_deg: float) -> None:
    places_um = grid(3, 3)
    rng = np.random.default_rng(0)
    noise_um = rng.normal(0, 0.1, (9, 3)) * [0, 1, 1]
    well = measured_well(places_um, moved_plate(places_um, rotation_deg) + noise_um)
    candidates = arrange_candidates(
        [find_displacements(roi, [1.0]) for roi in well.values()]
    )
    model = StageModel((999.0, 999.0), (0, 12, -30))
    evidence = []
    for linear in (False, True):
        tried = [
            climb(candidates, Group(model, scatter), linear=linear)
            for scatter in (0.1, 0.8, 6.4)
        ]
        evidence.append(
            max(weigh(candidates, [group], None).evidence for group in tried if group)
        )
    assert (evidence[1] > evidence[0]) == (rotation_deg > 0)


def test_no_candidate_nearby_is_no_group() -> None:
    start = Group(StageModel((0, 0), (0, 300, 0)), scatter_um=0.8)
    assert climb(at((3.0, 4.0)), start, linear=False) is None


@pytest.mark.parametrize(("y_px", "still"), [(0.0, 1.0), (1.5, math.exp(-0.5))])
def test_no_movement_is_as_wide_as_a_peak(y_px: float, still: float) -> None:
    found = find_still(at((y_px * PIXEL_UM, 0.0)))[0, 0]
    assert found == pytest.approx(still)
