"""A transform type that the package does not have, as somebody would add it."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from fractal_tasks.transforms import FloatArray, Transform, Vector
from fractal_tasks.transforms.base import read_vector


@dataclass(frozen=True)
class Stretch(Transform):
    """``x_fixed = factors * x_moving + offset_um``."""

    type: ClassVar[str] = "stretch"

    factors: Vector
    offset_um: Vector

    def map_points(self, points_um: npt.ArrayLike) -> FloatArray:
        return np.multiply(points_um, self.factors) + self.offset_um

    def pull_points(self, points_um: npt.ArrayLike) -> FloatArray:
        return np.subtract(points_um, self.offset_um) / self.factors

    def in_frames(self, moving_um: npt.ArrayLike, fixed_um: npt.ArrayLike) -> Self:
        offset_um = np.subtract(fixed_um, np.multiply(self.factors, moving_um))
        z_um, y_um, x_um = np.add(offset_um, self.offset_um).tolist()
        return type(self)(self.factors, (z_um, y_um, x_um))

    def to_dict(self) -> dict[str, Any]:
        return {
            "type": self.type,
            "factors": list(self.factors),
            "offset": list(self.offset_um),
        }

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        return cls(read_vector(fields["factors"]), read_vector(fields["offset"]))
