"""What speaks against a candidate, whatever the well says."""

import re
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from fractal_tasks.model import Candidate, Measurement
from fractal_tasks.qc.vetoes import VETOES, Objection, find_objections, folds
from fractal_tasks.transforms import FloatArray, Transform
from tests.qc.transforms import Warp, linear, wave
from tests.qc.wells import (
    PITCH_UM,
    SHIFT_UM,
    fov,
    grid,
    judge,
    measured,
    measured_well,
    moved_plate,
    moves,
    statuses,
    with_best,
    with_transform,
)

ROI = measured(SHIFT_UM, (1000.0, 2000.0))
TURN_90 = [[1, 0, 0], [0, 0, -1], [0, 1, 0]]
MIRROR = [[1, 0, 0], [0, 1, 0], [0, 0, -1]]


def object_to(transform: Transform, measurement: Measurement = ROI) -> Objection | None:
    return folds(Candidate(transform, 0.95, None), measurement)


@pytest.mark.parametrize(
    "transform",
    [
        moves(SHIFT_UM),
        linear(np.eye(3), SHIFT_UM),
        linear(TURN_90),
        linear(np.diag([1.0, 0.5, 2.0]), (0, 500, -1000)),
        linear([[1, 0, 0], [0, 1, 3], [0, 0, 1]]),
    ],
    ids=["translation", "identity", "quarter turn", "scale", "shear"],
)
@pytest.mark.parametrize("thickness_um", [0.0, 1.0, 60.0])
def test_transforms_that_keep_the_orientation_are_not_objected_to(
    transform: Transform, thickness_um: float
) -> None:
    roi = replace(ROI, size_um=(thickness_um, PITCH_UM, PITCH_UM))
    assert object_to(transform, roi) is None


@pytest.mark.parametrize(
    "matrix", [MIRROR, np.diag([1.0, 1.0, 0.0])], ids=["mirrored", "flattened"]
)
def test_linear_transforms_without_a_positive_determinant_are_refused(
    matrix: npt.ArrayLike,
) -> None:
    objection = object_to(linear(matrix))
    assert objection is not None
    assert objection.limit == 0


@pytest.mark.parametrize("share", [0.8, 1.4, 3.0])
@pytest.mark.parametrize("waves", [1, 3])
def test_wave_is_refused_from_the_amplitude_at_which_it_folds(
    share: float, waves: int
) -> None:
    """Folds from a = length / (2 pi) on, where its derivative is negative.

    Probes are 1/16 of the ROI apart. The mean slope between two, of a wave of 1/3 of
    the ROI, is sin(3 pi / 16) / (3 pi / 16) of the derivative in the middle, which is
    off the steepest point by half of the distance at most: 0.94 cos(3 pi / 16) = 0.78
    of the steepest one. So 1.4 times the amplitude must be found.
    """
    length_um = PITCH_UM / waves
    objection = object_to(wave(share * length_um / (2 * np.pi), length_um))
    assert (objection is not None) == (share > 1)


def test_fold_in_one_corner_is_found_and_named() -> None:
    """1.5 um for each um are pushed back, from 120 to 20 um before the right border."""

    def crumple(points: FloatArray) -> FloatArray:
        from_um = 2000 + PITCH_UM / 2 - 120
        pushed_um = 1.5 * np.clip(points[:, 2] - from_um, 0, 100)
        return points - (pushed_um * (points[:, 1] > 1200))[:, None] * [0, 0, 1]

    objection = object_to(Warp(crumple))
    assert objection is not None
    y_um, x_um = map(float, re.findall(r"[yx]=([\d.]+)", objection.reason))
    probe_um = PITCH_UM / 16
    assert y_um >= 1200 - probe_um
    assert 2000 + PITCH_UM / 2 - 120 - probe_um < x_um < 2000 + PITCH_UM / 2 - 20
    away = replace(ROI, centre_um=(0.5, 1000.0, 2000.0 - PITCH_UM))
    assert object_to(Warp(crumple), away) is None


def test_point_without_an_image_is_a_tear() -> None:
    def tear(points: FloatArray) -> FloatArray:
        return np.where(points[:, 1:2] > 1100, np.nan, points)

    objection = object_to(Warp(tear))
    assert objection is not None
    assert "nan" not in objection.reason


