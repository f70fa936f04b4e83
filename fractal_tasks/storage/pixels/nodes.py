"""The nodes of a pyramid: boxes of a level that are written as a whole.

Each level is cut into *nodes*: boxes of whole write units (shards, or chunks), so that
nothing that was written is ever read or written again, and of whole nodes of the finer
level.
"""

import itertools
import math
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from fractal_tasks.storage.pixels.downsample import Downsampling, halving_factors
from fractal_tasks.storage.pixels.grid import (
    Box,
    ZarrArray,
    grow_box,
    split_box,
    write_unit,
)

MAX_UNITS_PER_NODE = 8
"""Units that do not nest would make nodes, and with them memory, grow without limit."""


@dataclass(frozen=True)
class Level:
    """A level that is built from blocks in memory."""

    array: ZarrArray
    node_shape: tuple[int, ...]
    factors: tuple[int, ...]
    """How many pixels make one of the next level, per axis; 1 at the last level."""


_Index: TypeAlias = tuple[int, ...]
"""Of a node in the grid of its level."""


@dataclass(frozen=True)
class Node:
    """A box that is put as a whole."""

    depth: int
    """Index of its level."""

    box: Box
    is_filled: bool
    """Whether something else than the fill value may be in it."""


def plan_levels(levels: Sequence[ZarrArray], downsampling: Downsampling) -> list[Level]:
    """Cut the levels that can be built from memory, at least the first, into nodes.

    A node has to be whole write units of its level, so that none is written twice;
    whole nodes of the finer level, so that each of these has one parent; and of even
    size where it is halved, so that it can be halved by itself.
    """
    max_pixels = MAX_UNITS_PER_NODE * max(math.prod(write_unit(a)) for a in levels)
    planned: list[Level] = []
    # Of a finer node, in pixels of the level at hand. Level 0 has none below it.
    child_shape = (1,) * levels[0].ndim
    for level, factors in zip(
        levels, _halving_chain(levels, downsampling), strict=False
    ):
        needs = zip(write_unit(level), child_shape, factors, level.shape, strict=True)
        # A node that is larger than the level is the level: nothing lies beyond.
        node_shape = tuple(min(math.lcm(*sizes), total) for *sizes, total in needs)
        if planned and math.prod(node_shape) > max_pixels:
            break
        planned.append(Level(level, node_shape, factors))
        child_shape = tuple(np.floor_divide(node_shape, factors).tolist())
    return planned


def _halving_chain(
    levels: Sequence[ZarrArray], downsampling: Downsampling
) -> list[tuple[int, ...]]:
    """Give the factors from each level to the next, as far as `halve` can go.

    The last level that it reaches has factors of 1: nothing is made from it in memory.
    """
    chain = []
    for level, coarser in itertools.pairwise(levels):
        factors = halving_factors(level, coarser, downsampling)
        if factors is None:
            break
        chain.append(factors)
    return [*chain, (1,) * levels[0].ndim]


def find_nodes(levels: Sequence[Level], content: Iterable[Box]) -> list[set[_Index]]:
    """Find the nodes of each level in which something else than the fill value is."""
    shape = levels[0].node_shape
    found = [
        {
            tuple(side.start // size for side, size in zip(part, shape, strict=True))
            for box in content
            for part in split_box(box, shape)
        }
    ]
    for finer, level in itertools.pairwise(levels):
        sizes = (finer.node_shape, finer.factors, level.node_shape)
        found.append(
            {
                tuple(
                    number * size // factor // parent_size
                    for number, size, factor, parent_size in zip(
                        index, *sizes, strict=True
                    )
                )
                for index in found[-1]
            }
        )
    return found


def walk_nodes(
    levels: Sequence[Level], filled: Sequence[set[_Index]]
) -> Generator[Node, None, None]:
    """Give the nodes to put, siblings in a row.

    Those of level 0 that are filled; and what else is in a filled node of a coarser
    level, in as few nodes as there can be.
    """
    for index in sorted(filled[-1]):
        sizes = zip(index, levels[-1].node_shape, levels[-1].array.shape, strict=True)
        box = tuple(range(i * size, min((i + 1) * size, end)) for i, size, end in sizes)
        yield from _walk_box(levels, filled, box)


def _walk_box(
    levels: Sequence[Level], filled: Sequence[set[_Index]], box: Box
) -> Generator[Node, None, None]:
    """Give the nodes to put in a box of the last of the levels."""
    *finer, level = levels
    for part in split_box(box, level.node_shape):
        index = (
            side.start // size
            for side, size in zip(part, level.node_shape, strict=True)
        )
        is_filled = tuple(index) in filled[len(finer)]
        if finer and is_filled:
            child = grow_box(part, finer[-1].factors)
            yield from _walk_box(finer, filled, child)
        else:
            yield Node(len(finer), part, is_filled)
