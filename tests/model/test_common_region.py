"""The largest box that all see, against what is known of squares, and by trying."""

import numpy as np
import pytest

from fractal_tasks.model.common_region import Seen, find_largest_box
from fractal_tasks.transforms import Affine, FloatArray, Transform, plane_matrix
from tests.qc.transforms import Warp

SIZE_UM = 100.0
OUTER_UM = np.array([[0.0, 0.0, 0.0], [10.0, SIZE_UM, SIZE_UM]])
CENTRE_UM = (5.0, SIZE_UM / 2, SIZE_UM / 2)


def seen_through(transform: Transform) -> Seen:
    return Seen.through(transform, *OUTER_UM, OUTER_UM)


def turned_by(degrees: float, scale: float = 1.0) -> Affine:
    matrix = plane_matrix(turn_rad=np.deg2rad(degrees), scale=scale)
    return Affine.about(CENTRE_UM, matrix, (0.0, 0.0, 0.0))


def area(box_um: FloatArray) -> float:
    return float(np.prod(np.ptp(box_um, axis=0)[1:]))


@pytest.mark.parametrize("degrees", [0.0, 0.5, -3.0, 30.0, 45.0, 90.0])
def test_box_in_a_square_that_is_turned_about_its_centre(degrees: float) -> None:
    """Of all boxes in it the largest is a square, of this side."""
    found = find_largest_box(OUTER_UM, [seen_through(turned_by(degrees))])
    assert found is not None
    angle = np.deg2rad(abs(degrees))
    side = SIZE_UM / (np.cos(angle) + np.sin(angle))
    np.testing.assert_allclose(np.ptp(found, axis=0), [10, side, side], rtol=1e-5)
    np.testing.assert_allclose(found.mean(axis=0), CENTRE_UM, atol=1e-3)


@pytest.mark.parametrize("seed", range(8))
def test_box_is_seen_and_cannot_grow(seed: int) -> None:
    rng = np.random.default_rng(seed)
    transforms = [
        Affine.about(
            CENTRE_UM,
            np.eye(3) + rng.normal(0, [[0, 0, 0], [0, 0.05, 0.1], [0, 0.1, 0.05]]),
            tuple(rng.normal(0, (1, 10, 10))),
        )
        for _ in range(3)
    ]
    found = find_largest_box(OUTER_UM, [seen_through(one) for one in transforms])
    assert found is not None
    assert is_seen(found, transforms)
    for side in np.ndindex(2, 3):
        grown = found.copy()
        grown[side] += 0.1 if side[0] else -0.1
        assert not is_seen(grown, transforms), side


def is_seen(box_um: FloatArray, transforms: list[Affine]) -> bool:
    """Whether all corners lie inside the outer box, and so do their pre-images."""
    corners = np.stack(np.meshgrid(*box_um.T), axis=-1).reshape(-1, 3)
    places = [corners, *(one.pull_points(corners) for one in transforms)]
    low, high = OUTER_UM - 1e-4, OUTER_UM + 1e-4
    return all((low[0] <= one).all() and (one <= high[1]).all() for one in places)


def test_what_nobody_sees_has_no_box() -> None:
    far = Affine.about(CENTRE_UM, plane_matrix(turn_rad=0.1), (0.0, 130.0, 0.0))
    assert find_largest_box(OUTER_UM, [seen_through(far)]) is None


def test_axes_that_are_not_asked_stay_as_they_are() -> None:
    deep = Affine.about(CENTRE_UM, plane_matrix(turn_rad=0.1), (50.0, 0.0, 0.0))
    seen = seen_through(deep)
    assert find_largest_box(OUTER_UM, [seen]) is None
    found = find_largest_box(OUTER_UM, [seen], (1, 2))
    assert found is not None
    np.testing.assert_array_equal(found[:, 0], OUTER_UM[:, 0])
    everything = Seen(
        seen.matrix, seen.offset_um, seen.start_um.copy(), seen.stop_um.copy()
    )
    everything.start_um[0], everything.stop_um[0] = -np.inf, np.inf
    also = find_largest_box(OUTER_UM, [everything])
    assert also is not None
    np.testing.assert_allclose(also, found, atol=1e-3)


class Waves(Warp):
    """Moves points by a few micrometres, back and forth."""

    def pull_points(self, points_um: FloatArray) -> FloatArray:
        return self.map_points(points_um)


def test_what_is_seen_through_a_warp_is_seen_everywhere() -> None:
    """What a smooth warp differs from the affine one next to it is left out."""

    def wave(points: FloatArray) -> FloatArray:
        _, y, x = points.T
        return points + 3 * np.stack([0 * y, np.sin(x / 15), np.cos(y / 20)], axis=1)

    found = find_largest_box(OUTER_UM, [seen_through(Waves(wave))])
    assert found is not None
    assert area(found) > 0.75 * area(OUTER_UM)
    inside = np.random.default_rng(0).uniform(*found, (2000, 3))
    pulled = wave(inside)
    assert (pulled >= OUTER_UM[0] - 0.1).all()
    assert (pulled <= OUTER_UM[1] + 0.1).all()
