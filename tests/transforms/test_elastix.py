"""Linear transforms of elastix: against what elastix's manual and ITK define."""

import math
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fractal_tasks.transforms import Affine
from fractal_tasks.transforms.elastix import read_elastix_maps, write_elastix_map

POINT = (3.0, -7.0, 11.0)
CENTRE = (4.0, 5.0, 6.0)


def write_map(kind: str, values: Any, ndim: int, **further: str) -> dict[str, Any]:
    return {
        "Transform": [kind],
        "FixedImageDimension": [str(ndim)],
        "TransformParameters": list(map(repr, map(float, values))),
        "CenterOfRotationPoint": list(map(str, CENTRE[:ndim])),
        **{name: [value] for name, value in further.items()},
    }


def pull_xyz(transform: Affine, ndim: int) -> np.ndarray:
    """Map a fixed point to the moving one, x first."""
    point = np.zeros(3)
    point[-ndim:] = POINT[:ndim][::-1]
    return transform.pull_points([point])[0][::-1][:ndim]


def expect(matrix: np.ndarray, move: Any, ndim: int) -> np.ndarray:
    centre = np.array(CENTRE[:ndim])
    return matrix @ (np.array(POINT[:ndim]) - centre) + centre + move


def turn_about(axis: str, angle: float) -> np.ndarray:
    cos, sin = math.cos(angle), math.sin(angle)
    return {
        "x": np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]),
        "y": np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]),
        "z": np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]),
    }[axis]


@pytest.mark.parametrize("ndim", [2, 3])
def test_translation_and_affine_are_read(ndim: int) -> None:
    move = np.array((1.0, -2.0, 3.0))[:ndim]
    found = read_elastix_maps([write_map("TranslationTransform", move, ndim)])
    assert pull_xyz(found, ndim) == pytest.approx(POINT[:ndim] + move)
    matrix = np.eye(ndim) + np.arange(ndim**2).reshape(ndim, ndim) / 20
    values = [*matrix.ravel(), *move]
    found = read_elastix_maps([write_map("AffineTransform", values, ndim)])
    assert pull_xyz(found, ndim) == pytest.approx(expect(matrix, move, ndim))


def test_turns_in_the_plane_are_read() -> None:
    cos, sin = math.cos(0.3), math.sin(0.3)
    matrix = np.array([[cos, -sin], [sin, cos]])
    rigid = read_elastix_maps([write_map("EulerTransform", (0.3, 1, 2), 2)])
    assert pull_xyz(rigid, 2) == pytest.approx(expect(matrix, (1, 2), 2))
    larger = write_map("SimilarityTransform", (1.1, 0.3, 1, 2), 2)
    similar = read_elastix_maps([larger])
    assert pull_xyz(similar, 2) == pytest.approx(expect(1.1 * matrix, (1, 2), 2))


@pytest.mark.parametrize(("zyx", "order"), [("false", "zxy"), ("true", "zyx")])
def test_turns_of_stacks_are_read(zyx: str, order: str) -> None:
    """``ComputeZYX`` tells whether x comes before y."""
    angles = {"x": 0.1, "y": -0.2, "z": 0.3}
    matrix = np.linalg.multi_dot([turn_about(axis, angles[axis]) for axis in order])
    values = [*angles.values(), 1, 2, 3]
    found = read_elastix_maps([write_map("EulerTransform", values, 3, ComputeZYX=zyx)])
    assert pull_xyz(found, 3) == pytest.approx(expect(matrix, (1, 2, 3), 3))


def test_similarity_of_stacks_is_read() -> None:
    turn = Rotation.from_rotvec((0.2, -0.1, 0.3))
    values = [*turn.as_quat()[:3], 1, 2, 3, 0.9]
    found = read_elastix_maps([write_map("SimilarityTransform", values, 3)])
    expected = expect(0.9 * turn.as_matrix(), (1, 2, 3), 3)
    assert pull_xyz(found, 3) == pytest.approx(expected)


def test_each_map_follows_those_before() -> None:
    quarter = write_map("EulerTransform", (math.pi / 2, 0, 0), 2)
    quarter["CenterOfRotationPoint"] = ["0", "0"]
    shift = write_map("TranslationTransform", (10, 0), 2)
    # The shift goes along x, and a quarter turn brings that to y.
    assert pull_xyz(read_elastix_maps([shift, quarter]), 2) == pytest.approx((7, 13))
    assert pull_xyz(read_elastix_maps([quarter, shift]), 2) == pytest.approx((17, 3))


@pytest.mark.parametrize("ndim", [2, 3])
def test_what_is_written_is_read_again(ndim: int) -> None:
    matrix, offset = np.eye(3), np.zeros(3)
    matrix[-ndim:, -ndim:] += np.arange(ndim**2).reshape(ndim, ndim) / 30
    offset[-ndim:] = np.arange(ndim) - 1.5
    transform = Affine.of(matrix, offset)
    again = read_elastix_maps([write_elastix_map(transform, ndim=ndim)])
    assert np.array(again.matrix) == pytest.approx(matrix)
    assert again.offset_um == pytest.approx(offset)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"Transform": ["BSplineTransform"]}, "BSplineTransform"),
        ({"Transform": []}, "no Transform"),
        ({"HowToCombineTransforms": ["Add"]}, "HowToCombineTransforms"),
        ({"TransformParameters": ["1", "2"]}, "2 numbers"),
    ],
    ids=["warp", "no type", "added", "cut"],
)
def test_other_maps_are_refused(change: dict[str, Any], reason: str) -> None:
    given = write_map("EulerTransform", (0.1, 1, 2), 2) | change
    with pytest.raises(ValueError, match=reason):
        read_elastix_maps([given])


def test_no_map_is_no_transform() -> None:
    with pytest.raises(ValueError, match="no transform parameter map"):
        read_elastix_maps([])