def test_strongest_objection_to_each_candidate_counts() -> None:
    roi = measured((0, 1, 0), others=[((0, 2, 0), 0.1)])

    def weak(candidate: Candidate, measurement: Measurement) -> Objection:
        return Objection(0.6, "is disliked")

    def strong(candidate: Candidate, measurement: Measurement) -> Objection | None:
        is_best = candidate is measurement.best
        return Objection(0.2, "is the best one") if is_best else None

    found = find_objections(roi, (weak, strong))
    assert found == (Objection(0.2, "is the best one"), Objection(0.6, "is disliked"))
    assert find_objections(roi, ()) == (None, None)


def test_folding_transform_is_vetoed_without_a_word_of_the_caller() -> None:
    assert folds in VETOES
    place_um = grid(1, 1)[0]
    alone = with_transform(measured(SHIFT_UM, place_um), linear(MIRROR))
    judgement = judge({fov(1): alone})
    assert statuses(judgement) == {fov(1): "unresolved"}
    assert judgement.verdicts[fov(1)].confidence == 0
    assert judgement.stage is None


@pytest.mark.parametrize("confidence", [0.95, None])
def test_vetoed_candidate_is_rejected_though_the_well_agrees(
    confidence: float | None,
) -> None:
    """Its centre moves as it should, so the model sees nothing wrong."""
    places_um = grid(3, 3)
    well = measured_well(places_um, moved_plate(places_um))
    centre_um = np.array(well[fov(5)].centre_um)
    mirrored = linear(MIRROR, centre_um + SHIFT_UM - MIRROR @ centre_um)
    assert well[fov(5)].displacement_um(well[fov(5)].best) == SHIFT_UM
    well[fov(5)] = with_best(well[fov(5)], transform=mirrored, confidence=confidence)
    assert list(judge(well, vetoes=()).rejected) == []
    assert list(judge(well).rejected) == [fov(5)]


def test_next_candidate_is_chosen_if_the_first_is_vetoed() -> None:
    places_um = grid(3, 3)
    well = measured_well(places_um, moved_plate(places_um))
    well[fov(5)] = with_transform(
        measured(SHIFT_UM, places_um[4], 0.5, [(SHIFT_UM, 0.45)]), wave(800, PITCH_UM)
    )
    verdict = judge(well, min_confidence=0.4).verdicts[fov(5)]
    assert verdict.status == "chosen"
    assert verdict.candidate.transform == moves(SHIFT_UM)


def test_veto_of_ones_own_acts_by_being_named() -> None:
    def far(candidate: Candidate, measurement: Measurement) -> Objection | None:
        _, y_um, _ = measurement.displacement_um(candidate)
        return Objection(0.3, "moves too far") if y_um > 5 else None

    roi = measured((0, 6, 0))
    verdict = judge({fov(1): roi}, vetoes=(*VETOES, far)).verdicts[fov(1)]
    assert (verdict.status, verdict.confidence) == ("unresolved", 0.3)
    assert judge({fov(1): roi}).verdicts[fov(1)].status == "measured"


def test_vetoes_cannot_raise_a_probability() -> None:
    def praise(candidate: Candidate, measurement: Measurement) -> Objection:
        return Objection(1.0, "is good")

    well = {fov(1): measured((0, 6, 0), confidence=0.3)}
    assert judge(well, vetoes=(praise,)) == judge(well, vetoes=())


def test_rois_that_are_vetoed_count_neither_as_agreeing_nor_as_confident() -> None:
    """Five of nine are left: enough to judge the one among them that is wrong."""
    places_um = grid(3, 3)
    well = measured_well(places_um, moved_plate(places_um))
    vetoed = [well[fov(index)].best for index in range(6, 10)]
    well[fov(1)] = measured((0, 90, 0), places_um[0])

    def dislike(candidate: Candidate, measurement: Measurement) -> Objection | None:
        is_vetoed = any(candidate is one for one in vetoed)
        return Objection(0.0, "is disliked") if is_vetoed else None

    judgement = judge(well, vetoes=(dislike,))
    assert list(judgement.rejected) == [fov(1), *map(fov, range(6, 10))]
