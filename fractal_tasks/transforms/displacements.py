"""Displacements of points at the nodes of a lattice, as RFC-5 stores them."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fractal_tasks.transforms.folding import smallest_volumes

_DIGITS = 32

_EXACT_UM = 1e-10
_STEPS = 200
"""Displacements that change by a half from point to point at most need 45 steps."""


@dataclass(frozen=True, eq=False, repr=False)
class Displacements:
    """Vectors in um at nodes along z, y and x, linear in between.

    Beyond the lattice they are those of its nearest point, so that nothing is torn at
    its border. Points are counted from the first node.

    Example:
        >>> values = np.zeros((3, 1, 2, 2), np.float32)
        >>> values[1, :, 1] = 3.0
        >>> field = Displacements(values, (1.0, 10.0, 10.0))
        >>> field.at([[0.0, 5.0, 0.0], [0.0, 40.0, 2.0]]).tolist()
        [[0.0, 1.5, 0.0], [0.0, 3.0, 0.0]]
    """

    values_um: npt.NDArray[np.float32]
    """Shape ``(3, z, y, x)``; components in the order z, y, x."""

    step_um: tuple[float, float, float]
    """Distance of the nodes along each axis."""

    def __post_init__(self) -> None:
        """Refuse what is no lattice, or no number.

        Raises:
            ValueError: The shape is another one, or a value is not finite.
        """
        shape = self.values_um.shape
        if len(shape) != 4 or shape[0] != 3 or not self.values_um.size:
            raise ValueError(f"found the shape {shape}; needed is (3, z, y, x)")
        if not np.isfinite(self.values_um).all():
            raise ValueError("a displacement is not finite")
        if not (np.isfinite(self.step_um).all() and min(self.step_um) > 0):
            raise ValueError(f"found nodes {self.step_um} um apart; needed is above 0")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of nodes along z, y, x."""
        _, z, y, x = self.values_um.shape
        return z, y, x

    def at(self, points_um: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Give the displacements of points, both of shape ``(n, 3)``."""
        # Most transforms have none.
        from scipy import ndimage

        points = np.asarray(points_um, dtype=np.float64)
        used = [axis for axis, n in enumerate(self.shape) if n > 1]
        nodes = (points[:, used] / np.array(self.step_um)[used]).T
        found = np.empty(points.shape)
        for component, values in enumerate(self.values_um):
            if used and values.any():
                ndimage.map_coordinates(
                    values.squeeze(),
                    nodes,
                    output=found[:, component],
                    order=1,
                    mode="nearest",
                )
            else:
                found[:, component] = values.flat[0]
        return found

    def on_grid(
        self, axes_um: Sequence[npt.NDArray[np.float64]]
    ) -> npt.NDArray[np.float64]:
        """Give the displacements of points that lie on a grid, sooner than `at`.

        Args:
            axes_um: Where they lie along z, y and x.

        Returns:
            Shape ``(3, z, y, x)``.
        """
        weights = [
            _linear_weights(places / step_um, n)
            for places, step_um, n in zip(
                axes_um, self.step_um, self.shape, strict=True
            )
        ]
        (z, z_nodes), (y, y_nodes), (x, x_nodes) = weights
        near = self.values_um[:, z_nodes, y_nodes, x_nodes]
        # The fewest numbers first: most points lie between the same few nodes.
        along_z = np.tensordot(z, near, (1, 1))
        along_y = np.tensordot(y, along_z, (1, 2))
        placed = np.moveaxis(along_y, (1, 2, 0), (1, 0, 2))
        found: npt.NDArray[np.float64] = np.ascontiguousarray(placed) @ x.T
        return found

    def undo(self, points_um: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Give the points that are displaced to others, both of shape ``(n, 3)``.

        Each step is nearer by a factor. Where that does not lead to one point, since
        space is folded, points are NaN.
        """
        points = np.asarray(points_um, dtype=np.float64)
        found = points - self.at(points)
        moving = np.arange(len(points))
        for _ in range(_STEPS):
            nearer = points[moving] - self.at(found[moving])
            apart = np.abs(nearer - found[moving]).max(axis=1, initial=0)
            found[moving] = nearer
            # Of points that are far away the last digits are not that small.
            exact_um = _EXACT_UM + 4 * np.spacing(np.abs(nearer).max(axis=1))
            moving = moving[apart > exact_um]
            if not moving.size:
                return found
        found[moving] = np.nan
        return found

    @cached_property
    def back(self) -> "Displacements":
        """Those that undo them, at the same nodes; between nodes about."""
        nodes = np.moveaxis(self._nodes_um, 0, -1)
        undone = self.undo(nodes.reshape(-1, 3)).reshape(nodes.shape) - nodes
        values = np.moveaxis(undone, -1, 0).astype(np.float32)
        return type(self)(values, self.step_um)

    @property
    def lengths_um(self) -> npt.NDArray[np.float32]:
        """How long they are in y and x, shape ``(z, y, x)``."""
        lengths: npt.NDArray[np.float32] = np.linalg.norm(self.values_um[1:], axis=0)
        return lengths

    @property
    def least_volume(self) -> float:
        """Least volume of a piece of space afterwards, over that before.

        0 or less where space is folded.
        """
        placed = np.moveaxis(self._nodes_um + self.values_um, 0, -1)
        for axis, (n, step_um) in enumerate(zip(self.shape, self.step_um, strict=True)):
            if n == 1:
                # Displacements are the same all along it.
                beyond = placed + step_um * np.eye(3)[axis]
                placed = np.concatenate([placed, beyond], axis=axis)
        return float(smallest_volumes(placed).min() / np.prod(self.step_um))

    @property
    def _nodes_um(self) -> npt.NDArray[np.float64]:
        """Where the nodes lie, shape ``(3, z, y, x)``."""
        nodes: npt.NDArray[np.float64] = np.indices(self.shape) * np.reshape(
            self.step_um, (3, 1, 1, 1)
        )
        return nodes

    @cached_property
    def digest(self) -> str:
        """A text that differs where displacements do: 32 hexadecimal digits."""
        head = json.dumps([self.values_um.shape, self.step_um]).encode()
        values = np.ascontiguousarray(self.values_um, dtype="<f4")
        return hashlib.sha256(head + values.tobytes()).hexdigest()[:_DIGITS]

    def __eq__(self, other: object) -> bool:
        """Compare all values."""
        return isinstance(other, Displacements) and self.digest == other.digest

    def __hash__(self) -> int:
        """Give the same number for equal ones."""
        return hash(self.digest)

    def __repr__(self) -> str:
        """Name them, as they are many."""
        return f"{type(self).__name__}({self.digest}, shape={self.shape})"


def _linear_weights(
    nodes: npt.NDArray[np.float64], count: int
) -> tuple[npt.NDArray[np.float64], slice]:
    """Give how much each node counts at each place.

    Args:
        nodes: Where places lie, in nodes from the first one. Beyond the first and the
            last these count alone.
        count: Number of nodes.

    Returns:
        Weights, shape ``(places, nodes)``, and which nodes these are.
    """
    nodes = np.clip(nodes, 0, count - 1)
    before = np.minimum(nodes.astype(np.intp), max(count - 2, 0))
    first = int(before.min(initial=count - 1))
    stop = min(int(before.max(initial=0)) + 2, count)
    apart = np.abs(nodes[:, None] - np.arange(first, stop))
    return np.maximum(1 - apart, 0), slice(first, stop)


ReadDisplacements: TypeAlias = Callable[[str], Displacements]
"""Gives what is stored under a path that a JSON object names."""
