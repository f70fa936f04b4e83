"""Judging the ROIs of a well together."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from fractal_tasks.model import Measurement, RowKey, WellMovement
from fractal_tasks.transforms import (
    Affine,
    Displacements,
    FloatArray,
    Translation,
    Warp,
    plane_matrix,
)
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
    verdict = judgement.verdicts[fov(4)]
    assert vector_of(verdict) == pytest.approx(SHIFT_UM, abs=1e-6)
    assert verdict.status == "imputed"


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


def test_stand_in_leaves_off_what_the_others_do() -> None:
    places_um = grid(2, 3)
    well = measured_well(places_um, moved_plate(places_um))
    for index, left_px in enumerate((1.0, 1.5, 1.6, 1.8, 2.0, 0.0), start=1):
        changes: dict[str, object] = {"evidence": {"ratio": 2.0, "left_px": left_px}}
        if index == 6:
            changes |= {"confidence": 0.01, "transform": moves((0.0, 90.0, 90.0))}
        well[fov(index)] = with_best(well[fov(index)], **changes)
    verdict = judge(well).verdicts[fov(6)]
    assert verdict.status == "imputed"
    assert verdict.candidate.evidence == {"ratio": 2.0, "left_px": 1.6}


@pytest.mark.parametrize(
    ("left_px", "expected"),
    [((3.0, 0.0, 3.2, 0.0), (3.0, 3.1, 3.2, 3.1)), ((3.0, 0.0, 0.0, 0.0),) * 2],
    ids=["half are turned", "one by chance"],
)
def test_a_roi_that_shows_no_turn_leaves_off_what_the_others_do(
    left_px: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    places_um = grid(2, 2)
    well = measured_well(places_um, moved_plate(places_um))
    for index, one in enumerate(left_px, start=1):
        evidence = {"ratio": 2.0, "left_px": one}
        well[fov(index)] = with_best(well[fov(index)], evidence=evidence)
    verdicts = judge(well).verdicts
    found = [verdicts[fov(index)].candidate.left_px for index in range(1, 5)]
    assert found == pytest.approx(expected)


def turn_fields(
    well: dict[RowKey, Measurement], numbers: Sequence[int], degrees: float
) -> FloatArray:
    """Let fields show a turn about their centres; give its matrix."""
    matrix = plane_matrix(turn_rad=np.deg2rad(degrees))
    for number in numbers:
        item = well[fov(number)]
        moved_um = item.best.transform.displacement_at(item.centre_um)
        turn = Affine.about(item.centre_um, matrix, moved_um)
        well[fov(number)] = with_best(item, transform=turn)
    return matrix


def show_turn(
    well: dict[RowKey, Measurement], number: int, degrees: float, error_deg: float
) -> None:
    """Let the windows of a field show a turn, with its standard error."""
    shown = {"turn_deg": degrees, "scale": 1.0, "turn_error_deg": error_deg}
    item = well[fov(number)]
    well[fov(number)] = with_best(item, evidence={**item.best.evidence, **shown})


def test_fields_that_show_a_turn_together_turn() -> None:
    """No single one is sure of it but one, whose transform says that turns count."""
    places_um = grid(2, 3)
    well = measured_well(places_um, moved_plate(places_um, rotation_deg=1.0))
    for number, degrees in enumerate((1.2, 0.7, 1.4, 0.8, 1.1), start=2):
        show_turn(well, number, degrees, error_deg=0.4)
    turn_fields(well, [1], 1.0)
    for number in range(2, 7):
        transform = judge(well).verdicts[fov(number)].candidate.transform
        assert isinstance(transform, Affine)
        turned = math.degrees(math.asin(transform.matrix[2][1]))
        assert turned == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize(
    ("rotation_deg", "error_deg", "expected_px"),
    [(1.0, 0.004, 25.3), (0.0, 0.4, None)],
    ids=["turned", "unknown"],
)
def test_what_a_translation_leaves_is_what_all_fields_show(
    rotation_deg: float, error_deg: float, expected_px: float | None
) -> None:
    """Half the diagonal of a field, 1449 pixels, times 1 degree; without any Affine."""
    places_um = grid(1, 2)
    well = measured_well(places_um, moved_plate(places_um, rotation_deg))
    for number in (1, 2):
        show_turn(well, number, rotation_deg, error_deg)
    for verdict in judge(well).verdicts.values():
        assert isinstance(verdict.candidate.transform, Translation)
        found = verdict.candidate.left_px
        assert found == (expected_px and pytest.approx(expected_px, rel=0.01))


@pytest.mark.parametrize("turned", [(1, 2, 3), (1, 2, 3, 4, 6)], ids=len)
def test_a_sample_turns_as_one(turned: tuple[int, ...]) -> None:
    """Those that show it, and where all lie, are enough; the others show nothing."""
    places_um = grid(2, 3)
    well = measured_well(places_um, moved_plate(places_um, rotation_deg=1.0))
    matrix = turn_fields(well, turned, 1.0)
    well[fov(5)] = measured((0, 150, 90), places_um[4], 0.1)
    verdicts = judge(well).verdicts
    assert verdicts[fov(5)].status == "imputed"
    for key, verdict in verdicts.items():
        transform = verdict.candidate.transform
        assert isinstance(transform, Affine), key
        np.testing.assert_allclose(transform.matrix, matrix, atol=1e-12)
        moved_um = transform.displacement_at(well[key].centre_um)
        expected = moved_plate(places_um, rotation_deg=1.0)[int(key.roi[4:]) - 1]
        np.testing.assert_allclose(moved_um, expected, atol=1e-6)


def test_what_a_shift_left_is_not_what_the_turn_of_the_well_leaves() -> None:
    places_um = grid(2, 2)
    well = measured_well(places_um, moved_plate(places_um, rotation_deg=1.0))
    turn_fields(well, (1, 2, 3), 1.0)
    for number, left_px in ((1, 0.0), (2, 0.0), (3, 0.0), (4, 7.0)):
        item = well[fov(number)]
        evidence = {**item.best.evidence, "left_px": left_px}
        well[fov(number)] = with_best(item, evidence=evidence)
    fourth = judge(well).verdicts[fov(4)].candidate
    assert isinstance(fourth.transform, Affine)
    assert fourth.left_px == 0


def test_turn_that_few_fields_show_is_theirs() -> None:
    """The others show none, and do not get it; nor is it taken from these two."""
    places_um = grid(2, 3)
    well = measured_well(places_um, moved_plate(places_um))
    for number in (1, 3, 4, 6):
        show_turn(well, number, degrees=0.0, error_deg=0.02)
    turn_fields(well, (2, 5), 0.2)
    for key, verdict in judge(well).verdicts.items():
        expected = Affine if key in {fov(2), fov(5)} else Translation
        assert isinstance(verdict.candidate.transform, expected), key
        moved_um = verdict.candidate.transform.displacement_at(well[key].centre_um)
        assert moved_um == pytest.approx(SHIFT_UM)


def test_stand_in_is_as_exact_in_z_as_the_others_and_how_far_they_are_apart() -> None:
    places_um = grid(2, 3)
    truth_um = moved_plate(places_um)
    # Half of the fields lie 1 um from the middle: so is the median, 0.6745 sigma.
    truth_um[:, 0] = (0.0, 1.0, 2.0, 0.0, 2.0, 1.0)
    well = measured_well(places_um, truth_um)
    for key, own in well.items():
        well[key] = with_best(own, error_z_um=0.4)
    lost = {"confidence": 0.01, "transform": moves((0.0, 90.0, 90.0))}
    well[fov(6)] = with_best(well[fov(6)], **lost)
    verdicts = judge(well).verdicts
    assert verdicts[fov(1)].candidate.error_z_um == 0.4
    assert verdicts[fov(6)].status == "imputed"
    expected_um = np.hypot(0.4, 1 / 0.6745)
    assert verdicts[fov(6)].candidate.error_z_um == pytest.approx(expected_um, rel=0.1)


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
    complete = judge(well).verdicts
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
    found_um = np.array([vector_of(verdict) for verdict in judgement.verdicts.values()])
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
    # Three of 1000 fields have moved alone: 0.6 + 0.2 of these may be right elsewhere.
    assert verdict.confidence is not None
    assert verdict.confidence > 0.997


@pytest.mark.parametrize("rotation_deg", [0.0, 1.0])
def test_periodic_samples_are_resolved_by_the_rois_together(
    rotation_deg: float,
) -> None:
    """Each field has five equal candidates, one period apart, in any order."""
    places_um = grid(4, 4)
    rng = np.random.default_rng(2)
    truth_um = moved_plate(places_um, rotation_deg)
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
    assert set(statuses(judgement).values()) == {"unresolved"}
    assert judgement.stage is None
    # Five periods are equally probable, and four of them are lost.
    for verdict in judgement.verdicts.values():
        assert verdict.confidence == pytest.approx(0.2, abs=0.01)
        error_um = np.sqrt(0.8 / 2) * 10 * PIXEL_UM
        assert verdict.candidate.error_um == pytest.approx(error_um, rel=0.05)


def test_two_rois_that_disagree_are_both_kept() -> None:
    well = {
        fov(1): measured((0, 10, 0), confidence=0.99),
        fov(2): measured((0, 60, 0), (0, PITCH_UM), confidence=0.99),
    }
    judgement = judge(well)
    assert set(statuses(judgement).values()) == {"measured"}
    # Each is less sure than alone: one of the two may well be wrong.
    for verdict in judgement.verdicts.values():
        assert verdict.confidence is not None
        assert 0.5 < verdict.confidence < 0.99


@pytest.mark.parametrize("confidence", [0.49, 0.5])
def test_one_roi_counts_by_its_own_confidence(confidence: float) -> None:
    judgement = judge({RowKey("well_1"): measured((0, 3, 4), confidence=confidence)})
    expected = "measured" if confidence >= 0.5 else "unresolved"
    assert judgement.verdicts[RowKey("well_1")].status == expected
    assert judgement.verdicts[RowKey("well_1")].confidence == pytest.approx(confidence)


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


def test_stage_that_jitters_is_no_reason_to_reject_a_field() -> None:
    """Uniform jitter of 5 um each way: some fields are 7 um from the centre."""
    places_um = grid(6, 6)
    rng = np.random.default_rng(5)
    jitter_um = rng.uniform(-5, 5, (36, 3)) * [0, 1, 1]
    judgement = judge(measured_well(places_um, moved_plate(places_um) + jitter_um))
    assert np.linalg.norm(jitter_um, axis=1).max() > 6
    assert set(statuses(judgement).values()) == {"measured"}


@pytest.mark.parametrize("count", [4, 25])
@pytest.mark.parametrize("confidence", [0.2, 0.4, 0.7])
def test_pattern_of_the_camera_does_not_win_by_agreement(
    count: int, confidence: float
) -> None:
    """What is fixed in the camera makes all empty fields agree that nothing moved.

    Not to have moved is five times as probable before: odds of 5 c^n. If so, all are
    right, and if not, each as it says.
    """
    well = {
        fov(index): measured((0, 0.01, 0), place_um, confidence)
        for index, place_um in enumerate(grid(5, 5)[:count])
    }
    odds = 5 * confidence**count
    expected = (odds + confidence) / (odds + 1)
    for verdict in judge(well, min_confidence=0.9).verdicts.values():
        assert verdict.status == "unresolved"
        assert verdict.confidence == pytest.approx(expected, abs=0.03)


@pytest.mark.parametrize("count", [2, 4, 25])
def test_weak_estimates_that_agree_elsewhere_are_believed(count: int) -> None:
    """Two of 0.4 that agree within 0.5 px, out of 1.8 mm2, do so by chance in 1e-6."""
    places_um = grid(5, 5)[:count]
    rng = np.random.default_rng(0)
    noise_um = rng.normal(0, 0.1, (count, 3)) * [0, 1, 1]
    well = {
        fov(index): measured(vector_um, place_um, 0.4)
        for index, (place_um, vector_um) in enumerate(
            zip(places_um, moved_plate(places_um) + noise_um, strict=True)
        )
    }
    judgement = judge(well, min_confidence=0.9)
    assert set(statuses(judgement).values()) == {"measured"}


def test_confident_rois_that_did_not_move_are_believed() -> None:
    places_um = grid(3, 3)
    well = measured_well(places_um, np.zeros((9, 3)))
    well[fov(9)] = measured((0, 40, 0), places_um[8])
    assert list(judge(well).rejected) == [fov(9)]


def test_certain_estimate_of_a_field_that_moved_alone_is_used_and_marked() -> None:
    """Three of 1000 fields move alone, and one of 1000 certain estimates is wrong."""
    places_um = grid(2, 3)
    well = measured_well(places_um, moved_plate(places_um))
    well = {key: with_best(item, confidence=1.0) for key, item in well.items()}
    well[fov(1)] = measured((0, 42, -30), places_um[0], confidence=1.0)
    found = judge(well, min_confidence=0.9)
    assert list(found.rejected) == [fov(1)]
    verdict = found.verdicts[fov(1)]
    assert vector_of(verdict) == (0, 42, -30)
    assert verdict.status == "unresolved"
    assert verdict.confidence == pytest.approx(0.75, abs=0.01)
    assert verdict.candidate.error_um is not None
    assert verdict.candidate.error_um > PIXEL_UM


def test_probable_estimate_that_is_too_inexact_is_rejected_for_its_well() -> None:
    places_um = grid(3, 3)
    well = measured_well(places_um, moved_plate(places_um))
    # One standard error off, and that is ten times how exact the well is known.
    off_um = np.add(SHIFT_UM, (0.0, 2.0, 0.0))
    well[fov(5)] = with_best(measured(off_um, places_um[4]), error_um=2.0)
    judgement = judge(well, min_confidence=0.9)
    verdict = judgement.verdicts[fov(5)]
    assert verdict.status == "imputed"
    assert verdict.confidence is not None
    assert verdict.confidence >= 0.9
    assert list(judgement.rejected) == [fov(5)]


def test_well_without_any_confidence_at_all_is_rejected() -> None:
    places_um = grid(2, 3)
    well = measured_well(places_um, moved_plate(places_um))
    judgement = judge({key: with_best(m, confidence=0.0) for key, m in well.items()})
    assert set(statuses(judgement).values()) == {"unresolved"}
    for verdict in judgement.verdicts.values():
        # Nothing is known: no movement, and lost.
        assert vector_of(verdict) == (0, 0, 0)
        error_um = 10 * PIXEL_UM / np.sqrt(2)
        assert verdict.candidate.error_um == pytest.approx(error_um)


def test_estimates_without_confidence_are_believed_unless_they_are_outliers() -> None:
    places_um = grid(3, 3)
    well = measured_well(places_um, moved_plate(places_um))
    well = {key: with_best(item, confidence=None) for key, item in well.items()}
    well[fov(1)] = measured((0, 90, 0), places_um[0], confidence=None)
    judgement = judge(well)
    assert list(judgement.rejected) == [fov(1)]
    alone = judge({fov(1): well[fov(1)]})
    assert alone.verdicts[fov(1)].status == "measured"
    assert alone.verdicts[fov(1)].confidence == pytest.approx(0.9)


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
    judgement = judge(well)
    assert list(judgement.rejected) == [fov(2), fov(3)]
    assert judgement.verdicts[fov(3)].status == "imputed"
    found_um = vector_of(judgement.verdicts[fov(3)])
    np.testing.assert_allclose(found_um, truth_um[2], atol=1e-6)


def test_rois_at_the_same_place_are_judged() -> None:
    """All ROIs overlap: no rotation can be seen, and none is needed."""
    well = {RowKey(f"nucleus_{i}"): measured(SHIFT_UM, (50, 50)) for i in range(6)}
    well[RowKey("nucleus_3")] = measured((0, 70, 0), (50, 50))
    assert list(judge(well).rejected) == [RowKey("nucleus_3")]


@pytest.mark.e2e
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


def anywhere(count: int = 4) -> dict[RowKey, Measurement]:
    """Give a well whose estimates are chance."""
    rng = np.random.default_rng(3)
    return {
        fov(index): measured((0, *rng.uniform(-300, 300, 2)), place_um, 0.01)
        for index, place_um in enumerate(grid(2, count // 2))
    }


def test_plate_speaks_for_a_well_in_which_nothing_is_believed() -> None:
    plate = WellMovement(translation_um=(0.0, 7.0, 8.0), wells=11, scatter_um=1.0)
    for verdict in judge(anywhere(), movement=plate).verdicts.values():
        assert vector_of(verdict) == (0, 7, 8)
        assert verdict.confidence is not None
        assert verdict.confidence < 0.01
        assert verdict.status == "imputed"
        # One in ten wells is elsewhere, and lost; the others are within 1 um.
        error_um = np.hypot(1.0, np.sqrt(0.1 / 2) * 10 * PIXEL_UM)
        assert verdict.candidate.error_um == pytest.approx(error_um, rel=0.1)


def test_plate_and_a_weak_estimate_agree() -> None:
    """Odds of 0.3 : 0.7 out of 1.8 mm2, and within 2 um of where the plate says."""
    plate = WellMovement(translation_um=SHIFT_UM, wells=11, scatter_um=2.0)
    well = {RowKey("well_1"): measured((0, 13, -31), confidence=0.3)}
    assert judge(well, min_confidence=0.9).rejected
    verdict = judge(well, min_confidence=0.9, movement=plate).verdicts[RowKey("well_1")]
    assert verdict.status == "measured"


def test_well_and_plate_that_say_nothing_leave_rois_where_they_are() -> None:
    judgement = judge(anywhere())
    assert set(statuses(judgement).values()) == {"unresolved"}
    assert {vector_of(one) for one in judgement.verdicts.values()} == {(0, 0, 0)}


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


def test_verdict_keeps_the_evidence_and_says_how_exact_it_is() -> None:
    """A peak of 0.02 um that is certain, but for what the others leave of doubt."""
    well = measured_well(grid(3, 3), moved_plate(grid(3, 3)))
    well[fov(2)] = with_best(
        well[fov(2)], confidence=0.97, error_um=0.02, evidence={"ratio": 6.0}
    )
    verdict = judge(well).verdicts[fov(2)]
    assert verdict.candidate.transform == moves(SHIFT_UM)
    assert verdict.candidate.evidence == {"ratio": 6.0}
    assert verdict.candidate.confidence == verdict.confidence
    assert verdict.candidate.error_um == pytest.approx(0.02, rel=0.1)


def test_imprecise_estimate_is_kept_if_the_stage_is_no_better() -> None:
    """A pixel of standard error on a stage that jitters by five: nothing is nearer."""
    places_um = grid(4, 4)
    rng = np.random.default_rng(6)
    jitter_um = rng.normal(0, 5 * PIXEL_UM, (16, 3)) * [0, 1, 1]
    well = measured_well(places_um, moved_plate(places_um) + jitter_um)
    well[fov(5)] = with_best(well[fov(5)], confidence=0.6, error_um=PIXEL_UM)
    verdict = judge(well, min_confidence=0.9).verdicts[fov(5)]
    assert verdict.status == "measured"
    assert verdict.candidate.error_um == pytest.approx(PIXEL_UM, rel=0.15)


def test_imprecise_estimate_is_replaced_if_the_stage_knows_better() -> None:
    """Three pixels of standard error on a stage that is exact to a third of one."""
    places_um = grid(4, 4)
    well = measured_well(places_um, moved_plate(places_um))
    off_um = (0, SHIFT_UM[1] + 4 * PIXEL_UM, SHIFT_UM[2])
    well[fov(5)] = with_best(
        measured(off_um, places_um[4], 0.95), error_um=3 * PIXEL_UM
    )
    verdict = judge(well, min_confidence=0.9).verdicts[fov(5)]
    assert verdict.status == "imputed"
    assert verdict.candidate.error_um is not None
    assert verdict.candidate.error_um < PIXEL_UM
    np.testing.assert_allclose(vector_of(verdict), SHIFT_UM, atol=0.05)


def test_rois_of_several_timepoints_are_judged_by_key() -> None:
    well = {
        RowKey("FOV_1", timepoint): measured(SHIFT_UM, (50, 50))
        for timepoint in range(6)
    }
    well[RowKey("FOV_1", 2)] = measured((0, 70, 0), (50, 50))
    assert list(judge(well).rejected) == [RowKey("FOV_1", 2)]


def bent(shift_um: Sequence[float], bend_um: float) -> Warp:
    """Move as a shift does, and bend up and down in y about that."""
    values = np.zeros((3, 1, 9, 9), np.float32)
    values[1, 0, ::2] = bend_um
    values[1, 0, 1::2] = -bend_um
    values[1, 0, 4] = 0
    z_um, y_um, x_um = shift_um
    size_um = PITCH_UM / 8
    return Warp(
        Affine.of(np.eye(3), (z_um, y_um, x_um)),
        Displacements(values, (1.0, size_um, size_um)),
        (0.0, 0.0, 0.0),
    )


@pytest.mark.parametrize("bend_um", [0.0, 2.0])
def test_a_shift_does_not_stand_in_for_what_bends(bend_um: float) -> None:
    """It would leave undone what is bent, wherever it moves the centre."""
    places_um = grid(1, 2)
    well = measured_well(places_um, moved_plate(places_um))
    for index, off_um in ((1, 1.3), (2, 0.0)):
        # Bent samples do not move as one: their centres are apart.
        shift = np.add(SHIFT_UM, (0.0, off_um, 0.0))
        transform = bent(shift, bend_um) if bend_um else moves(shift.tolist())
        well[fov(index)] = with_best(
            well[fov(index)],
            transform=transform,
            confidence=0.97,
            error_um=2.7 * PIXEL_UM if index == 1 else 0.3 * PIXEL_UM,
        )
    verdicts = judge(well).verdicts
    kept = isinstance(verdicts[fov(1)].candidate.transform, Warp)
    assert kept == (bend_um > 0)


def test_stand_in_in_a_bent_well_says_how_much_it_leaves() -> None:
    places_um = grid(2, 3)
    well = measured_well(places_um, moved_plate(places_um))
    for index in range(1, 6):
        well[fov(index)] = with_best(well[fov(index)], transform=bent(SHIFT_UM, 1.0))
    well[fov(6)] = with_best(
        well[fov(6)], confidence=0.01, transform=moves((0.0, 90.0, 90.0))
    )
    verdicts = judge(well).verdicts
    assert verdicts[fov(6)].status == "imputed"
    left_px = verdicts[fov(6)].candidate.left_px
    assert left_px == pytest.approx(1.0 / PIXEL_UM, rel=1e-3)
    assert isinstance(verdicts[fov(1)].candidate.transform, Warp)
