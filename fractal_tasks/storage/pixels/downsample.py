"""Levels of a pyramid, with the values that ngio gives them.

ngio resizes with `scipy.ndimage.zoom(grid_mode=True)`. Where sizes are halved exactly,
that is the mean of the pixels (`Image.consolidate(order="linear")`) or one of them
(`Label.consolidate`), which numpy gives faster, for any block of even size.
"""

import itertools
from collections.abc import Sequence
from typing import Literal, TypeAlias

from fractal_tasks.storage.pixels.grid import Pixels, ZarrArray

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


def consolidate_levels(levels: Sequence[ZarrArray], downsampling: Downsampling) -> None:
    """Build all levels but the first from the first, whatever their sizes."""
    from ngio.common import consolidate_pyramid

    steps = itertools.pairwise(levels)
    # ngio resizes chunk by chunk, and gets a chunk wrong that would shrink to nothing.
    shrinks_to_nothing = any(
        round(chunk * coarse / fine) == 0
        for level, coarser in steps
        for chunk, fine, coarse in zip(
            level.chunks, level.shape, coarser.shape, strict=True
        )
    )
    consolidate_pyramid(
        levels[0],
        list(levels[1:]),
        order="linear" if downsampling == "mean" else "nearest",
        mode="numpy" if shrinks_to_nothing else "dask",
    )
