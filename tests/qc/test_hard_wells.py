"""Wells that went wrong in ways that happen, with candidates as *calculate* gives them.

Each field is right as often as it says (see test_simulated), unless a test says other.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from fractal_tasks.model import Candidate, Measurement, RowKey, Verdict, WellMovement
from fractal_tasks.qc.plate import predict_movement
from tests.qc.test_simulated import SIZE_UM, field_of
from tests.qc.wells import PIXEL_UM, fov, judge, moves, statuses, vector_of

MOVED_UM = np.array([14.0, -9.0])
Vector2 = npt.NDArray[np.float64]


def places(rows: int, columns: int) -> Vector2:
    found = (np.indices((rows, columns)).reshape(2, -1).T + 0.5) * SIZE_UM
    return np.asarray(found, dtype=float)


def well_of(
    truth_um: Vector2, places_um: Vector2, seed: int = 0, jitter_um: float = 0.2
) -> dict[RowKey, Measurement]:
    rng = np.random.default_rng(seed)
    return {
        fov(index): field_of(
            rng, place_um, moved_um + rng.normal(0, jitter_um, 2), rng.beta(4, 1)
        )
        for index, (place_um, moved_um) in enumerate(
            zip(places_um, truth_um, strict=True)
        )
    }


def with_nothing(measurement: Measurement, seed: int) -> Measurement:
    """Give what an empty field, or one out of focus, has: chance, and it says so."""
    rng = np.random.default_rng(seed)
    return replace(
        measurement,
        candidates=tuple(
            Candidate(moves((0, *rng.uniform(-SIZE_UM, SIZE_UM, 2))), 0.01, 0.5)
            for _ in range(5)
        ),
    )


def with_dust(measurement: Measurement, seed: int, confidence: float) -> Measurement:
    """Give what dust on the camera adds: a sharp peak of no movement, before all."""
    rng = np.random.default_rng(seed)
    dust = Candidate(moves((0, *rng.normal(0, 0.02, 2))), confidence, 0.02)
    left = 1 - confidence
    others = [
        replace(one, confidence=left * (one.confidence or 0))
        for one in measurement.candidates[:4]
    ]
    return replace(measurement, candidates=(dust, *others))


def errors_px(
    verdicts: Mapping[RowKey, Verdict], truth_um: Vector2
) -> npt.NDArray[np.float64]:
    found = np.array([vector_of(verdict)[1:] for verdict in verdicts.values()])
    return np.asarray(np.abs(found - truth_um).max(axis=1) / PIXEL_UM)


def is_marked(verdict: Verdict) -> bool:
    error_um = verdict.candidate.error_um
    assert error_um is not None
    return not verdict.is_believed or error_um > PIXEL_UM


@pytest.mark.parametrize("confidence", [0.3, 0.7])
@pytest.mark.parametrize("count", [1, 4, 9])
def test_dust_alone_does_not_win_by_agreement(confidence: float, count: int) -> None:
    """All fields are wrong, and agree to a hundredth of a pixel."""
    places_um = places(3, 3)[:count]
    well = well_of(np.tile(MOVED_UM, (count, 1)), places_um)
    for index, key in enumerate(well):
        well[key] = with_dust(with_nothing(well[key], index), index, confidence)
    assert set(statuses(judge(well, min_confidence=0.9)).values()) == {"unresolved"}


@pytest.mark.parametrize("confidence", [0.3, 0.7])
def test_cells_win_over_dust(confidence: float) -> None:
    """Dust comes first in all fields, the cells agree elsewhere."""
    truth_um = np.tile(MOVED_UM, (9, 1))
    well = well_of(truth_um, places(3, 3), seed=1)
    well = {
        key: with_dust(one, index, confidence)
        for index, (key, one) in enumerate(well.items())
    }
    verdicts = judge(well, min_confidence=0.9).verdicts
    assert all(verdict.status != "measured" for verdict in verdicts.values())
    off = errors_px(verdicts, truth_um) > 2
    # A field of 0.8 has no right candidate in one of ten wells.
    assert off.sum() <= 1
    for verdict, is_off in zip(verdicts.values(), off, strict=True):
        assert is_marked(verdict) or not is_off


@pytest.mark.parametrize("seed", range(3))
def test_row_in_which_the_stage_lost_steps_is_kept(seed: int) -> None:
    truth_um = np.tile(MOVED_UM, (25, 1))
    truth_um[10:15, 1] += 40
    well = well_of(truth_um, places(5, 5), seed)
    verdicts = judge(well, min_confidence=0.9).verdicts
    off = errors_px(verdicts, truth_um) > 2
    assert off.sum() <= 1
    for verdict, is_off in zip(verdicts.values(), off, strict=True):
        assert is_marked(verdict) or not is_off
    row = list(verdicts.values())[10:15]
    assert sum(verdict.status in ("measured", "chosen") for verdict in row) >= 4


def test_few_fields_that_moved_apart_are_not_pulled_to_the_others() -> None:
    """A slide that moved in the middle of a scan of four fields."""
    truth_um = MOVED_UM + np.array([[0, 0], [0, 0], [60, 0], [60, 0]])
    well = well_of(truth_um, places(2, 2))
    well = {
        key: replace(
            one,
            candidates=(
                Candidate(moves((0, *moved_um)), 0.9, 0.05),
                *one.candidates[1:],
            ),
        )
        for (key, one), moved_um in zip(well.items(), truth_um, strict=True)
    }
    verdicts = judge(well, min_confidence=0.9).verdicts
    assert errors_px(verdicts, truth_um).max() < 0.01
    assert {verdict.status for verdict in verdicts.values()} == {"measured"}


@pytest.mark.parametrize("is_known", [False, True])
def test_acquisition_with_one_field_asks_its_plate(is_known: bool) -> None:
    """A weak estimate near where eight other wells are; alone it is not enough."""
    roi = field_of(np.random.default_rng(0), places(1, 1)[0], MOVED_UM, 1.0)
    weak = replace(roi.best, confidence=0.4, transform=moves((0, *MOVED_UM)))
    well = {fov(1): replace(roi, candidates=(weak,))}
    plate = WellMovement(translation_um=(0.0, 15.0, -10.0), wells=8, scatter_um=2.0)
    judgement = judge(well, min_confidence=0.9, movement=plate if is_known else None)
    expected = "measured" if is_known else "unresolved"
    assert judgement.verdicts[fov(1)].status == expected
    assert vector_of(judgement.verdicts[fov(1)]) == (0, *MOVED_UM)


def test_reference_out_of_focus_leaves_all_unresolved() -> None:
    """All fields show chance, and nothing else of the plate is known."""
    well = well_of(np.tile(MOVED_UM, (9, 1)), places(3, 3))
    well = {
        key: with_nothing(one, index) for index, (key, one) in enumerate(well.items())
    }
    judgement = judge(well, min_confidence=0.9)
    assert set(statuses(judgement).values()) == {"unresolved"}
    assert all(map(is_marked, judgement.verdicts.values()))
    assert judgement.stage is None


def test_well_that_is_measured_twice_gets_the_same_verdicts() -> None:
    """Also if its fields have other names, as of another acquisition or well."""
    well = well_of(np.tile(MOVED_UM, (9, 1)), places(3, 3), seed=2, jitter_um=2.0)
    renamed = {RowKey(f"{9 - index}"): one for index, one in enumerate(well.values())}
    first, again = (
        list(judge(one, min_confidence=0.9).verdicts.values())
        for one in (well, renamed)
    )
    assert first == again


def test_order_of_wells_makes_no_difference() -> None:
    rng = np.random.default_rng(0)
    others = [
        ((float(row), float(column)), (0.0, *rng.normal(0, 5, 2).tolist()))
        for row in range(4)
        for column in range(6)
    ]
    expected = predict_movement((1, 1), others)
    for _ in range(10):
        rng.shuffle(others)
        assert predict_movement((1, 1), others) == expected
