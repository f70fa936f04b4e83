"""What the ROIs of a well agree on."""

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import pytest

from fractal_tasks.model import Measurement
from fractal_tasks.qc.candidates import (
    CandidateArrays,
    arrange_candidates,
    find_displacements,
)
from fractal_tasks.qc.places import find_places
from fractal_tasks.qc.well import WellModel, model_well
from fractal_tasks.transforms import FloatArray
from tests.qc.wells import (
    SHIFT_UM,
    fov,
    grid,
    measured,
    measured_well,
    moved_plate,
    with_best,
)


def arranged(rois: Iterable[Measurement]) -> CandidateArrays:
    return arrange_candidates(
        [find_displacements(roi, [1.0] * len(roi.candidates)) for roi in rois]
    )


def posteriors(rois: Iterable[Measurement]) -> FloatArray:
    candidates = arranged(rois)
    limits = np.ones_like(candidates.probabilities)
    return find_places(candidates, model_well(candidates), None, limits).posteriors


def test_model_is_the_movement_that_most_rois_share() -> None:
    """Three of 16 show something else; the others are exact."""
    places_um = grid(4, 4)
    well = measured_well(places_um, moved_plate(places_um, 1.0))
    for index in (2, 7, 12):
        well[fov(index)] = measured((0, 200, 30 * index), places_um[index - 1])
    best = model_well(arranged(well.values())).hypotheses[0]
    assert len(best.groups) == 1
    assert best.groups[0].model.rotation_deg == pytest.approx(1.0, abs=1e-3)
    found = posteriors(well.values())[:, 0]
    assert np.flatnonzero(found < 0.9).tolist() == [1, 6, 11]
    # Three fields in 1000 move alone, one of 20 estimates is wrong.
    np.testing.assert_allclose(found[[1, 6, 11]], 0.054, atol=0.005)


def test_equal_modes_share_the_probability() -> None:
    """Two candidates per ROI, in two places alike for all: each has a half."""
    rois = [
        measured((0, 40, 0), place_um, 0.49, [((0, -40, 0), 0.49)])
        for place_um in grid(3, 3)
    ]
    np.testing.assert_allclose(posteriors(rois), 0.5, atol=0.001)


def test_one_candidate_more_than_the_rest_decides_between_modes() -> None:
    """A mode that one more ROI shares explains more, by that ROI's gain."""
    rois = [
        measured((0, 40, 0), place_um, 0.49, [((0, -40, 0), 0.49)])
        for place_um in grid(3, 3)
    ]
    rois[4] = measured((0, 40, 0), grid(3, 3)[4], 0.9)
    assert posteriors(rois)[:, 0].min() > 0.9


@pytest.mark.parametrize("jitter_um", [0.2, 1.0, 4.0])
def test_scatter_is_found(jitter_um: float) -> None:
    """Scatters are tried in steps of two: the nearest is within a factor of 1.42."""
    rng = np.random.default_rng(0)
    places_um = grid(10, 10)
    jitter = rng.normal(0, jitter_um, (100, 3)) * [0, 1, 1]
    well = measured_well(places_um, moved_plate(places_um) + jitter)
    well = {key: with_best(roi, error_um=0.0) for key, roi in well.items()}
    best = model_well(arranged(well.values())).hypotheses[0]
    assert 0.65 < best.groups[0].scatter_um / jitter_um < 1.55


@pytest.mark.parametrize(
    ("of_second", "shares"),
    [(lambda row: row >= 3, (0.5, 0.5)), (lambda row: row == 2, (5 / 6, 1 / 6))],
    ids=["a slide that moved in the middle", "a row that lost steps"],
)
def test_groups_that_moved_apart_are_told_apart(
    of_second: Callable[[npt.NDArray[np.int_]], npt.NDArray[np.bool_]],
    shares: tuple[float, float],
) -> None:
    places_um = grid(6, 6)
    truth_um = moved_plate(places_um)
    is_second = of_second(np.arange(36) // 6)
    truth_um[is_second] += [0, 50, 0]
    rng = np.random.default_rng(0)
    truth_um += rng.normal(0, 0.2, truth_um.shape) * [0, 1, 1]
    well = measured_well(places_um, truth_um)
    best = model_well(arranged(well.values())).hypotheses[0]
    assert len(best.groups) == 2
    np.testing.assert_allclose(best.shares, shares, atol=0.03)
    assert posteriors(well.values()).min() > 0.99


def test_fields_without_anything_in_common_count_by_themselves() -> None:
    rng = np.random.default_rng(4)
    rois = [
        measured((0, *rng.uniform(-300, 300, 2)), place_um, 0.95)
        for place_um in grid(5, 5)
    ]
    np.testing.assert_allclose(posteriors(rois), 0.95, atol=0.01)


def test_same_input_gives_the_same_result() -> None:
    rng = np.random.default_rng(2)
    rois = [
        measured((0, *rng.normal(0, 50, 2)), place_um, rng.random())
        for place_um in grid(5, 5)
    ]
    np.testing.assert_array_equal(posteriors(rois), posteriors(rois))


def test_rois_beyond_the_sample_are_judged_as_well() -> None:
    """The model is found in 500 of 625 fields; all 625 are near it."""
    places_um = grid(25, 25)
    well = measured_well(places_um, moved_plate(places_um, 0.5))
    assert posteriors(well.values()).min() > 0.999


def test_one_roi_is_as_probable_as_it_says() -> None:
    assert posteriors([measured(SHIFT_UM, confidence=0.37)])[0, 0] == 0.37


def test_without_any_probability_there_is_no_group() -> None:
    rois = [measured(SHIFT_UM, place_um, 0.0) for place_um in grid(2, 2)]
    model: WellModel = model_well(arranged(rois))
    assert all(not one.groups for one in model.hypotheses)
