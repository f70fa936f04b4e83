"""Boxes of a new array, and where their pixels come from."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import TypeAlias

import numpy as np

from fractal_tasks.model.settings import Interpolation
from fractal_tasks.storage.pixels.chunk_cache import ChunkCache
from fractal_tasks.storage.pixels.grid import (
    Box,
    Pixels,
    box_shape,
    intersect,
    split_box,
    to_slices,
)
from fractal_tasks.storage.pixels.interpolate import IndexMap, Mask, interpolate
from fractal_tasks.storage.pixels.pyramid import new_block

_TILE_PX = 512
"""Blocks are interpolated in tiles of so many pixels along y and x: then what they need
in memory does not grow with the chunks of the new array."""


@dataclass(frozen=True)
class BoxCopy:
    """One box of whole level-0 pixels, where it is read and where it is written.

    Both have one slice with start and stop for each spatial axis, order ``[z,] y, x``,
    and the same shape. They apply to all channels and timepoints.
    """

    source: tuple[slice, ...]
    """The box in the source array."""

    destination: tuple[slice, ...]
    """The box in the target array."""

    roi: str = ""
    """Names the box in errors."""


@dataclass(frozen=True)
class BoxPull:
    """One box of the target whose pixels are interpolated between those of a source.

    Both boxes have one slice with start and stop for each spatial axis, and apply to
    all channels and timepoints.
    """

    source: tuple[slice, ...]
    """What of the source array may be looked at."""

    destination: tuple[slice, ...]
    """The box in the target array. Of a pixel that comes from beyond `source` nothing
    is known."""

    index_map: IndexMap
    """From the target to the source, spatial axes only."""

    interpolation: Interpolation

    roi: str = ""
    """Names the box in errors."""


_Part: TypeAlias = tuple[Box, Pixels | None, Mask | None]
"""A box of the target; its pixels, None if all are the fill value; and which of its
spatial pixels are known, None if all are."""


@dataclass(frozen=True)
class CopiedBox:
    """A `BoxCopy` with all axes, known to lie inside both arrays."""

    source: Box
    destination: Box
    roi: str

    def to_destination(self, box: Box) -> Box:
        """Give a box of the target in which one of the source is seen."""
        return _move(box, self.source, self.destination)

    def read(self, chunks: ChunkCache, box: Box) -> Iterator[_Part]:
        """Give what of a box of the target is known."""
        # In the source's indices, where chunks begin and end.
        wanted = intersect(_move(box, self.destination, self.source), self.source)
        for part, pixels in chunks.read_parts(wanted, self.roi):
            yield self.to_destination(part), pixels, None


@dataclass(frozen=True)
class PulledBox:
    """A `BoxPull` with all axes, known to lie inside both arrays."""

    source: Box
    destination: Box
    roi: str
    index_map: IndexMap
    interpolation: Interpolation
    ndim: int
    """Number of spatial axes."""

    def to_destination(self, box: Box) -> Box:
        """Give a box of the target in which one of the source is seen."""
        if self.index_map.pull_grid is not None:
            return self.destination
        leading, target = self._split(self.destination)
        matrix, start = self.index_map.linear(target)
        # What is interpolated reaches a pixel further than what it is made of.
        ends = [(side.start - 1, side.stop) for side in box[-self.ndim :]]
        corners = np.linalg.solve(matrix, (np.array(list(product(*ends))) - start).T)
        found = tuple(
            range(side.start + int(low), side.start + int(high) + 1)
            for side, low, high in zip(
                target,
                np.floor(corners.min(axis=1)),
                np.ceil(corners.max(axis=1)),
                strict=True,
            )
        )
        return (*leading, *intersect(found, target))

    def read(self, chunks: ChunkCache, box: Box) -> Iterator[_Part]:
        """Give what of a box of the target is known."""

        def read(wanted: Box) -> Pixels | None:
            block = LazyBlock(box_shape(wanted), chunks.fill_value)
            for part, pixels in chunks.read_parts(wanted, self.roi):
                if pixels is not None:
                    block.paste(to_slices(part, wanted), pixels)
            return block.pixels

        leading, target = self._split(intersect(box, self.destination))
        source = self.source[-self.ndim :]
        tile_shape = (*[1] * (self.ndim - 2), _TILE_PX, _TILE_PX)
        for tile in split_box(target, tile_shape):
            found = interpolate(
                read, leading, tile, source, self.index_map, self.interpolation
            )
            if found is not None:
                yield (*leading, *tile), *found

    def _split(self, box: Box) -> tuple[Box, Box]:
        """Give the axes before the spatial ones, and these."""
        return box[: -self.ndim], box[-self.ndim :]


class LazyBlock:
    """A block that takes memory once something else than the fill value is in it."""

    def __init__(self, shape: tuple[int, ...], fill_value: float) -> None:
        """Begin with the fill value everywhere."""
        self.pixels: Pixels | None = None
        self._shape = shape
        self._fill_value = fill_value

    def paste(
        self, where: tuple[slice, ...], part: Pixels, known: Mask | None = None
    ) -> None:
        """Put pixels into the block, or those of them that are known."""
        if self.pixels is None:
            self.pixels = new_block(self._shape, self._fill_value, part.dtype)
        np.copyto(self.pixels[where], part, where=True if known is None else known)

    def clear(self, where: tuple[slice, ...], known: Mask | None = None) -> None:
        """Put the fill value into the block, where it is known to be."""
        # Something else is there only if an earlier box has put it there.
        if self.pixels is not None:
            fill_value = self.pixels.dtype.type(self._fill_value)
            self.paste(where, np.asarray(fill_value), known)


def _move(box: Box, start: Box, end: Box) -> Box:
    """Move a box as `start` is moved to `end`."""
    return tuple(
        range(side.start + b.start - a.start, side.stop + b.start - a.start)
        for side, a, b in zip(box, start, end, strict=True)
    )
