"""Transforms that bend, as elastix writes them: B-splines."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Self

import numpy as np
import numpy.typing as npt
import scipy

from fractal_tasks.transforms.affine import Affine
from fractal_tasks.transforms.base import FloatArray, Transform
from fractal_tasks.transforms.elastix import read_elastix_maps, read_linear_map
from fractal_tasks.transforms.elastix_text import (
    ElastixMap,
    check_composed,
    read_text,
)
from fractal_tasks.transforms.warp import Nodes, Warp

BSPLINES = ("BSplineTransform", "RecursiveBSplineTransform")
"""What elastix calls them; both are the same."""

_ORDER = 3
_FIRST_STEPS, _LEAST_STEPS, _MOST_STEPS = 16, 8, 2048
"""Nodes along the longest side: so many gaps at first, and twice as many until they are
enough; along each side at least some."""


@dataclass(frozen=True)
class BSpline:
    """Cubic B-splines on a grid, added to points.

    Beyond the grid, where elastix adds nothing, it is that of its nearest point.
    """

    coefficients_um: FloatArray
    """Shape ``(d, [z,] y, x)``, components in the same order."""

    origin_um: FloatArray
    """Where the first one lies, shape ``(d,)``."""

    step_um: FloatArray

    @classmethod
    def read(cls, parameters: ElastixMap) -> Self:
        """Read a transform parameter map.

        Raises:
            ValueError: It is of another order, turned, or not whole.
        """
        check_composed(parameters)
        if read_text(parameters, "BSplineTransformSplineOrder", "3") != str(_ORDER):
            raise ValueError(f"its BSplineTransformSplineOrder is not {_ORDER}")
        if read_text(parameters, "UseCyclicTransform", "false") != "false":
            raise ValueError("its UseCyclicTransform is not false")
        size, index, step, origin, values, direction = (
            np.array([float(text) for text in parameters[name]])
            for name in (
                *("GridSize", "GridIndex", "GridSpacing", "GridOrigin"),
                *("TransformParameters", "GridDirection"),
            )
        )
        ndim = int(read_text(parameters, "FixedImageDimension"))
        if not np.array_equal(direction, np.eye(ndim).ravel()):
            raise ValueError("its GridDirection is not that of the axes")
        if not (np.isfinite(values).all() and step.min() > 0):
            raise ValueError("a parameter is not finite, or no GridSpacing")
        shape = size[::-1].astype(int)
        if values.size != ndim * shape.prod() or shape.min() <= _ORDER:
            raise ValueError(
                f"its TransformParameters are {values.size} numbers, which is no grid "
                f"of {' x '.join(map(str, shape))} in {ndim}D"
            )
        # x changes fastest, and all coefficients along x come first.
        grid = values.reshape(ndim, *shape)[::-1]
        first = origin + index * step
        return cls(grid, first[::-1], step[::-1])

    @property
    def region_um(self) -> FloatArray:
        """First and last of the points that the grid is about, shape ``(2, 3)``."""
        region = np.zeros((2, 3))
        used = slice(3 - len(self.coefficients_um), None)
        last = np.subtract(self.coefficients_um.shape[1:], _ORDER - 1)
        region[:, used] = self.origin_um + np.stack([last * 0 + 1, last]) * self.step_um
        return region

    def map_points(self, points_um: npt.ArrayLike) -> FloatArray:
        """Move points, shape ``(n, 3)``."""
        points = np.array(points_um, dtype=np.float64)
        used = slice(3 - len(self.coefficients_um), None)
        nodes = (points[:, used] - self.origin_um) / self.step_um
        last = np.subtract(self.coefficients_um.shape[1:], _ORDER - 1)
        # A point needs the coefficients before and after it, two on each side.
        inside = np.clip(nodes, 1, last).T
        for component, values in zip(points.T[used], self.coefficients_um, strict=True):
            component += scipy.ndimage.map_coordinates(
                values, inside, order=_ORDER, prefilter=False, mode="mirror"
            )
        return points


def read_bent_maps(
    maps: Sequence[ElastixMap], region_um: FloatArray, exact_um: float
) -> Transform:
    """Read transform parameter maps of which some may bend space.

    Args:
        maps: Each applied after those before.
        region_um: First and last of the fixed points that matter, shape ``(2, 3)``.
        exact_um: How exact the result has to be there.

    Returns:
        An `Affine` if all are linear, or a `Warp` with as few nodes as that allows.

    Raises:
        ValueError: A map says not all that is needed, or names a transform that is
            neither linear nor a B-spline.
    """
    kinds = [read_text(one, "Transform") for one in maps]
    if not set(kinds).intersection(BSPLINES):
        return read_elastix_maps(maps)
    parts = [
        BSpline.read(one) if kind in BSPLINES else read_linear_map(one)
        for kind, one in zip(kinds, maps, strict=True)
    ]
    used = slice(3 - int(read_text(maps[0], "FixedImageDimension")), None)

    def pull(points: FloatArray) -> FloatArray:
        return reduce(lambda found, part: part.map_points(found), parts, points)

    return sample_warp(pull, region_um, exact_um, used)


def sample_warp(
    pull: Callable[[FloatArray], FloatArray],
    region_um: FloatArray,
    exact_um: float,
    used: slice,
) -> Warp:
    """Give the map that another one is at as few nodes as are enough.

    Args:
        pull: Maps fixed points, shape ``(n, 3)``, to moving ones.
        region_um: First and last of the fixed points that matter, shape ``(2, 3)``.
        exact_um: How far points between nodes may be off.
        used: The axes along which it does anything.
    """
    gaps = _FIRST_STEPS
    sides = np.ptp(region_um, axis=0)
    unused = [axis for axis in range(3) if axis not in range(3)[used]]
    sides[unused] = 0
    first = region_um[0].copy()
    first[unused] = region_um[:, unused].mean(axis=0)
    affine = None
    while True:
        step_um = np.minimum(sides.max() / gaps, np.maximum(sides, 1e-3) / _LEAST_STEPS)
        step_um[unused] = 1.0
        nodes = Nodes.between(first, first + sides, step_um)
        affine = affine or _fit_affine(pull, nodes, used)
        warp = Warp.sampled(pull, affine, nodes)
        centres = nodes.centres_um
        off_um = np.abs(warp.pull_points(centres) - pull(centres)).max()
        if off_um <= exact_um or gaps >= _MOST_STEPS:
            return warp
        gaps *= 2


def _fit_affine(
    pull: Callable[[FloatArray], FloatArray], nodes: Nodes, used: slice
) -> Affine:
    """Give the affine map, moving to fixed, next to another one."""
    points = nodes.points_um
    pulled = pull(points)
    middle = points.mean(axis=0)
    slopes, *_ = np.linalg.lstsq(
        points[:, used] - middle[used], pulled[:, used] - pulled[:, used].mean(axis=0)
    )
    matrix = np.eye(3)
    matrix[used, used] = slopes.T
    return Affine.of(matrix, pulled.mean(axis=0) - matrix @ middle).inverse()
