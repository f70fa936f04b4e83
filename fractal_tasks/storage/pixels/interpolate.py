"""Pixels between pixels: where those of a new array lie in an old one.

Indices are those of centres: pixel ``i`` has its centre at ``i``, and its borders at
``i - 1/2`` and ``i + 1/2``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fractal_tasks.model.settings import Interpolation
from fractal_tasks.storage.pixels.grid import Box, Pixels, box_shape

Indices: TypeAlias = npt.NDArray[np.float64]
Mask: TypeAlias = npt.NDArray[np.bool_]

_ORDERS = {"linear": 1, "cubic": 3}

_HALO_PX = {"nearest": 1, "linear": 1, "cubic": 12}
"""So many pixels around a block change it. The prefilter of cubic splines sees all of
them, but from 12 pixels away it changes 16-bit integers by a 4000th of a count."""


@dataclass(frozen=True)
class IndexMap:
    """Where pixels of a target come from: a map of indices onto those of a source."""

    pull: Callable[[Indices], Indices]
    """Maps indices of the target, shape ``(n, d)``, to indices of the source."""

    pull_grid: Callable[[Sequence[Indices]], Indices] | None = None
    """The same for points on a grid, of which it gets the indices along each axis, of
    shape ``(d, ...)``. None for a map that keeps straight lines straight: then d + 1
    points tell all of it."""

    def linear(self, box: Box) -> tuple[Indices, Indices]:
        """Give matrix and offset, for indices that count from the box's first pixel."""
        start = np.array([side.start for side in box], dtype=np.float64)
        lengths = np.array([max(len(side), 1) for side in box], dtype=np.float64)
        origin, *ends = self.pull(np.vstack([start, start + np.diag(lengths)]))
        matrix = np.subtract(ends, origin) / lengths[:, None]
        return matrix.T, origin


class _Tile:
    """Where the pixels of a box of the target lie in the source."""

    def __init__(self, index_map: IndexMap, box: Box) -> None:
        self.shape = box_shape(box)
        self._map = index_map
        self._box = box
        if index_map.pull_grid is None:
            self.matrix, self.start = index_map.linear(box)
            ends = np.array(list(product(*((0, size - 1) for size in self.shape))))
            corners = ends @ self.matrix.T + self.start
        else:
            corners = self.indices.reshape(len(box), -1).T
        self.first: Indices = corners.min(axis=0)
        self.last: Indices = corners.max(axis=0)

    @cached_property
    def indices(self) -> Indices:
        """Of each pixel, shape ``(d, ...)``."""
        if self._map.pull_grid is None:
            steps = np.ogrid[tuple(map(slice, self.shape))]
            return np.stack(
                [
                    sum((w * step for w, step in zip(row, steps, strict=True)), first)
                    for row, first in zip(self.matrix, self.start, strict=True)
                ]
            )
        return self._map.pull_grid([np.array(side, np.float64) for side in self._box])

    def region(self, source: Box, halo: int) -> Box:
        """Give the box of the source that its pixels are made of."""
        return tuple(
            range(max(side.start, int(a) - halo), min(side.stop, int(b) + halo + 1))
            for side, a, b in zip(
                source, np.floor(self.first), np.ceil(self.last), strict=True
            )
        )

    def find_known(self, source: Box) -> Mask | None:
        """Say which pixels lie inside the borders of the source; None if all do."""
        low = np.array([side.start - 0.5 for side in source])
        high = np.array([side.stop - 0.5 for side in source])
        if (self.first >= low).all() and (self.last <= high).all():
            return None
        along = (-1, *[1] * len(source))
        inside = self.indices >= low.reshape(along)
        inside &= self.indices <= high.reshape(along)
        return np.asarray(inside.all(axis=0))

    def sample(self, pixels: Pixels, corner: Indices, how: Interpolation) -> Pixels:
        """Give its pixels, made of those of a region of the source.

        Args:
            pixels: Of the region, spatial axes only.
            corner: Index of its first pixel.
            how: Ids of labels are `nearest`, and stay as they are.
        """
        if how == "nearest":
            nearest = tuple(
                np.clip(np.floor(along + (0.5 - start)).astype(np.intp), 0, size - 1)
                for along, start, size in zip(
                    self.indices, corner, pixels.shape, strict=True
                )
            )
            found: Pixels = pixels[nearest]
            return found
        # Copying whole pixels needs none of it.
        from scipy import ndimage

        # Floats in which 16-bit integers are exact; in 64 bits, those of 32 are.
        options = {
            "output": np.float32 if pixels.dtype.itemsize <= 2 else np.float64,
            "order": _ORDERS[how],
            "mode": "mirror",
        }
        if self._map.pull_grid is None:
            start = self.start - corner
            # In a single plane there are half as many neighbours.
            flat = int(
                pixels.shape[0] == self.shape[0] == 1
                and not (start[0] or self.matrix[0, 1:].any())
            )
            values = ndimage.affine_transform(
                pixels[0] if flat else pixels,
                self.matrix[flat:, flat:],
                start[flat:],
                output_shape=self.shape[flat:],
                **options,
            )
        else:
            along = (-1, *[1] * len(corner))
            places = self.indices - corner.reshape(along)
            flat = int(pixels.shape[0] == 1 and not places[0].any())
            values = ndimage.map_coordinates(
                pixels[0] if flat else pixels, places[flat:], **options
            )
        return to_dtype(values, pixels.dtype).reshape(self.shape)


def interpolate(
    read: Callable[[Box], Pixels | None],
    leading: Box,
    box: Box,
    source: Box,
    index_map: IndexMap,
    how: Interpolation,
) -> tuple[Pixels | None, Mask | None] | None:
    """Give pixels of a target, interpolated between those of a source.

    Args:
        read: Gives a box of the source, all axes; None if it holds nothing.
        leading: Indices along the axes before the spatial ones, e.g. channels. They
            share what is known about where pixels lie.
        box: In the target, spatial axes only.
        source: What may be looked at, spatial axes only. Of what lies beyond its
            borders nothing is known.
        index_map: From the target to the source, spatial axes only.
        how: Integers are rounded to the nearest, and limited to what their type holds.

    Returns:
        Pixels of the dtype that is read, None if nothing is stored; and which of the
        box are known, None if all are. None if there is nothing to see.
    """
    tile = _Tile(index_map, box)
    region = tile.region(source, _HALO_PX[how])
    known = tile.find_known(source)
    if not all(region) or (known is not None and not known.any()):
        return None
    pixels = read((*leading, *region))
    if pixels is None:
        return None, known
    corner = np.array([side.start for side in region], dtype=np.float64)
    found = np.empty((*box_shape(leading), *tile.shape), pixels.dtype)
    for place in np.ndindex(box_shape(leading)):
        found[place] = tile.sample(pixels[place], corner, how)
    return found, known


def to_dtype(values: Pixels, dtype: npt.DTypeLike) -> Pixels:
    """Round and limit values to what an integer type holds; floats stay as they are."""
    dtype = np.dtype(dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        values = np.clip(np.rint(values), limits.min, limits.max)
    elif dtype.kind == "b":
        values = values >= 0.5
    return values.astype(dtype)
