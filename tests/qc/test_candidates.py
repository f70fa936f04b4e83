"""What the model sees of the candidates."""

from dataclasses import replace

import numpy as np
import pytest

from fractal_tasks.model import Measurement
from fractal_tasks.qc.candidates import (
    Displacement,
    RoiDisplacements,
    arrange_candidates,
    find_displacements,
)
from tests.qc.transforms import linear
from tests.qc.wells import PIXEL_UM, SHIFT_UM, measured, with_best, with_transform


def seen_of(roi: Measurement) -> RoiDisplacements:
    return find_displacements(roi, [1.0] * len(roi.candidates))


def test_displacement_is_that_of_the_centre() -> None:
    """A doubling about the origin moves every point by its own coordinates."""
    roi = with_transform(measured(SHIFT_UM, (30.0, 50.0)), linear(2 * np.eye(3)))
    seen = seen_of(roi)
    assert seen.centre_um == (30, 50)
    assert seen.displacements[0].vector_um == (0.5, 30, 50)


@pytest.mark.parametrize(
    ("error_um", "expected_um"), [(None, 0.5 * PIXEL_UM), (0.0, 0.0), (1.5, 1.5)]
)
def test_unknown_standard_error_is_half_a_pixel(
    error_um: float | None, expected_um: float
) -> None:
    seen = seen_of(with_best(measured(SHIFT_UM), error_um=error_um))
    assert seen.displacements[0].error_um == expected_um


def test_candidate_without_a_confidence_counts_nine_of_ten() -> None:
    assert seen_of(measured(SHIFT_UM, confidence=None)).displacements[0] == (
        Displacement(SHIFT_UM, 0.9, 0.5 * PIXEL_UM)
    )


def test_objection_limits_the_probability() -> None:
    roi = measured(SHIFT_UM, confidence=0.8, others=[((0, 1, 1), 0.1)])
    seen = find_displacements(roi, [0.3, 1.0])
    assert [one.probability for one in seen.displacements] == [0.3, 0.1]


def test_arrays_hold_all_candidates_and_are_padded_with_probability_0() -> None:
    one = measured((0, 1, 2), (10, 20), 0.5, size_um=100)
    two = measured((3, 4, 5), (30, 40), 0.5, [((6, 7, 8), 0.25)], size_um=200)
    arrays = arrange_candidates([seen_of(roi) for roi in (one, two)])
    np.testing.assert_array_equal(arrays.centres_um, [[10, 20], [30, 40]])
    np.testing.assert_array_equal(
        arrays.displacements_um, [[[0, 1, 2], [0, 0, 0]], [[3, 4, 5], [6, 7, 8]]]
    )
    np.testing.assert_array_equal(arrays.probabilities, [[0.5, 0], [0.5, 0.25]])
    np.testing.assert_array_equal(arrays.none_right, [0.5, 0.25])
    # Twice the size along y times twice the size along x.
    np.testing.assert_array_equal(arrays.search_area_um2, [200**2, 400**2])


def test_probability_is_of_the_peak_however_inexact_it_is() -> None:
    roi = with_best(measured(SHIFT_UM), confidence=0.18, error_um=9.0)
    assert arrange_candidates([seen_of(roi)]).probabilities[0, 0] == 0.18


@pytest.mark.parametrize("others", [[], [((0, 1, 1), 1.0)]], ids=["one", "two"])
def test_certainty_leaves_one_in_a_thousand(
    others: list[tuple[tuple[float, float, float], float]],
) -> None:
    roi = measured(SHIFT_UM, confidence=1.0, others=others)
    arrays = arrange_candidates([seen_of(roi)])
    assert arrays.none_right[0] == pytest.approx(1e-3)


def test_sample_is_always_the_same_and_of_whole_rois() -> None:
    rois = [measured((0, i, -i), (i, 2 * i), i / 100) for i in range(50)]
    arrays = arrange_candidates([seen_of(roi) for roi in rois])
    assert arrays.sample(50) is arrays
    sample = arrays.sample(20)
    np.testing.assert_array_equal(sample.centres_um, arrays.sample(20).centres_um)
    assert len(np.unique(sample.centres_um[:, 0])) == 20
    index = sample.centres_um[:, 0]
    np.testing.assert_array_equal(sample.displacements_um[:, 0, 1], index)
    np.testing.assert_array_equal(sample.probabilities[:, 0], index / 100)


def test_order_of_rois_follows_from_what_is_seen_alone() -> None:
    first, last = measured((0, 1, 0), (0, 0)), measured((0, 1, 0), (0, 1))
    deeper = replace(first, centre_um=(9.0, *first.centre_um[1:]))
    assert seen_of(first) < seen_of(last)
    assert seen_of(first) == seen_of(deeper)
