"""A map that keeps straight lines straight: turn, scale, shear, and shift."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from fractal_tasks.transforms.base import (
    FloatArray,
    Transform,
    Vector,
    to_vector,
)

Matrix: TypeAlias = tuple[Vector, Vector, Vector]
"""Three rows of three numbers, in the order z, y, x."""

_LEAST_DETERMINANT = 1e-6
"""What shrinks volumes more has no inverse that 64 bits could tell."""


@dataclass(frozen=True)
class Affine(Transform):
    """``x_fixed = matrix @ x_moving + offset_um``.

    Example:
        >>> turn = Affine(((1, 0, 0), (0, 0, -1), (0, 1, 0)), (0.0, 20.0, 0.0))
        >>> turn.map_points([[0.0, 5.0, 8.0]]).tolist()
        [[0.0, 12.0, 5.0]]
        >>> turn.pull_points([[0.0, 12.0, 5.0]]).tolist()
        [[0.0, 5.0, 8.0]]
    """

    type: ClassVar[str] = "affine"

    matrix: Matrix
    """Linear part."""

    offset_um: Vector
    """Where the origin is mapped to."""

    def __post_init__(self) -> None:
        """Refuse what flattens space, or is no number.

        Raises:
            ValueError: The matrix cannot be inverted, or a value is not finite.
        """
        values = np.array([*self.matrix, self.offset_um], dtype=np.float64)
        if values.shape != (4, 3) or not np.isfinite(values).all():
            raise ValueError("needed are 3 x 3 and 3 finite numbers")
        if abs(np.linalg.det(values[:3])) < _LEAST_DETERMINANT:
            raise ValueError("the matrix is singular: it maps space onto a plane")

    @classmethod
    def about(
        cls, centre_um: npt.ArrayLike, matrix: npt.ArrayLike, translation_um: Vector
    ) -> Self:
        """Give the map that turns about a point and then moves it.

        Args:
            centre_um: The point (z, y, x), which is moved by the translation alone.
            matrix: Linear part, shape ``(3, 3)``.
            translation_um: How far the point is moved.
        """
        centre = np.asarray(centre_um, dtype=np.float64)
        linear = np.asarray(matrix, dtype=np.float64)
        return cls.of(linear, centre - linear @ centre + translation_um)

    @classmethod
    def of(cls, matrix: npt.ArrayLike, offset_um: npt.ArrayLike) -> Self:
        """Give the map of a matrix, shape ``(3, 3)``, and an offset, shape ``(3,)``."""
        first, second, third = (
            to_vector(row) for row in np.asarray(matrix, dtype=np.float64)
        )
        return cls((first, second, third), to_vector(offset_um))

    def map_points(self, points_um: npt.ArrayLike) -> FloatArray:
        """Map moving points, shape ``(n, 3)``, to fixed points."""
        points = np.asarray(points_um, dtype=np.float64)
        mapped: FloatArray = points @ np.transpose(self.matrix) + self.offset_um
        return mapped

    def pull_points(self, points_um: npt.ArrayLike) -> FloatArray:
        """Map fixed points, shape ``(n, 3)``, back to moving points."""
        apart = np.subtract(points_um, self.offset_um, dtype=np.float64)
        pulled: FloatArray = np.linalg.solve(self.matrix, apart.T).T
        return pulled

    def in_frames(self, moving_um: npt.ArrayLike, fixed_um: npt.ArrayLike) -> Self:
        """Give the same map for points that are counted from other origins."""
        origin = self.map_points(np.negative(moving_um)[None])[0] + fixed_um
        return type(self)(self.matrix, to_vector(origin))

    def after(self, first: "Affine") -> "Affine":
        """Give the map of another one, and then this one."""
        matrix = np.array(self.matrix)
        return Affine.of(
            matrix @ np.array(first.matrix), self.map_points([first.offset_um])[0]
        )

    def inverse(self) -> "Affine":
        """Give the map back, of which the offset is that of the origin."""
        back = np.linalg.inv(self.matrix)
        return Affine.of(back, self.pull_points(np.zeros((1, 3)))[0])

    def to_dict(self) -> dict[str, Any]:
        """Give the RFC-5 object: a turn and a translation, or ``affine``."""
        if self.is_rigid:
            turn = {"type": "rotation", "rotation": [list(row) for row in self.matrix]}
            move = {"type": "translation", "translation": list(self.offset_um)}
            return {"type": "sequence", "transformations": [turn, move]}
        return self.to_affine_dict()

    def to_affine_dict(self) -> dict[str, Any]:
        """Give the RFC-5 object ``affine``, also of a turn."""
        rows = zip(self.matrix, self.offset_um, strict=True)
        return {"type": self.type, "affine": [[*row, offset] for row, offset in rows]}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        """Build from the RFC-5 object ``affine``."""
        rows = [[float(value) for value in row] for row in fields["affine"]]
        values = np.array(rows).reshape(3, 4)
        return cls.of(values[:, :3], values[:, 3])

    def list_xyz(self, ndim: int) -> list[float]:
        """Give rows of the matrix and then the offset, x first, as ITK lists them."""
        # From z, y, x to x, y, z both rows and columns turn round.
        matrix = np.array(self.matrix)[::-1, ::-1][:ndim, :ndim]
        offset = np.array(self.offset_um)[::-1][:ndim]
        values: list[float] = [*matrix.ravel().tolist(), *(offset + 0.0).tolist()]
        return values

    @property
    def stretches(self) -> tuple[float, float]:
        """By how much it changes lengths, at least and at most."""
        found = np.linalg.svd(np.array(self.matrix), compute_uv=False)
        return float(found.min()), float(found.max())

    @property
    def is_rigid(self) -> bool:
        """Whether it keeps all distances, to the last digits, and mirrors nothing."""
        matrix = np.array(self.matrix)
        is_orthogonal = np.allclose(matrix @ matrix.T, np.eye(3), rtol=0, atol=1e-9)
        return is_orthogonal and float(np.linalg.det(matrix)) > 0


def plane_matrix(*, turn_rad: float, scale: float = 1.0) -> FloatArray:
    """Give the matrix of a turn in the plane, and of a change of size there.

    Args:
        turn_rad: Angle by which the y axis turns towards the x axis.
        scale: So many times as large, in y and x.
    """
    cos, sin = scale * math.cos(turn_rad), scale * math.sin(turn_rad)
    return np.array([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]])
