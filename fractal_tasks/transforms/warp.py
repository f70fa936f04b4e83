"""A map that bends: an affine one, and displacements on top."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from fractal_tasks.transforms.affine import Affine
from fractal_tasks.transforms.base import FloatArray, Transform, Vector
from fractal_tasks.transforms.displacements import Displacements
from fractal_tasks.transforms.folding import smallest_volumes
from fractal_tasks.transforms.translation import Translation

FOLDER = "registration"
"""Of an image: what its transforms need besides their JSON objects lies there."""

_EXACT_UM = 1e-10
_STEPS = 200
"""Displacements that change by a half from point to point at most need 45 steps."""


@dataclass(frozen=True)
class Warp(Transform):
    """``x_moving = affine⁻¹(x_fixed + d(x_fixed - origin_um))``.

    The way back, which resampling asks, is exact; the other one is found step by step.
    Where that does not lead to one point, since space is folded, points are NaN.

    Example:
        >>> values = np.zeros((3, 1, 2, 2), np.float32)
        >>> values[1] = 1.5
        >>> still = Affine.of(np.eye(3), np.zeros(3))
        >>> warp = Warp(still, Displacements(values, (1.0, 8.0, 8.0)), (0.0, 4.0, 4.0))
        >>> warp.pull_points([[0.0, 6.0, 6.0]]).tolist()
        [[0.0, 7.5, 6.0]]
        >>> warp.map_points([[0.0, 7.5, 6.0]]).tolist()
        [[0.0, 6.0, 6.0]]
    """

    type: ClassVar[str] = "bijection"

    affine: Affine
    """Moving to fixed, without the rest."""

    field: Displacements
    """The rest, in the frame of the fixed points."""

    origin_um: Vector
    """Where its first node lies there."""

    @classmethod
    def sampled(
        cls,
        pull: Callable[[FloatArray], FloatArray],
        affine: Affine,
        nodes: "Nodes",
    ) -> Self:
        """Give the map that another one is at nodes.

        Args:
            pull: Maps fixed points, shape ``(n, 3)``, to moving ones.
            affine: Moving to fixed; the next one to it needs the least displacements.
            nodes: Where to ask.
        """
        points = nodes.points_um
        rest = affine.map_points(pull(points)) - points
        values = rest.T.reshape(3, *nodes.shape).astype(np.float32)
        return cls(affine, Displacements(values, nodes.step_um), nodes.first_um)

    def map_points(self, points_um: npt.ArrayLike) -> FloatArray:
        """Map moving points, shape ``(n, 3)``, to fixed points."""
        return self._before(self.affine.map_points(points_um))

    def pull_points(self, points_um: npt.ArrayLike) -> FloatArray:
        """Map fixed points, shape ``(n, 3)``, back to moving points."""
        points = np.asarray(points_um, dtype=np.float64)
        return self.affine.pull_points(points + self._at(points))

    def pull_grid(self, axes_um: Sequence[FloatArray]) -> FloatArray:
        """Map fixed points on a grid back to the moving points they show."""
        steps = [
            np.subtract(axis, first)
            for axis, first in zip(axes_um, self.origin_um, strict=True)
        ]
        placed = self.field.on_grid(steps)
        grid = np.meshgrid(*axes_um, indexing="ij", sparse=True)
        for component, places in zip(placed, grid, strict=True):
            component += places
        back = self.affine.inverse()
        pulled = np.tensordot(np.array(back.matrix), placed, axes=1)
        pulled += np.reshape(back.offset_um, (3, 1, 1, 1))
        return pulled

    def in_frames(self, moving_um: npt.ArrayLike, fixed_um: npt.ArrayLike) -> Self:
        """Give the same map for points that are counted from other origins."""
        z_um, y_um, x_um = np.add(self.origin_um, fixed_um).tolist()
        affine = self.affine.in_frames(moving_um, fixed_um)
        return type(self)(affine, self.field, (z_um, y_um, x_um))

    def inverse(self) -> Self:
        """Give the map back, which is exact at the nodes."""
        nodes = self.nodes
        corners = nodes.corners_um
        ends = self.affine.pull_points(corners)
        first, last = ends.min(axis=0), ends.max(axis=0)
        back = Nodes.between(first, last, nodes.step_um)
        return type(self).sampled(self.map_points, self.affine.inverse(), back)

    def to_dict(self) -> dict[str, Any]:
        """Give the RFC-5 object: both directions, of which `inverse` is the exact one.

        The displacements lie beside it, under the paths of `displacements`.
        """
        forward, inverse = (
            {"type": "displacements", "path": path, "interpolation": "linear"}
            for path in self.displacements
        )
        to_nodes, from_nodes = (
            Translation((z_um, y_um, x_um)).to_dict()
            for z_um, y_um, x_um in (np.negative(self.origin_um), self.origin_um)
        )
        placed = self.affine.in_frames(np.zeros(3), np.negative(self.origin_um))
        parts = {
            "forward": [placed.to_affine_dict(), forward, from_nodes],
            "inverse": [to_nodes, inverse, placed.inverse().to_affine_dict()],
        }
        return {"type": self.type} | {
            name: {"type": "sequence", "transformations": part}
            for name, part in parts.items()
        }

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        """Refuse: `PixelSizes.from_fields` reads them, and the displacements.

        Raises:
            TypeError: Always.
        """
        raise TypeError(f"{fields!r} holds no displacements")

    @property
    def displacements(self) -> Mapping[str, Displacements]:
        """Those of both directions, forward first, by the path of each.

        The name of the folder is made of their content.
        """
        folder = f"{FOLDER}/{self.field.digest}"
        return {f"{folder}/forward": self._forward, f"{folder}/inverse": self.field}

    def probe_points(self, box_um: FloatArray) -> FloatArray:
        """Give its nodes in a box, and where the box cuts what lies between them."""
        axes = []
        for axis, (first_um, last_um) in enumerate(box_um.T):
            steps = np.arange(self.field.shape[axis]) * self.field.step_um[axis]
            inside = np.clip(steps + self.origin_um[axis], first_um, last_um)
            axes.append(np.unique([first_um, *inside, last_um]))
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)

    @property
    def nodes(self) -> "Nodes":
        """Where the displacements are known."""
        return Nodes(self.origin_um, self.field.step_um, self.field.shape)

    @property
    def whole(self) -> Displacements:
        """Displacements that do all of the way back, affine part included."""
        points = self.nodes.points_um
        moved = self.pull_points(points) - points
        values = moved.T.reshape(self.field.values_um.shape).astype(np.float32)
        return Displacements(values, self.field.step_um)

    @property
    def bend_um(self) -> float:
        """Displacement in y and x beside the affine part, in the mean of its nodes."""
        return float(np.linalg.norm(self.field.values_um[1:], axis=0).mean())

    @property
    def least_volume(self) -> float:
        """Least volume of a piece of space after the way back, over that before it.

        Of the affine part nothing is counted. 0 or less where space is folded.
        """
        points = self.nodes.points_um
        placed = (points + self._at(points)).reshape(*self.field.shape, 3)
        for axis, (n, step_um) in enumerate(
            zip(self.field.shape, self.field.step_um, strict=True)
        ):
            if n == 1:
                # Displacements are the same all along it.
                beyond = placed + step_um * np.eye(3)[axis]
                placed = np.concatenate([placed, beyond], axis=axis)
        return float(smallest_volumes(placed).min() / np.prod(self.field.step_um))

    @cached_property
    def _forward(self) -> Displacements:
        """What leads from points after the affine part to fixed points."""
        points = self.nodes.points_um
        rest = self._before(points) - points
        values = rest.T.reshape(self.field.values_um.shape).astype(np.float32)
        return Displacements(values, self.field.step_um)

    def _at(self, points: FloatArray) -> FloatArray:
        return self.field.at(points - self.origin_um)

    def _before(self, points: FloatArray) -> FloatArray:
        """Find ``x`` with ``x + d(x)`` at points: each step is nearer by a factor."""
        found = points - self._at(points)
        moving = np.arange(len(points))
        for _ in range(_STEPS):
            nearer = points[moving] - self._at(found[moving])
            apart = np.abs(nearer - found[moving]).max(axis=1, initial=0)
            found[moving] = nearer
            # Of points that are far away the last digits are not that small.
            exact_um = _EXACT_UM + 4 * np.spacing(np.abs(nearer).max(axis=1))
            moving = moving[apart > exact_um]
            if not moving.size:
                return found
        found[moving] = np.nan
        return found


@dataclass(frozen=True)
class Nodes:
    """The nodes of a lattice in space."""

    first_um: Vector
    step_um: Vector
    shape: tuple[int, int, int]

    @classmethod
    def between(
        cls, first_um: npt.ArrayLike, last_um: npt.ArrayLike, step_um: npt.ArrayLike
    ) -> Self:
        """Give nodes from one corner to the opposite one.

        Args:
            first_um: First node (z, y, x).
            last_um: Last one. Where it is the first one, there is one along this axis.
            step_um: Distance that they may have at most.
        """
        first = np.asarray(first_um, dtype=np.float64)
        extent = np.subtract(last_um, first)
        # Rounding adds no node.
        gaps = np.ceil(extent / step_um - 1e-9).astype(int)
        step = np.where(gaps > 0, extent / np.maximum(gaps, 1), step_um)
        z, y, x = (gaps + 1).tolist()
        (z_um, y_um, x_um), (dz_um, dy_um, dx_um) = first.tolist(), step.tolist()
        return cls((z_um, y_um, x_um), (dz_um, dy_um, dx_um), (z, y, x))

    @property
    def points_um(self) -> FloatArray:
        """Where they lie, shape ``(n, 3)``."""
        return self._grid(map(np.arange, self.shape))

    @property
    def corners_um(self) -> FloatArray:
        """The first and last ones, shape ``(8, 3)``."""
        return self._grid((0, n - 1) for n in self.shape)

    @property
    def centres_um(self) -> FloatArray:
        """Points half way between them, farthest from those."""
        return self._grid(np.arange(max(n - 1, 1)) + (n > 1) / 2 for n in self.shape)

    def _grid(self, axes: Any) -> FloatArray:  # noqa: ANN401 - of indices, per axis
        indices = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        points: FloatArray = indices * np.array(self.step_um) + self.first_um
        return points
