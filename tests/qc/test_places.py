"""Where ROIs are, and what it costs to put them elsewhere: against random draws."""

import numpy as np
import pytest

from fractal_tasks.model import WellMovement
from fractal_tasks.qc.candidates import (
    CandidateArrays,
    arrange_candidates,
    find_displacements,
)
from fractal_tasks.qc.places import Places, find_loss, find_places, find_square
from fractal_tasks.qc.well import model_well
from tests.qc.wells import grid, measured, measured_well, moved_plate


def places(centre_um: float, sigma_um: float, weight: float = 1.0) -> Places:
    """Give one ROI with one part along y."""
    return Places(
        np.array([[weight]]),
        np.array([[[centre_um, 0.0]]]),
        np.array([[sigma_um**2]]),
        np.array([[weight]]),
    )


@pytest.mark.parametrize("sigma_um", [0.1, 2.0, 5.0, 50.0])
def test_loss_is_the_mean_distance_up_to_where_a_field_is_lost(sigma_um: float) -> None:
    """A million draws: the mean is known to 0.1 % of its 10 um at most."""
    rng = np.random.default_rng(0)
    lengths_um = np.hypot(*rng.normal(0, sigma_um, (2, 1_000_000)))
    expected_um = np.minimum(lengths_um, 10).mean()
    at_truth, most_um = np.zeros((1, 1, 2)), np.array([10.0])
    found = find_loss(places(0.0, sigma_um), at_truth, most_um)
    assert found[0, 0] == pytest.approx(expected_um, abs=0.02)
    found = find_square(places(0.0, sigma_um), at_truth, most_um)
    square = np.minimum(lengths_um**2, 100).mean()
    assert found[0, 0] == pytest.approx(square, abs=0.2)


def test_loss_rises_with_distance_and_never_exceeds_that_of_a_lost_field() -> None:
    options_um = np.zeros((1, 50, 2))
    options_um[0, :, 0] = np.geomspace(0.1, 500, 50)
    found = find_loss(places(0.0, 0.5), options_um, np.array([10.0]))[0]
    assert (np.diff(found) > 0).all()
    assert 9.9 < found[-1] < 10


def test_what_may_be_anywhere_is_lost() -> None:
    found = find_loss(places(0.0, 0.0, 0.75), np.zeros((1, 1, 2)), np.array([10.0]))
    assert found[0, 0] == pytest.approx(2.5, abs=1e-4)


def well_of(confidences: list[float]) -> CandidateArrays:
    places_um = grid(2, 3)[: len(confidences)]
    rois = measured_well(places_um, moved_plate(places_um)).values()
    changed = [
        measured(roi.displacement_um(roi.best), roi.centre_um[1:], confidence)
        for roi, confidence in zip(rois, confidences, strict=True)
    ]
    return arrange_candidates([find_displacements(roi, [1.0]) for roi in changed])


@pytest.mark.parametrize(
    "plate",
    [None, WellMovement(translation_um=(0, 12, -30), wells=4, scatter_um=2.0)],
    ids=["well", "plate"],
)
def test_probabilities_sum_to_one(plate: WellMovement | None) -> None:
    candidates = well_of([0.5, 0.4, 0.0, 0.9])
    well = model_well(candidates, plate)
    assert sum(well.shares) == pytest.approx(1)
    found = find_places(candidates, well, plate, np.ones((4, 1)))
    total = found.weights.sum(axis=1)
    assert (total <= 1 + 1e-9).all()
    assert (found.posteriors <= 1).all()
    np.testing.assert_allclose(found.lost, 1 - total, atol=1e-9)
    # Three fields that agree leave little doubt about where the fourth one is.
    assert found.lost.max() < 0.03


def test_objection_gives_the_probability_to_where_the_well_is() -> None:
    candidates = well_of([0.9, 0.9, 0.9, 0.9])
    limits = np.array([[1.0], [0.3], [1.0], [1.0]])
    found = find_places(candidates, model_well(candidates), None, limits)
    assert found.posteriors[1, 0] == pytest.approx(0.3)
    assert found.lost[1] < 0.03
