"""What every transform can do."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from fractal_tasks.transforms.displacements import Displacements

FloatArray: TypeAlias = npt.NDArray[np.float64]

Vector: TypeAlias = tuple[float, float, float]
"""Three numbers in the order z, y, x."""


_PROBES = 9
"""Points along each axis at which a transform is looked at."""


class Transform(ABC):
    """A map of moving physical points onto fixed ones (micrometres; z, y, x).

    A new type is a frozen dataclass that sets `type`, maps points, and says what it is
    in other frames and as JSON; named in `TRANSFORM_TYPES`, it is stored and read.

    The other direction has its own name: a *pull* tells for a fixed point which moving
    one belongs there. It is what resampling asks, pixel by pixel of the result.
    """

    type: ClassVar[str]
    """The RFC-5 name of this transform, e.g. ``translation``."""

    @abstractmethod
    def map_points(self, points_um: npt.ArrayLike) -> FloatArray:
        """Map moving points, shape ``(n, 3)``, to fixed points."""

    @abstractmethod
    def pull_points(self, points_um: npt.ArrayLike) -> FloatArray:
        """Map fixed points, shape ``(n, 3)``, back to the moving points they show."""

    @abstractmethod
    def in_frames(self, moving_um: npt.ArrayLike, fixed_um: npt.ArrayLike) -> Self:
        """Give the same transform for points that are counted from other origins.

        Args:
            moving_um: Where the origin of this transform's moving points lies in the
                new moving frame, shape ``(3,)``.
            fixed_um: The same for the fixed points.

        Returns:
            ``x -> T(x - moving_um) + fixed_um``.
        """

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Give the JSON object, named as in OME-NGFF RFC-5.

        As `from_dict`, of numbers as they are: frames are a matter of `PixelSizes`.
        """

    @classmethod
    @abstractmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        """Build the transform from its JSON object, whose ``type`` is known."""

    @property
    def displacements(self) -> Mapping[str, Displacements]:
        """Those that its JSON object names, by their path in the image; most have none.

        They are to be stored before the object is.
        """
        return {}

    def pull_grid(self, axes_um: Sequence[FloatArray]) -> FloatArray:
        """Map fixed points on a grid back to the moving points they show.

        Args:
            axes_um: Where the points lie along z, y and x.

        Returns:
            Shape ``(3, z, y, x)``: z, y and x of each point.
        """
        pulled = self.pull_points(grid_points(axes_um))
        return pulled.T.reshape(3, *map(len, axes_um))

    def probe_points(self, box_um: FloatArray) -> FloatArray:
        """Give points between which it does nothing that they do not tell.

        Args:
            box_um: Both corners of the box of fixed points in question, ``(2, 3)``.
        """
        return list_points(box_um)

    def displacement_at(self, point_um: npt.ArrayLike) -> Vector:
        """Give how far, in um, and where to a moving point is displaced.

        This is what the translation columns of a ROI table hold, taken at the centre
        of the ROI.

        Args:
            point_um: Shape ``(3,)``, order z, y, x.
        """
        point = np.asarray(point_um, dtype=np.float64)
        return to_vector(self.map_points(point[None])[0] - point)


def list_points(box_um: FloatArray) -> FloatArray:
    """Give points all over a box, its corners among them, shape ``(n, 3)``.

    Args:
        box_um: Both corners, shape ``(2, 3)``.
    """
    return grid_points([np.linspace(first, last, _PROBES) for first, last in box_um.T])


def grid_points(axes: Sequence[npt.ArrayLike]) -> FloatArray:
    """Give all points of a grid, shape ``(n, 3)``; those along x follow each other.

    Args:
        axes: Where they lie along z, y and x.
    """
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    return grid.reshape(-1, 3).astype(np.float64)


def to_vector(values: npt.ArrayLike) -> Vector:
    """Give three numbers as plain ones."""
    z, y, x = np.asarray(values, dtype=np.float64).tolist()
    return z, y, x


def collect_displacements(transforms: Iterable[Transform]) -> dict[str, Displacements]:
    """Give those that JSON objects of transforms name, by their path in the image."""
    return {
        path: one
        for transform in transforms
        for path, one in transform.displacements.items()
    }


def read_vector(values: object) -> Vector:
    """Read three finite numbers of JSON.

    Raises:
        TypeError: There is something else.
        ValueError: They are not finite.
    """
    if not isinstance(values, list):
        # Text and objects can be taken apart, too, and their parts be numbers.
        raise TypeError("it is no list")
    z, y, x = (float(value) for value in values)
    if not all(map(math.isfinite, (z, y, x))):
        raise ValueError("a value is not finite")
    return z, y, x
