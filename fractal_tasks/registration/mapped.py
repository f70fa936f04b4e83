"""A patch where a transform puts it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from fractal_tasks.registration.patch import Box, Patch, Pixels
from fractal_tasks.transforms import Affine, FloatArray, Transform
from fractal_tasks.transforms.base import grid_points

_ROUNDING_PX = 1e-6
"""Planes that are so near to whole ones are those."""


@dataclass(frozen=True)
class MappedPatch:
    """A moving volume as it lies in the frame of the fixed one, interpolated linearly.

    Pixels that `patch` does not have are NaN.
    """

    patch: Patch

    transform: Transform
    """Moving to fixed, each from its own first corner."""

    shape: tuple[int, ...]
    """Number of pixels per axis of the fixed volume (z, y, x)."""

    @property
    def spacing_um(self) -> tuple[float, ...]:
        """Pixel size per axis, in micrometres."""
        return self.patch.spacing_um

    def read(self, box: Box) -> Pixels:
        """Read the pixels of `box` from where they were."""
        if isinstance(self.transform, Affine):
            return self._read_linear(box, self.transform)
        spacing = np.array(self.spacing_um)
        centres_um = [
            (np.arange(side.start, side.stop) + 0.5) * size
            for side, size in zip(box, spacing, strict=True)
        ]
        pulled = self.transform.pull_grid(centres_um)
        pulled = pulled / spacing.reshape(3, 1, 1, 1) - 0.5
        whole = np.rint(pulled)
        pulled = np.where(np.abs(pulled - whole) < _ROUNDING_PX, whole, pulled)
        start, stop = self._find_source(pulled.reshape(3, -1).T)
        mapped = np.full(pulled.shape[1:], np.nan, np.float32)
        if np.all(stop > start):
            source = self.patch.read(tuple(map(slice, start, stop)))
            places = pulled - start.reshape(3, 1, 1, 1)
            # In a single plane there are half as many neighbours.
            flat = 1 if source.shape[0] == 1 and not places[0].any() else 0
            scipy.ndimage.map_coordinates(
                source[0] if flat else source,
                places[flat:],
                output=mapped,
                order=1,
                cval=np.nan,
            )
        return mapped

    def _find_source(
        self, pulled: FloatArray
    ) -> tuple[npt.NDArray[np.int_], npt.NDArray[np.int_]]:
        """Give the first and the last but one pixels that surround places."""
        start = np.maximum(0, np.floor(pulled.min(axis=0))).astype(int)
        stop = np.ceil(pulled.max(axis=0)).astype(int) + 1
        return start, np.minimum(stop, self.patch.shape)

    def _read_linear(self, box: Box, transform: Affine) -> Pixels:
        matrix, offset = self._pull(transform)
        first = np.array([axis.start for axis in box])
        size = np.array([axis.stop - axis.start for axis in box])
        ends = grid_points([(0, 1)] * 3)
        origins = (first + ends * (size - 1)) @ matrix.T + offset
        start, stop = self._find_source(origins)
        mapped = np.full(tuple(size), np.nan, np.float32)
        if np.any(stop <= start):
            return mapped
        source = self.patch.read(tuple(map(slice, start, stop)))
        offset = first @ matrix.T + offset - start
        if not _keeps_planes(matrix, offset[0]):
            scipy.ndimage.affine_transform(
                source, matrix, offset, output=mapped, order=1, cval=np.nan
            )
            return mapped
        plane = round(offset[0])
        # Planes of the source before and after those of the box do not show.
        ours, theirs = mapped[max(0, -plane) :], source[max(0, plane) :]
        for target, one in zip(ours, theirs, strict=False):
            scipy.ndimage.affine_transform(
                one, matrix[1:, 1:], offset[1:], output=target, order=1, cval=np.nan
            )
        return mapped

    def _pull(self, transform: Affine) -> tuple[FloatArray, FloatArray]:
        """Give the map of pixel indices, fixed to moving: matrix and offset."""
        spacing = np.array(self.spacing_um)
        back = np.linalg.inv(transform.matrix)
        matrix = back * spacing / spacing[:, None]
        # Centres of pixels lie half a pixel from their corners.
        first = transform.pull_points([spacing / 2])[0]
        return matrix, first / spacing - 0.5


def _keeps_planes(matrix: FloatArray, offset: float) -> bool:
    """Tell whether each plane comes from one plane as a whole."""
    apart = np.abs([*(matrix[0] - (1, 0, 0)), *matrix[1:, 0], offset - round(offset)])
    return bool(apart.max() < _ROUNDING_PX)
