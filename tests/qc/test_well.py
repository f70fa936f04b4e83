"""What the ROIs of a well agree on."""

from collections.abc import Iterable

import numpy as np
import pytest

from fractal_tasks.model import Measurement
from fractal_tasks.qc.candidates import (
    CandidateArrays,
    arrange_candidates,
    find_displacements,
)
from fractal_tasks.qc.stage import StageModel
from fractal_tasks.qc.well import WellAgreement, find_agreement
from tests.qc.wells import (
    PIXEL_UM,
    SHIFT_UM,
    fov,
    grid,
    measured,
    measured_well,
    moved_plate,
    with_best,
)


def arranged(rois: Iterable[Measurement]) -> CandidateArrays:
    return arrange_candidates([find_displacements(roi) for roi in rois])


def agreed(rois: Iterable[Measurement], tolerance_um: float = 5.0) -> WellAgreement:
    agreement = find_agreement(arranged(rois), tolerance_um)
    assert agreement is not None
    return agreement


def test_model_is_the_movement_that_most_rois_share() -> None:
    """Three of 16 show something else; the others are exact."""
    places_um = grid(4, 4)
    well = measured_well(places_um, moved_plate(places_um, 1.0))
    for index in (2, 7, 12):
        well[fov(index)] = measured((0, 200, 30 * index), places_um[index - 1])
    agreement = agreed(well.values())
    assert agreement.model.rotation_deg == pytest.approx(1.0, abs=1e-6)
    wrong = agreement.distances_um[:, 0] > agreement.tolerance_um
    assert np.flatnonzero(wrong).tolist() == [1, 6, 11]
    assert agreement.posteriors[wrong, 0].max() < 1e-6
    assert agreement.count(0.5) == 13


def test_equal_modes_share_the_probability() -> None:
    """Two candidates per ROI, in two places alike for all: each has a half.

    That none is right has 0.02 / (0.02 + 20 * 0.49) = 0.002 of each mode.
    """
    rois = [
        measured((0, 40, 0), place_um, 0.49, [((0, -40, 0), 0.49)])
        for place_um in grid(3, 3)
    ]
    posteriors = agreed(rois).posteriors
    np.testing.assert_allclose(posteriors, 0.499, atol=0.001)


def test_one_candidate_more_than_the_rest_decides_between_modes() -> None:
    """A mode that one more ROI shares explains more, by that ROI's gain."""
    rois = [
        measured((0, 40, 0), place_um, 0.49, [((0, -40, 0), 0.49)])
        for place_um in grid(3, 3)
    ]
    rois[4] = measured((0, 40, 0), grid(3, 3)[4], 0.9)
    posteriors = agreed(rois).posteriors
    assert posteriors[:, 0].min() > 0.9


def test_agreement_is_multiplied_by_the_precision() -> None:
    """With a standard error of a pixel: 0.36, of which the peak has all but 1e-3."""
    places_um = grid(3, 3)
    well = measured_well(places_um, moved_plate(places_um))
    rois = [with_best(roi, confidence=0.35, error_um=PIXEL_UM) for roi in well.values()]
    np.testing.assert_allclose(agreed(rois).posteriors, 0.36, atol=1e-3)


@pytest.mark.parametrize(
    ("jitter_um", "tolerance_um"), [(0.02, 5.0), (1.5, 7.5)], ids=["exact", "shaky"]
)
def test_tolerance_follows_the_scatter(jitter_um: float, tolerance_um: float) -> None:
    """Five deviations; that of 100 fields is known to about 10 %."""
    rng = np.random.default_rng(0)
    places_um = grid(10, 10)
    jitter = rng.normal(0, jitter_um, (100, 3)) * [0, 1, 1]
    well = measured_well(places_um, moved_plate(places_um) + jitter)
    found_um = agreed(well.values()).tolerance_um
    assert found_um == pytest.approx(tolerance_um, rel=0.1)


def test_scatter_is_limited_to_half_of_the_tolerance() -> None:
    rng = np.random.default_rng(1)
    rois = [
        measured((0, *rng.normal(0, 6, 2)), place_um, 0.9) for place_um in grid(6, 6)
    ]
    assert agreed(rois).tolerance_um <= 2.5 * 5.0


def test_same_input_gives_the_same_result() -> None:
    rng = np.random.default_rng(2)
    rois = [
        measured((0, *rng.normal(0, 50, 2)), place_um, rng.random())
        for place_um in grid(5, 5)
    ]
    first, second = agreed(rois), agreed(rois)
    np.testing.assert_array_equal(first.posteriors, second.posteriors)
    assert first.model == second.model


def test_rois_beyond_the_sample_are_judged_as_well() -> None:
    """The model is found in 500 of 625 fields; all 625 are near it."""
    places_um = grid(25, 25)
    well = measured_well(places_um, moved_plate(places_um, 0.5))
    agreement = agreed(well.values())
    assert agreement.distances_um.max() < 1e-3
    assert agreement.count(0.9) == 625


def test_without_any_probability_there_is_no_model() -> None:
    rois = [measured(SHIFT_UM, place_um, 0.0) for place_um in grid(2, 2)]
    assert find_agreement(arranged(rois), 5.0) is None


def test_rois_count_as_agreeing_if_they_are_near_and_probable() -> None:
    agreement = WellAgreement(
        model=StageModel((0, 0), (0, 0, 0)),
        tolerance_um=5.0,
        distances_um=np.array([[1.0, 90.0], [90.0, 4.0], [90.0, 80.0], [1.0, 2.0]]),
        posteriors=np.array([[0.95, 0.0], [0.0, 0.9], [0.95, 0.0], [0.4, 0.5]]),
    )
    assert agreement.count(0.9) == 2
