"""Levels of a pyramid, with the values that ngio gives them.

ngio resizes with `scipy.ndimage.zoom(grid_mode=True)`. Where sizes are halved exactly,
that is the mean of the pixels (`Image.consolidate(order="linear")`) or one of them
(`Label.consolidate`), which numpy gives faster, for any block of even size. Of other
sizes blocks are resized here as if the whole level were, where ngio does so chunk by
chunk, each by another factor.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np

from fractal_tasks.storage.pixels.grid import (
    Box,
    Pixels,
    ZarrArray,
    box_shape,
    to_slices,
)

Downsampling: TypeAlias = Literal["mean", "nearest"]
"""``mean`` is for intensities, ``nearest`` for labels."""


def halving_factors(
    level: ZarrArray, coarser: ZarrArray, downsampling: Downsampling
) -> tuple[int, ...] | None:
    """Give 1 or 2 for every axis, or None if `halve` cannot make the coarser level."""
    kind, itemsize = level.dtype.kind, level.dtype.itemsize
    # scipy rounds sums of 64-bit integers to float64, and knows its own mean of bool.
    if downsampling == "mean" and not (kind == "f" or (kind in "iu" and itemsize <= 4)):
        return None
    sizes = list(zip(level.shape, coarser.shape, strict=True))
    if any(size not in (half, 2 * half) for size, half in sizes):
        return None
    return tuple(size // half for size, half in sizes)


def halve(
    block: Pixels, factors: tuple[int, ...], downsampling: Downsampling
) -> Pixels:
    """Reduce a block by 1 or 2 along each axis.

    The mean of integers is rounded half away from zero. The nearest pixel is the odd
    one: the centre of the coarse pixel lies between two, and scipy rounds up.
    """
    if downsampling == "nearest":
        return block[tuple(slice(factor - 1, None, factor) for factor in factors)]
    samples = [
        block[tuple(slice(i, None, f) for i, f in zip(first, factors, strict=True))]
        for first in itertools.product(*map(range, factors))
    ]
    is_float = block.dtype.kind == "f"
    wide = "f8" if is_float else f"{block.dtype.kind}{2 * block.dtype.itemsize}"
    # In scipy's order: the last bit of a sum of floats depends on it.
    total = samples[0].astype(wide)
    for sample in samples[1:]:
        total += sample
    if is_float:
        total /= len(samples)
    else:
        if block.dtype.kind == "i":
            total -= total < 0
        total += len(samples) // 2
        total >>= len(samples).bit_length() - 1
    return total.astype(block.dtype)


def source_box(box: Box, shape: Sequence[int], coarser_shape: Sequence[int]) -> Box:
    """Give the pixels of a level that a box of the coarser level is made of.

    Args:
        box: In the coarser level.
        shape: Of the level.
        coarser_shape: Of the coarser level.
    """
    return _map_box(box, coarser_shape, shape, 0.5)


def coarser_box(box: Box, shape: Sequence[int], coarser_shape: Sequence[int]) -> Box:
    """Give the pixels of a coarser level that a box is seen in: at least these.

    Args:
        box: In a level.
        shape: Of the level.
        coarser_shape: Of the coarser level.
    """
    return _map_box(box, shape, coarser_shape, -0.5)


def _map_box(
    box: Box, shape: Sequence[int], target_shape: Sequence[int], inset_px: float
) -> Box:
    """Give a box on the grid of another level, in the whole pixels that hold it.

    Args:
        box: On a grid of `shape`.
        shape: Of the level.
        target_shape: Of the other level.
        inset_px: How far inside its corners the box begins and ends: half a pixel for
            its centres, less half for the centres of its neighbours.
    """
    sides = []
    for side, size, target_size in zip(box, shape, target_shape, strict=True):
        ratio = target_size / size
        first = math.floor((side.start + inset_px) * ratio - 0.5)
        last = math.ceil((side.stop - inset_px) * ratio - 0.5)
        sides.append(range(max(first, 0), min(last + 1, target_size)))
    return tuple(sides)


def resample(
    level: ZarrArray, coarser: ZarrArray, box: Box, downsampling: Downsampling
) -> Pixels:
    """Give a box of a coarser level of any size, as `scipy.ndimage.zoom` makes it.

    Args:
        level: The finer level, with its pixels.
        coarser: The coarser level.
        box: In the coarser level.
        downsampling: How.
    """
    from scipy.ndimage import affine_transform

    source = source_box(box, level.shape, coarser.shape)
    ratios = np.divide(level.shape, coarser.shape)
    # Centres of pixels, in pixels of the block; scipy does the same for a whole array.
    offsets = [
        (side.start + 0.5) * ratio - 0.5 - start.start
        for side, start, ratio in zip(box, source, ratios, strict=True)
    ]
    pixels: Pixels = affine_transform(
        level[to_slices(source)],
        ratios,
        offsets,
        output_shape=box_shape(box),
        order=1 if downsampling == "mean" else 0,
        mode="nearest",
    )
    return pixels
