"""B-splines of elastix, against scipy's own, and how they become warps."""

from typing import Any

import numpy as np
import pytest
from scipy.interpolate import BSpline as Spline

from fractal_tasks.transforms import Affine, FloatArray, Warp
from fractal_tasks.transforms.bspline import BSpline, read_bent_maps

SHAPE = {2: (9, 11), 3: (6, 9, 11)}
STEP, FIRST = 16.0, -24.0


def write_map(ndim: int, values: FloatArray, **changes: Any) -> dict[str, Any]:
    def texts(numbers: Any) -> list[str]:
        return [repr(float(one)) for one in numbers]

    return {
        "Transform": ["BSplineTransform"],
        "FixedImageDimension": [str(ndim)],
        "TransformParameters": texts(values[::-1].ravel()),
        "GridSize": [str(n) for n in SHAPE[ndim][::-1]],
        "GridIndex": ["0"] * ndim,
        "GridSpacing": texts([STEP] * ndim),
        "GridOrigin": texts([FIRST] * ndim),
        "GridDirection": texts(np.eye(ndim).ravel()),
        "BSplineTransformSplineOrder": ["3"],
        "UseCyclicTransform": ["false"],
        "HowToCombineTransforms": ["Compose"],
    } | changes


def draw_values(ndim: int) -> FloatArray:
    return np.random.default_rng(1).normal(size=(ndim, *SHAPE[ndim]))


def expected_at(values: FloatArray, points: FloatArray) -> FloatArray:
    """Sum up the basis functions, each centred on its control point."""
    ndim = len(values)
    bump = Spline.basis_element([-2, -1, 0, 1, 2], extrapolate=False)
    weights = [
        np.nan_to_num(
            bump((points[:, [axis - ndim]] - FIRST) / STEP - np.arange(n)), nan=0
        )
        for axis, n in enumerate(SHAPE[ndim])
    ]
    letters = "zyx"[-ndim:]
    terms = ",".join(f"n{letter}" for letter in letters)
    return np.einsum(f"c{letters},{terms}->nc", values, *weights)


@pytest.mark.parametrize("ndim", [2, 3])
def test_sum_of_splines_is_added_to_points(ndim: int) -> None:
    values = draw_values(ndim)
    # Where all four splines along each axis are on the grid.
    high = FIRST + STEP * (np.array(SHAPE[ndim]) - 2)
    points = np.zeros((200, 3))
    random = np.random.default_rng(2).uniform(size=(200, ndim))
    points[:, -ndim:] = FIRST + STEP + random * (high - FIRST - STEP)
    found = BSpline.read(write_map(ndim, values)).map_points(points)
    moved = (found - points)[:, -ndim:]
    np.testing.assert_allclose(moved, expected_at(values, points), atol=1e-9)
    assert not (found - points)[:, : 3 - ndim].any()


def test_beyond_the_grid_it_does_not_jump() -> None:
    spline = BSpline.read(write_map(2, draw_values(2)))
    edge = FIRST + STEP
    inside, beyond, far = spline.map_points(
        [[0, edge + 1e-7, 40], [0, edge - 1e-7, 40], [0, edge - 500, 40]]
    )
    np.testing.assert_allclose(inside, beyond, atol=1e-5)
    assert far[1] - (edge - 500) == pytest.approx(inside[1] - edge, abs=1e-5)


@pytest.mark.parametrize("ndim", [2, 3])
def test_warp_is_as_exact_as_asked_with_few_nodes(ndim: int) -> None:
    linear = {
        "Transform": ["TranslationTransform"],
        "FixedImageDimension": [str(ndim)],
        "TransformParameters": ["2.0"] * ndim,
    }
    maps = [linear, write_map(ndim, 0.5 * draw_values(ndim))]
    region = np.array([[0.5, 0.5, 0.5], [0.5 if ndim == 2 else 40, 90, 110]])
    spline = BSpline.read(maps[1])
    points = np.random.default_rng(3).uniform(*region, (300, 3))
    shift = np.array((0.0 if ndim == 2 else 2.0, 2.0, 2.0))
    truth = spline.map_points(points + shift)
    sizes = []
    for exact_um in (0.2, 0.01):
        warp = read_bent_maps(maps, region, exact_um)
        assert isinstance(warp, Warp)
        assert np.abs(warp.pull_points(points) - truth).max() < 1.5 * exact_um
        sizes.append(np.prod(warp.field.shape))
        np.testing.assert_allclose(warp.nodes.corners_um[0], region[0])
        np.testing.assert_allclose(warp.nodes.corners_um[-1], region[1])
    assert sizes[0] < sizes[1]
    # What is linear of it is no matter of the displacements.
    assert np.abs(warp.affine.displacement_at(points[0]) + shift).max() < 1.5


def test_linear_maps_stay_linear() -> None:
    shift = {
        "Transform": ["TranslationTransform"],
        "FixedImageDimension": ["2"],
        "TransformParameters": ["3", "-2"],
    }
    found = read_bent_maps([shift], np.array([[0.5, 0, 0], [0.5, 9, 9]]), 0.1)
    assert found == Affine.of(np.eye(3), (0.0, 2.0, -3.0))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"BSplineTransformSplineOrder": ["2"]}, "SplineOrder"),
        ({"UseCyclicTransform": ["true"]}, "Cyclic"),
        ({"HowToCombineTransforms": ["Add"]}, "Compose"),
        ({"GridDirection": ["0", "1", "1", "0"]}, "GridDirection"),
        ({"GridSize": ["12", "9"]}, "198 numbers"),
        ({"GridSize": ["66", "3"]}, "198 numbers"),
        ({"GridSpacing": ["0", "16"]}, "GridSpacing"),
        ({"TransformParameters": ["nan"] * 198}, "finite"),
    ],
)
def test_other_splines_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        BSpline.read(write_map(2, draw_values(2), **changes))


def test_map_without_a_part_is_refused() -> None:
    given = write_map(2, draw_values(2))
    for name in ("GridSize", "GridOrigin", "TransformParameters", "GridDirection"):
        with pytest.raises(LookupError, match=name):
            BSpline.read({key: given[key] for key in given if key != name})
