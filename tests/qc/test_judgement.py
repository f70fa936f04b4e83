"""Judging the ROIs of a well together."""

from collections import Counter

import numpy as np
import pytest

from fractal_tasks.model import Candidate, RowKey, WellMovement
from fractal_tasks.qc.judgement import impute_rejected
from tests.qc.wells import (
    PITCH_UM,
    PIXEL_UM,
    SHIFT_UM,
    fov,
    grid,
    judge,
    measured,
    measured_well,
    moved_plate,
    moves,
    place_of,
    statuses,
    vector_of,
    with_best,
    with_transform,
)

NOISE_UM = 0.02 * PIXEL_UM


def test_confident_roi_far_from_the_others_is_rejected_and_moves_nothing() -> None:
    places_um = grid(2, 3)
    well = measured_well(places_um, moved_plate(places_um))
    wrong = (0.0, SHIFT_UM[1] + 30, SHIFT_UM[2])
    well[fov(4)] = measured(wrong, places_um[3], confidence=0.99)
    judgement = judge(well)
    assert list(judgement.rejected) == [fov(4)]
    assert judgement.believed == 5
    complete = impute_rejected(judgement, None)
    assert complete is not None
    assert vector_of(complete[fov(4)]) == pytest.approx(SHIFT_UM, abs=1e-9)
    assert complete[fov(4)].status == "imputed"
    assert complete[fov(4)].candidate.confidence is None
    assert complete[fov(4)].candidate.error_um is None


@pytest.mark.parametrize("size", [(5, 5), (3, 3), (2, 2)], ids=str)
@pytest.mark.parametrize("rotation_deg", [1.0, -1.0, 0.05])
def test_no_roi_of_a_rotated_plate_is_an_outlier(
    size: tuple[int, int], rotation_deg: float
) -> None:
    places_um = grid(*size)
    rng = np.random.default_rng(0)
    truth_um = moved_plate(places_um, rotation_deg, scale=1.0005)
    noise_um = rng.normal(0, NOISE_UM, truth_um.shape) * [0, 1, 1]
    judgement = judge(measured_well(places_um, truth_um + noise_um))
    assert set(statuses(judgement).values()) == {"measured"}


@pytest.mark.parametrize("rejected", ["unclear", "confident and wrong"])
@pytest.mark.parametrize("size", [(5, 5), (2, 2)], ids=str)
def test_imputed_roi_of_a_rotated_plate_is_exact(
    size: tuple[int, int], rejected: str
) -> None:
    """Tolerance: the prediction at a corner has the error of a measurement at most.

    Its variance is that of one field times ``1 / n + d^2 / S`` with the distance d
    from the centre and the sum S of all squared distances: 1 for the corner of 2 x 2 of
    which 3 are known, less for more fields. 5 standard deviations are 0.1 px.
    """
    places_um = grid(*size)
    rng = np.random.default_rng(1)
    truth_um = moved_plate(places_um, rotation_deg=1.0)
    well = measured_well(
        places_um, truth_um + rng.normal(0, NOISE_UM, truth_um.shape) * [0, 1, 1]
    )
    confidence = 0.1 if rejected == "unclear" else 0.99
    well[fov(1)] = measured((0, 150, 90), places_um[0], confidence)
    if rejected == "confident and wrong" and size == (2, 2):
        # Three others are too few to say that it is wrong.
        assert statuses(judge(well))[fov(1)] == "measured"
        return
    complete = impute_rejected(judge(well), None)
    assert complete is not None
    assert complete[fov(1)].status == "imputed"
    error_px = np.abs(vector_of(complete[fov(1)]) - truth_um[0]).max() / PIXEL_UM
    assert error_px < 0.1


@pytest.mark.parametrize("confidence", [0.3, 0.95])
@pytest.mark.parametrize("seed", range(3))
def test_two_fifths_of_wrong_estimates_do_no_harm(seed: int, confidence: float) -> None:
    """As above; the fit on the right ones has a larger error by 1 / sqrt(0.6)."""
    places_um = grid(5, 5)
    rng = np.random.default_rng(seed)
    truth_um = moved_plate(places_um, rotation_deg=1.0)
    well = measured_well(
        places_um, truth_um + rng.normal(0, NOISE_UM, truth_um.shape) * [0, 1, 1]
    )
    wrong = [fov(index) for index in rng.permutation(25)[:10] + 1]
    for key in wrong:
        y_um, x_um = rng.uniform(-300, 300, 2)
        well[key] = measured((0, y_um, x_um), place_of(well[key]), confidence)
    judgement = judge(well)
    assert sorted(judgement.rejected) == sorted(wrong)
    complete = impute_rejected(judgement, None)
    assert complete is not None
    found_um = np.array([vector_of(verdict) for verdict in complete.values()])
    assert np.abs(found_um - truth_um).max() / PIXEL_UM < 0.1 / np.sqrt(0.6)


