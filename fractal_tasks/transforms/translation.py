"""A shift by the same vector everywhere."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from fractal_tasks.transforms.base import FloatArray


@dataclass(frozen=True)
class Translation:
    """``x_fixed = x_moving + translation_um``.

    A block that sits 4 px of 0.325 um further in the moving image has
    ``translation_um = -1.3`` on that axis. ``scipy.ndimage.shift(moving, t)`` takes
    the same sign (in pixels); ``ndimage.affine_transform`` and elastix take the
    inverse.
    """

    type: ClassVar[str] = "translation"

    translation_um: tuple[float, float, float]
    """Displacement in micrometres, order z, y, x."""

    def map_points(self, points_um: FloatArray) -> FloatArray:
        """Map moving points, shape ``(n, 3)``, to fixed points."""
        return np.add(points_um, self.translation_um, dtype=np.float64)

    def inverse(self) -> Self:
        """Give the translation from fixed to moving."""
        z, y, x = self.translation_um
        return type(self)((-z, -y, -x))

    def to_dict(self) -> dict[str, Any]:
        """Give the RFC-5 field ``translation``."""
        return {"translation": list(self.translation_um)}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        """Build from the RFC-5 field ``translation``."""
        z, y, x = (float(value) for value in fields["translation"])
        if not all(map(math.isfinite, (z, y, x))):
            raise ValueError("a value is not finite")
        return cls((z, y, x))
