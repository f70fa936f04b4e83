"""A patch where a transform puts it."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from fractal_tasks.registration.patch import Box, Patch, Pixels
from fractal_tasks.transforms import Affine, FloatArray

_ROUNDING_PX = 1e-6
"""Planes that are so near to whole ones are those."""


@dataclass(frozen=True)
class MappedPatch:
    """A moving volume as it lies in the frame of the fixed one, interpolated linearly.

    Pixels that `patch` does not have are NaN.
    """

    patch: Patch

    transform: Affine
    """Moving to fixed, each from its own first corner."""

    shape: tuple[int, ...]
    """Number of pixels per axis of the fixed volume (z, y, x)."""

    @property
    def spacing_um(self) -> tuple[float, ...]:
        """Pixel size per axis, in micrometres."""
        return self.patch.spacing_um

    def read(self, box: Box) -> Pixels:
        """Read the pixels of `box` from where they were."""
        matrix, offset = self._pull()
        first = np.array([axis.start for axis in box])
        size = np.array([axis.stop - axis.start for axis in box])
        ends = np.stack(np.meshgrid(*((0, 1),) * 3, indexing="ij"), -1).reshape(-1, 3)
        origins = (first + ends * (size - 1)) @ matrix.T + offset
        start = np.maximum(0, np.floor(origins.min(axis=0))).astype(int)
        stop = np.ceil(origins.max(axis=0)).astype(int) + 1
        stop = np.minimum(stop, self.patch.shape)
        mapped = np.full(tuple(size), np.nan, np.float32)
        if np.any(stop <= start):
            return mapped
        source = self.patch.read(tuple(map(slice, start, stop)))
        offset = first @ matrix.T + offset - start
        if not _keeps_planes(matrix, offset[0]):
            ndimage.affine_transform(
                source, matrix, offset, output=mapped, order=1, cval=np.nan
            )
            return mapped
        plane = round(offset[0])
        # Planes of the source before and after those of the box do not show.
        ours, theirs = mapped[max(0, -plane) :], source[max(0, plane) :]
        for target, one in zip(ours, theirs, strict=False):
            ndimage.affine_transform(
                one, matrix[1:, 1:], offset[1:], output=target, order=1, cval=np.nan
            )
        return mapped

    def _pull(self) -> tuple[FloatArray, FloatArray]:
        """Give the map of pixel indices, fixed to moving: matrix and offset."""
        spacing = np.array(self.spacing_um)
        back = np.linalg.inv(self.transform.matrix)
        matrix = back * spacing / spacing[:, None]
        # Centres of pixels lie half a pixel from their corners.
        first = self.transform.pull_points([spacing / 2])[0]
        return matrix, first / spacing - 0.5


def _keeps_planes(matrix: FloatArray, offset: float) -> bool:
    """Tell whether each plane comes from one plane as a whole."""
    apart = np.abs([*(matrix[0] - (1, 0, 0)), *matrix[1:, 0], offset - round(offset)])
    return bool(apart.max() < _ROUNDING_PX)