def test_alternative_that_agrees_with_the_well_is_chosen() -> None:
    places_um = grid(3, 3)
    well = measured_well(places_um, moved_plate(places_um))
    well[fov(5)] = measured(
        (0, 100, 100), places_um[4], 0.6, [((0, -80, 5), 0.2), (SHIFT_UM, 0.1)]
    )
    verdict = judge(well).verdicts[fov(5)]
    assert verdict.status == "chosen"
    assert vector_of(verdict) == SHIFT_UM
    # 20 c / (1 - all c + 20 c) of the only candidate that is not far away.
    assert verdict.confidence == pytest.approx(2 / 2.1, abs=0.01)
    assert verdict.candidate is well[fov(5)].candidates[2]


@pytest.mark.parametrize("rotation_deg", [0.0, 1.0])
@pytest.mark.parametrize("shift_um", [(0, 0, 0), SHIFT_UM], ids=["in place", "moved"])
def test_periodic_samples_are_resolved_by_the_rois_together(
    rotation_deg: float, shift_um: tuple[float, float, float]
) -> None:
    """Each field has five equal candidates, one period apart, in any order."""
    places_um = grid(4, 4)
    rng = np.random.default_rng(2)
    truth_um = moved_plate(places_um, rotation_deg) - SHIFT_UM + shift_um
    well = {}
    for index, (place_um, truth) in enumerate(zip(places_um, truth_um, strict=True)):
        period_um = rng.uniform(9, 15, 2)
        steps = np.array([(0, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)])
        vectors = truth + rng.permutation(steps) * [0, *period_um]
        others = [((0.0, float(y), float(x)), 0.19) for _, y, x in vectors[1:]]
        well[fov(index)] = measured(vectors[0], place_um, 0.19, others)
    judgement = judge(well)
    assert set(statuses(judgement).values()) <= {"measured", "chosen"}
    found_um = [vector_of(verdict) for verdict in judgement.verdicts.values()]
    np.testing.assert_allclose(found_um, truth_um, atol=1e-9)


def test_well_that_is_periodic_as_a_whole_is_not_believed() -> None:
    """All fields would agree as well one period further: nobody can know."""
    well = {}
    for index, place_um in enumerate(grid(4, 4)):
        others = [((0.0, 12.0 + 11 * step, -30.0), 0.19) for step in (-2, -1, 1, 2)]
        well[fov(index)] = measured(SHIFT_UM, place_um, 0.19, others)
    judgement = judge(well)
    assert set(statuses(judgement).values()) == {"rejected"}
    assert judgement.stage is None


def test_two_rois_that_disagree_are_both_kept() -> None:
    well = {
        fov(1): measured((0, 10, 0)),
        fov(2): measured((0, 60, 0), (0, PITCH_UM), confidence=0.9),
    }
    judgement = judge(well)
    assert set(statuses(judgement).values()) == {"measured"}
    assert judgement.verdicts[fov(2)].confidence == 0.9


@pytest.mark.parametrize("confidence", [0.49, 0.5])
def test_one_roi_counts_by_its_own_confidence(confidence: float) -> None:
    judgement = judge({RowKey("well_1"): measured((0, 3, 4), confidence=confidence)})
    expected = "measured" if confidence >= 0.5 else "rejected"
    assert judgement.verdicts[RowKey("well_1")].status == expected
    assert judgement.verdicts[RowKey("well_1")].confidence == confidence


def test_two_groups_of_the_same_size_are_both_kept() -> None:
    """Two sections on one slide may have moved apart: neither is the outlier."""
    well = {
        fov(index): measured((0, 10 if index % 2 else 80, 0), place_um)
        for index, place_um in enumerate(grid(3, 4))
    }
    assert set(statuses(judge(well)).values()) == {"measured"}


def test_rois_that_scatter_without_any_agreement_are_all_kept() -> None:
    rng = np.random.default_rng(4)
    places_um = grid(5, 5)
    anywhere_um = rng.uniform(-300, 300, (25, 3)) * [0, 1, 1]
    judgement = judge(measured_well(places_um, anywhere_um))
    assert set(statuses(judgement).values()) == {"measured"}


