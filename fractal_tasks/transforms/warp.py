"""A map that bends: an affine one, and displacements on top."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from fractal_tasks.transforms.affine import Affine
from fractal_tasks.transforms.base import (
    FloatArray,
    Transform,
    Vector,
    grid_points,
    to_vector,
)
from fractal_tasks.transforms.displacements import Displacements
from fractal_tasks.transforms.translation import Translation

FOLDER = "registration"
"""Of an image: what its transforms need besides their JSON objects lies there."""


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
        rest = nodes.displaced_by(lambda points: affine.map_points(pull(points)))
        return cls(affine, rest, nodes.first_um)

    def map_points(self, points_um: npt.ArrayLike) -> FloatArray:
        """Map moving points, shape ``(n, 3)``, to fixed points."""
        placed = self.affine.map_points(points_um) - self.origin_um
        return self.field.undo(placed) + self.origin_um

    def pull_points(self, points_um: npt.ArrayLike) -> FloatArray:
        """Map fixed points, shape ``(n, 3)``, back to moving points."""
        points = np.asarray(points_um, dtype=np.float64)
        rest = self.field.at(points - self.origin_um)
        return self.affine.pull_points(points + rest)

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
        affine = self.affine.in_frames(moving_um, fixed_um)
        origin_um = to_vector(np.add(self.origin_um, fixed_um))
        return type(self)(affine, self.field, origin_um)

    def inverse(self) -> Self:
        """Give the map back, which is exact at the nodes."""
        nodes = self.nodes.around(self.affine.pull_points)
        return type(self).sampled(self.map_points, self.affine.inverse(), nodes)

    def to_dict(self) -> dict[str, Any]:
        """Give the RFC-5 object: both directions, of which `inverse` is the exact one.

        The displacements lie beside it, under the paths of `displacements`.
        """
        forward, inverse = (
            {"type": "displacements", "path": path, "interpolation": "linear"}
            for path in self._paths
        )
        to_nodes, from_nodes = (
            Translation(to_vector(move)).to_dict()
            for move in (np.negative(self.origin_um), self.origin_um)
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
        """Those of both directions, forward first, by the path of each."""
        return dict(zip(self._paths, (self.field.back, self.field), strict=True))

    @property
    def _paths(self) -> tuple[str, str]:
        """Those of both directions; the name of their folder is made of the content."""
        folder = f"{FOLDER}/{self.field.digest}"
        return f"{folder}/forward", f"{folder}/inverse"

    def probe_points(self, box_um: FloatArray) -> FloatArray:
        """Give its nodes in a box, and where the box cuts what lies between them."""
        axes = []
        for axis, (first_um, last_um) in enumerate(box_um.T):
            steps = np.arange(self.field.shape[axis]) * self.field.step_um[axis]
            inside = np.clip(steps + self.origin_um[axis], first_um, last_um)
            axes.append(np.unique([first_um, *inside, last_um]))
        return grid_points(axes)

    @property
    def nodes(self) -> "Nodes":
        """Where the displacements are known."""
        return Nodes(self.origin_um, self.field.step_um, self.field.shape)

    @property
    def whole(self) -> Displacements:
        """Displacements that do all of the way back, affine part included."""
        return self.nodes.displaced_by(self.pull_points)

    @property
    def bend_um(self) -> float:
        """Displacement in y and x beside the affine part, in the mean of its nodes."""
        return float(self.field.lengths_um.mean())


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
        return cls(to_vector(first), to_vector(step), (z, y, x))

    def around(self, move: Callable[[FloatArray], FloatArray]) -> "Nodes":
        """Give nodes in the box around those that are moved by a linear map."""
        ends = move(self.corners_um)
        return Nodes.between(ends.min(axis=0), ends.max(axis=0), self.step_um)

    def displaced_by(self, move: Callable[[FloatArray], FloatArray]) -> Displacements:
        """Give the displacements by a map of points, shape ``(n, 3)``."""
        points = self.points_um
        vectors = move(points) - points
        values = vectors.T.reshape(3, *self.shape).astype(np.float32)
        return Displacements(values, self.step_um)

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
        points: FloatArray = grid_points([*axes]) * self.step_um + self.first_um
        return points
