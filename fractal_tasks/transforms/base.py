"""What every transform can do."""

from typing import Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]


class Transform(Protocol):
    """A map of moving physical points onto fixed ones (micrometres; z, y, x)."""

    type: ClassVar[str]
    """The RFC-5 name of this transform, e.g. ``translation``."""

    def map_points(self, points_um: FloatArray) -> FloatArray:
        """Map moving points, shape ``(n, 3)``, to fixed points."""
        ...

    def inverse(self) -> Self:
        """Give the transform from fixed to moving."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Give the JSON fields, named as in OME-NGFF RFC-5, without ``type``."""
        ...

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        """Build the transform from its JSON fields."""
        ...