@pytest.mark.parametrize("tolerance_um", [5.0, 20.0])
def test_nothing_within_the_tolerance_is_rejected(tolerance_um: float) -> None:
    places_um = grid(4, 4)
    well = measured_well(places_um, moved_plate(places_um))
    for key, share in ((fov(1), 0.98), (fov(2), 1.5)):
        y_um = SHIFT_UM[1] + share * tolerance_um
        well[key] = with_transform(well[key], moves((0.0, y_um, SHIFT_UM[2])))
    judgement = judge(well, outlier_tolerance_um=tolerance_um)
    assert list(judgement.rejected) == [fov(2)]


def test_tolerance_grows_with_the_scatter_of_the_stage() -> None:
    """Uniform jitter of 5 um each way: some fields are 7 um from the centre."""
    places_um = grid(6, 6)
    rng = np.random.default_rng(5)
    jitter_um = rng.uniform(-5, 5, (36, 3)) * [0, 1, 1]
    judgement = judge(measured_well(places_um, moved_plate(places_um) + jitter_um))
    assert np.linalg.norm(jitter_um, axis=1).max() > 6
    assert set(statuses(judgement).values()) == {"measured"}


@pytest.mark.parametrize(
    ("confidence", "y_um", "status"),
    [(0.4, 0.1, "rejected"), (0.06, 10, "measured"), (0.04, 10, "rejected")],
    ids=["unmoved", "moved", "moved and unclear"],
)
def test_agreement_raises_the_odds_20_times_at_most_and_not_at_zero(
    confidence: float, y_um: float, status: str
) -> None:
    """What is fixed in the camera makes all empty fields agree that nothing moved.

    20 times the odds of 0.06 : 0.94 are more than even, of 0.04 : 0.96 they are not.
    """
    well = {
        fov(index): measured((0, y_um, 0), place_um, confidence)
        for index, place_um in enumerate(grid(5, 5))
    }
    assert set(statuses(judge(well)).values()) == {status}


def test_confident_rois_that_did_not_move_are_believed() -> None:
    places_um = grid(3, 3)
    well = measured_well(places_um, np.zeros((9, 3)))
    well[fov(9)] = measured((0, 40, 0), places_um[8])
    assert list(judge(well).rejected) == [fov(9)]


def test_certain_estimate_can_still_be_rejected() -> None:
    places_um = grid(2, 3)
    well = measured_well(places_um, moved_plate(places_um))
    well = {key: with_best(item, confidence=1.0) for key, item in well.items()}
    well[fov(1)] = measured((0, 42, -30), places_um[0], confidence=1.0)
    assert list(judge(well).rejected) == [fov(1)]


def test_well_without_any_confidence_at_all_is_rejected() -> None:
    places_um = grid(2, 3)
    well = measured_well(places_um, moved_plate(places_um))
    judgement = judge({key: with_best(m, confidence=0.0) for key, m in well.items()})
    assert set(statuses(judgement).values()) == {"rejected"}


def test_estimates_without_confidence_are_believed_unless_they_are_outliers() -> None:
    places_um = grid(3, 3)
    well = measured_well(places_um, moved_plate(places_um))
    well = {key: with_best(item, confidence=None) for key, item in well.items()}
    well[fov(1)] = measured((0, 90, 0), places_um[0], confidence=None)
    judgement = judge(well)
    assert list(judgement.rejected) == [fov(1)]
    alone = judge({fov(1): well[fov(1)]})
    assert alone.verdicts[fov(1)].status == "measured"
    assert alone.verdicts[fov(1)].confidence is None


def test_zero_min_confidence_keeps_every_estimate_as_measured() -> None:
    places_um = grid(3, 3)
    well = measured_well(places_um, moved_plate(places_um))
    well[fov(1)] = measured((0, 90, 0), places_um[0], 0.0, [(SHIFT_UM, 0.2)])
    judgement = judge(well, min_confidence=0.0)
    assert set(statuses(judgement).values()) == {"measured"}
    assert vector_of(judgement.verdicts[fov(1)]) == (0, 90, 0)


def test_shift_along_z_is_judged_and_imputed() -> None:
    places_um = grid(3, 3)
    truth_um = moved_plate(places_um) + np.array([4.0, 0, 0])
    well = measured_well(places_um, truth_um)
    well[fov(2)] = measured((44.0, *truth_um[1, 1:]), places_um[1])
    well[fov(3)] = measured((0, 0, 0), places_um[2], 0.01)
    complete = impute_rejected(judge(well), None)
    assert complete is not None
    assert Counter(v.status for v in complete.values())["imputed"] == 2
    for index in (1, 2):
        found_um = vector_of(complete[fov(index + 1)])
        np.testing.assert_allclose(found_um, truth_um[index], atol=1e-9)


