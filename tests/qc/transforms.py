"""Transforms that are made for a test: any function of points."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from fractal_tasks.transforms import FloatArray, Transform


@dataclass(frozen=True)
class Warp(Transform):
    """Maps ``(n, 3)`` points by a function."""

    type: ClassVar[str] = "warp of a test"

    function: Callable[[FloatArray], npt.ArrayLike]

    def map_points(self, points_um: npt.ArrayLike) -> FloatArray:
        points = np.asarray(points_um, dtype=float)
        return np.asarray(self.function(points), dtype=float)

    def pull_points(self, points_um: npt.ArrayLike) -> FloatArray:
        raise NotImplementedError

    def in_frames(self, moving_um: npt.ArrayLike, fixed_um: npt.ArrayLike) -> Self:
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        raise NotImplementedError

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        raise NotImplementedError


def linear(matrix: npt.ArrayLike, shift_um: npt.ArrayLike = (0, 0, 0)) -> Warp:
    """Give ``x -> A x + t``."""
    return Warp(lambda points: points @ np.transpose(matrix) + np.asarray(shift_um))


def wave(amplitude_um: float, length_um: float) -> Warp:
    """Give a wave along x: ``x -> x + a sin(2 pi x / length)``.

    Its derivative is ``1 + 2 pi a / length cos(...)``: it folds if a is above
    ``length / (2 pi)``.
    """

    def displace(points: FloatArray) -> FloatArray:
        phase = 2 * np.pi * points[:, 2] / length_um
        return points + amplitude_um * np.sin(phase)[:, None] * [0, 0, 1]

    return Warp(displace)
