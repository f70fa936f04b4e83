"""A shift by the same vector everywhere."""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from fractal_tasks.transforms.base import FloatArray, Transform, Vector, read_vector


@dataclass(frozen=True)
class Translation(Transform):
    """``x_fixed = x_moving + translation_um``.

    A block that sits 4 px of 0.325 um further in the moving image has
    ``translation_um = -1.3`` on that axis. ``scipy.ndimage.shift(moving, t)`` takes
    the same sign (in pixels); ``ndimage.affine_transform`` and elastix take the
    inverse.

    Example:
        >>> Translation((0.0, 1.0, -2.0)).map_points([[0.0, 10.0, 10.0]]).tolist()
        [[0.0, 11.0, 8.0]]
        >>> Translation((0.0, 1.0, -2.0)).displacement_at((0.0, 10.0, 10.0))
        (0.0, 1.0, -2.0)
    """

    type: ClassVar[str] = "translation"

    translation_um: Vector
    """Displacement in micrometres."""

    def map_points(self, points_um: npt.ArrayLike) -> FloatArray:
        """Map moving points, shape ``(n, 3)``, to fixed points."""
        return np.add(points_um, self.translation_um, dtype=np.float64)

    def pull_points(self, points_um: npt.ArrayLike) -> FloatArray:
        """Map fixed points, shape ``(n, 3)``, back to moving points."""
        return np.subtract(points_um, self.translation_um, dtype=np.float64)

    def displacement_at(self, point_um: npt.ArrayLike) -> Vector:
        """Give the translation: it is the same everywhere, to the last bit."""
        return self.translation_um

    def in_frames(self, moving_um: npt.ArrayLike, fixed_um: npt.ArrayLike) -> Self:
        """Give the same translation for points that are counted from other origins."""
        between = np.subtract(fixed_um, moving_um, dtype=np.float64)
        z_um, y_um, x_um = np.add(self.translation_um, between).tolist()
        return type(self)((z_um, y_um, x_um))

    def inverse(self) -> Self:
        """Give the translation back."""
        z_um, y_um, x_um = self.pull_points(np.zeros((1, 3)))[0].tolist()
        return type(self)((z_um, y_um, x_um))

    def to_dict(self) -> dict[str, Any]:
        """Give the RFC-5 object ``translation``."""
        return {"type": self.type, "translation": list(self.translation_um)}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        """Build from the RFC-5 object ``translation``."""
        return cls(read_vector(fields["translation"]))