def test_rois_at_the_same_place_are_judged() -> None:
    """All ROIs overlap: no rotation can be seen, and none is needed."""
    well = {RowKey(f"nucleus_{i}"): measured(SHIFT_UM, (50, 50)) for i in range(6)}
    well[RowKey("nucleus_3")] = measured((0, 70, 0), (50, 50))
    assert list(judge(well).rejected) == [RowKey("nucleus_3")]


def test_order_of_the_rois_makes_no_difference() -> None:
    rng = np.random.default_rng(7)
    for _ in range(10):
        places_um = grid(4, 4)
        truth_um = moved_plate(places_um, rng.uniform(-1, 1))
        well = measured_well(places_um, truth_um + rng.normal(0, 1, truth_um.shape))
        for index in rng.choice(16, 8, replace=False) + 1:
            key = fov(index)
            others = [((0.0, *rng.uniform(-90, 90, 2)), 0.1) for _ in range(3)]
            y_um, x_um = rng.uniform(-90, 90, 2)
            well[key] = measured(
                (0, y_um, x_um), place_of(well[key]), rng.random(), others
            )
        expected = judge(well).verdicts
        keys = [fov(index) for index in rng.permutation(16) + 1]
        found = judge({key: well[key] for key in keys}).verdicts
        assert list(found) == keys
        assert found == expected


def test_plate_speaks_for_a_well_in_which_nothing_is_believed() -> None:
    places_um = grid(2, 2)
    well = measured_well(places_um, moved_plate(places_um))
    judgement = judge({key: with_best(m, confidence=0.01) for key, m in well.items()})
    plate = WellMovement(translation_um=(0.0, 7.0, 8.0), wells=11)
    complete = impute_rejected(judgement, plate)
    assert complete is not None
    for verdict in complete.values():
        assert vector_of(verdict) == (0, 7, 8)
        assert verdict.confidence == 0.01
        assert verdict.status == "imputed"
    assert impute_rejected(judgement, None) is None


@pytest.mark.parametrize("count", [1, 1000, 10_000])
def test_wells_of_any_size_can_be_judged(count: int) -> None:
    places_um = grid(100, 100)[:count]
    rng = np.random.default_rng(8)
    truth_um = moved_plate(places_um, rotation_deg=0.5)
    well = measured_well(places_um, truth_um)
    wrong = [fov(index) for index in range(3, count, 3)]
    for key, truth in zip(wrong, truth_um[2::3], strict=False):
        y_um, x_um = truth[1:] + rng.uniform(20, 300, 2) * rng.choice([-1, 1], 2)
        well[key] = measured((0, y_um, x_um), place_of(well[key]))
    assert list(judge(well).rejected) == wrong


def test_verdict_keeps_the_candidate_with_its_evidence() -> None:
    well = measured_well(grid(2, 2), moved_plate(grid(2, 2)))
    own = Candidate(moves(SHIFT_UM), 0.97, 0.02, evidence={"ratio": 6.0})
    well[fov(2)] = with_best(
        well[fov(2)], confidence=0.97, error_um=0.02, evidence={"ratio": 6.0}
    )
    assert judge(well).verdicts[fov(2)].candidate == own


def test_imprecise_candidate_is_not_made_precise_by_agreement() -> None:
    """P(error < 1 px) = 1 - (1 + 1 / (4 s^2))^-2 = 0.36 with s = 1 px, whatever agrees.

    The confidence of 0.3 is that, times a probability of 0.83 that the peak is right.
    """
    places_um = grid(3, 3)
    well = measured_well(places_um, moved_plate(places_um))
    well[fov(5)] = with_best(well[fov(5)], confidence=0.3, error_um=PIXEL_UM)
    verdict = judge(well).verdicts[fov(5)]
    assert verdict.status == "rejected"
    # At most 0.36, and 0.83 has become nearly 1.
    assert verdict.confidence == pytest.approx(0.36, abs=0.01)


def test_rois_of_several_timepoints_are_judged_by_key() -> None:
    well = {
        RowKey("FOV_1", timepoint): measured(SHIFT_UM, (50, 50))
        for timepoint in range(6)
    }
    well[RowKey("FOV_1", 2)] = measured((0, 70, 0), (50, 50))
    assert list(judge(well).rejected) == [RowKey("FOV_1", 2)]
