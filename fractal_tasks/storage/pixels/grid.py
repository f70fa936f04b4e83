"""Boxes of pixel indices, and the grids of chunks they are cut along."""

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy.typing as npt

if TYPE_CHECKING:
    import zarr

Pixels: TypeAlias = npt.NDArray[Any]
ZarrArray: TypeAlias = "zarr.Array[Any]"

Box: TypeAlias = tuple[range, ...]
"""One range of indices for every axis of an array; hashable, unlike slices."""


def full_box(shape: Sequence[int]) -> Box:
    """Give the box of a whole array."""
    return tuple(range(size) for size in shape)


def box_shape(box: Box) -> tuple[int, ...]:
    """Give the number of pixels per axis."""
    return tuple(len(side) for side in box)


def to_slices(box: Box, origin: Box | None = None) -> tuple[slice, ...]:
    """Give the slices of `box` in its array, or in the block of the box `origin`."""
    starts = [0] * len(box) if origin is None else [side.start for side in origin]
    return tuple(
        slice(side.start - start, side.stop - start)
        for side, start in zip(box, starts, strict=True)
    )


def split_box(box: Box, cell_shape: Sequence[int]) -> Iterator[Box]:
    """Cut a box along the grid of cells that begins at the array's origin."""
    sides = (
        [
            range(max(start, side.start), min(start + size, side.stop))
            for start in range(side.start // size * size, side.stop, size)
        ]
        for side, size in zip(box, cell_shape, strict=True)
    )
    return itertools.product(*sides)


def cell_around(box: Box, cell_shape: Sequence[int], shape: Sequence[int]) -> Box:
    """Give the cell that holds `box`, cut at the border of the array."""
    return tuple(
        range(side.start // size * size, min((side.start // size + 1) * size, total))
        for side, size, total in zip(box, cell_shape, shape, strict=True)
    )


def shrink_box(box: Box, factors: Sequence[int]) -> Box:
    """Give the same box on a grid that is coarser by whole factors."""
    return tuple(
        range(side.start // factor, side.stop // factor)
        for side, factor in zip(box, factors, strict=True)
    )


def grow_box(box: Box, factors: Sequence[int]) -> Box:
    """Give the same box on a grid that is finer by whole factors."""
    return tuple(
        range(side.start * factor, side.stop * factor)
        for side, factor in zip(box, factors, strict=True)
    )


def intersect(box: Box, other: Box) -> Box:
    """Give what two boxes have in common; a side of it is empty if that is nothing."""
    return tuple(
        range(max(a.start, b.start), min(a.stop, b.stop))
        for a, b in zip(box, other, strict=True)
    )


def write_unit(array: ZarrArray) -> tuple[int, ...]:
    """Give the shape of a shard, or of a chunk: what can be written without reading."""
    return array.shards or array.chunks
