"""The stage model against closed forms."""

import numpy as np
import pytest

from fractal_tasks.qc.stage import (
    StageModel,
    fit_stage,
    model_through,
    weighted_median,
)
from tests.qc.wells import SHIFT_UM, grid, moved_plate


@pytest.mark.parametrize(
    ("rotation_deg", "scale"), [(1.0, 1.0), (-0.2, 1.003), (0.0, 0.99)]
)
def test_rotation_and_scale_are_found(rotation_deg: float, scale: float) -> None:
    places_um = grid(3, 4)
    truth_um = moved_plate(places_um, rotation_deg, scale)
    model = fit_stage(places_um, truth_um, np.ones(12)).model
    assert model.rotation_deg == pytest.approx(rotation_deg, abs=1e-9)
    assert model.scale == pytest.approx(scale, abs=1e-9)
    assert model.shift_um == pytest.approx(SHIFT_UM, abs=1e-9)
    np.testing.assert_allclose(model.predict(places_um), truth_um, atol=1e-9)


def test_jitter_alone_is_not_taken_for_a_rotation() -> None:
    """At a significance of 1 % about 2 of 200 wells may be."""
    rng = np.random.default_rng(0)
    places_um = grid(4, 4)
    turned = 0
    for _ in range(200):
        jitter_um = rng.normal(0, 1, (16, 3)) * [0, 1, 1]
        turned += bool(fit_stage(places_um, jitter_um, np.ones(16)).model.turn)
    assert turned <= 10


@pytest.mark.parametrize("count", [1, 2])
def test_two_places_are_too_few_for_a_rotation(count: int) -> None:
    places_um = grid(1, 2)[:count]
    translations_um = np.array([[0.0, 10, 0], [0, 20, 0]])[:count]
    model = fit_stage(places_um, translations_um, np.ones(count)).model
    assert (model.stretch, model.turn) == (0, 0)
    assert model.shift_um[1] == pytest.approx({1: 10, 2: 15}[count])


def test_implausible_linear_part_is_refused() -> None:
    places_um = grid(3, 3)
    fit = fit_stage(places_um, moved_plate(places_um, 20.0), np.ones(9), max_linear=0.1)
    assert fit.model.turn == 0


def test_wrong_third_hardly_moves_the_fit() -> None:
    """Cauchy weights fall with the square of the distance in scatters (0.1 um)."""
    rng = np.random.default_rng(1)
    translations_um = rng.normal(0, 0.1, (24, 3)) * [0, 1, 1] + SHIFT_UM
    translations_um[::3] += [0, 50, 80]
    fit = fit_stage(grid(4, 6), translations_um, np.ones(24))
    assert fit.model.shift_um == pytest.approx(SHIFT_UM, abs=0.1)
    assert fit.scatter_um[1] < 0.3


def test_least_squares_is_that_of_numpy() -> None:
    rng = np.random.default_rng(2)
    places, translations_um = rng.normal(size=(7, 2)), rng.normal(size=(7, 3))
    weights = rng.uniform(0.1, 1, 7)
    zero, one = np.zeros(7), np.ones(7)
    y, x = places.T
    design = np.vstack(
        [np.column_stack([one, zero, y, -x]), np.column_stack([zero, one, x, y])]
    )
    root = np.sqrt(np.tile(weights, 2))
    measured = translations_um[:, 1:].T.ravel()
    solution = np.linalg.lstsq(design * root[:, None], measured * root, rcond=None)[0]
    model = model_through(places, translations_um, weights, linear=True)
    np.testing.assert_allclose([model.stretch, model.turn], solution[2:], atol=1e-12)
    expected = (design @ solution).reshape(2, -1).T
    np.testing.assert_allclose(model.predict(places)[:, 1:], expected, atol=1e-12)


def test_prediction_turns_about_the_origin() -> None:
    model = StageModel(origin=(10.0, 20.0), shift_um=(1.0, 2.0, 3.0), turn=0.01)
    found = model.predict([(10, 20), (110, 20), (10, 120)])
    np.testing.assert_allclose(found, [[1, 2, 3], [1, 2, 4], [1, 1, 3]])


@pytest.mark.parametrize(
    ("weights", "expected"),
    [([1, 1, 1, 1], 2.5), ([1, 1, 1, 0], 2), ([5, 1, 1, 1], 1), ([1, 1, 1, 9], 4)],
    ids=str,
)
def test_weighted_median_has_half_of_the_weight_on_either_side(
    weights: list[float], expected: float
) -> None:
    values = np.array([1.0, 2, 3, 4])
    assert weighted_median(values, np.array(weights, dtype=float)) == expected
