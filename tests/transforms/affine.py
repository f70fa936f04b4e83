"""A transform type that the package does not have, as somebody would add it."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from fractal_tasks.transforms import FloatArray, Transform, Vector


@dataclass(frozen=True)
class Affine(Transform):
    """``x_fixed = matrix @ x_moving + offset_um``."""

    type: ClassVar[str] = "affine"

    matrix: tuple[Vector, Vector, Vector]
    offset_um: Vector

    def map_points(self, points_um: npt.ArrayLike) -> FloatArray:
        points = np.asarray(points_um, dtype=np.float64)
        mapped: FloatArray = points @ np.transpose(self.matrix) + self.offset_um
        return mapped

    def in_frames(self, moving_um: npt.ArrayLike, fixed_um: npt.ArrayLike) -> Self:
        origin = self.map_points(np.negative(moving_um)[None])[0] + fixed_um
        z_um, y_um, x_um = origin.tolist()
        return type(self)(self.matrix, (z_um, y_um, x_um))

    def to_dict(self) -> dict[str, Any]:
        rows = zip(self.matrix, self.offset_um, strict=True)
        return {"affine": [[*row, offset] for row, offset in rows]}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        values = np.array(fields["affine"], dtype=float).reshape(3, 4)
        if not np.isfinite(values).all():
            raise ValueError("a value is not finite")
        first, second, third = (tuple(row) for row in values[:, :3].tolist())
        z_um, y_um, x_um = values[:, 3].tolist()
        return cls((first, second, third), (z_um, y_um, x_um))


def turn_about(centre_um: Vector, *, degrees: float) -> Affine:
    """Give a rotation in the plane, from the x axis towards the y axis."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    matrix = ((1.0, 0.0, 0.0), (0.0, cos, sin), (0.0, -sin, cos))
    z_um, y_um, x_um = np.subtract(centre_um, np.dot(matrix, centre_um)).tolist()
    return Affine(matrix, (z_um, y_um, x_um))
