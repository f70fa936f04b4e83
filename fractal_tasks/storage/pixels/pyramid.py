"""Write all levels of a pyramid in one pass over blocks, with bounded memory.

Each level is cut into *nodes*: boxes of whole write units (shards, or chunks), so that
nothing that was written is ever read or written again, and of whole nodes of the finer
level. A level-0 node is written, halved, and put into its parent; whoever brings the
last part of a parent goes on with the parent. Siblings are visited in a row, so that on
each level hardly more nodes than there are workers are incomplete, however large the
image.
"""

import itertools
import math
import os
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np

from fractal_tasks.storage.pixels.block_source import BlockSource
from fractal_tasks.storage.pixels.downsample import (
    Downsampling,
    consolidate_levels,
    halve,
    halving_factors,
)
from fractal_tasks.storage.pixels.grid import (
    Box,
    Pixels,
    ZarrArray,
    box_shape,
    cell_around,
    full_box,
    grow_box,
    shrink_box,
    split_box,
    to_slices,
    write_unit,
)

MAX_DEFAULT_WORKERS = 4
"""More hardly help: they wait for the same disk."""

MAX_UNITS_PER_NODE = 8
"""Units that do not nest would make nodes, and with them memory, grow without limit."""


def write_pyramid(
    levels: Sequence[ZarrArray],
    source: BlockSource,
    *,
    downsampling: Downsampling,
    max_workers: int | None = None,
) -> None:
    """Write level 0 block by block, and the coarser levels on the way.

    The coarser levels get the values that ngio's `consolidate` would give them. They
    are built from blocks in memory as long as every size is the finer level's or half
    of it; from the first other level on, ngio builds them from the stored level. Memory
    is a few blocks for each worker, however large the image.

    Args:
        levels: Arrays of one dtype without any chunks yet, finest first.
        source: Gives the pixels of level 0. Chunks that hold only the array's own fill
            value are not written.
        downsampling: ``mean`` for intensities, ``nearest`` for labels.
        max_workers: Number of threads; by default the usable cores, at most 4. The
            result does not depend on it.
    """
    planned = _plan_levels(levels, downsampling)
    writer = _Writer(planned, downsampling, source.fill_value)
    _for_each(
        _walk_leaves(planned, full_box(planned[-1].array.shape)),
        lambda box: writer.put(box, source.read_block(box)),
        max_workers or usable_cores(),
    )
    if len(planned) < len(levels):
        consolidate_levels(levels[len(planned) - 1 :], downsampling)


def usable_cores() -> int:
    """Give the number of cores that this process may use, at most 4."""
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), MAX_DEFAULT_WORKERS)
    return min(os.cpu_count() or 1, MAX_DEFAULT_WORKERS)


def new_block(
    shape: tuple[int, ...], fill_value: float, dtype: np.dtype[Any]
) -> Pixels:
    """Make a block that holds nothing but `fill_value`."""
    # Memory of zeros is taken from the system only where something is written.
    return np.full(shape, fill_value, dtype) if fill_value else np.zeros(shape, dtype)


@dataclass(frozen=True)
class _Level:
    """A level that is built from blocks in memory."""

    array: ZarrArray
    node_shape: tuple[int, ...]
    factors: tuple[int, ...]
    """How many pixels make one of the next level, per axis; 1 at the last level."""


@dataclass
class _Node:
    """A block that waits for its parts."""

    missing_pixels: int
    block: Pixels | None = None


def _plan_levels(
    levels: Sequence[ZarrArray], downsampling: Downsampling
) -> list[_Level]:
    """Cut the levels that can be built from memory, at least the first, into nodes.

    A node has to be whole write units of its level, so that none is written twice;
    whole nodes of the finer level, so that each of these has one parent; and of even
    size where it is halved, so that it can be halved by itself.
    """
    max_pixels = MAX_UNITS_PER_NODE * max(math.prod(write_unit(a)) for a in levels)
    planned: list[_Level] = []
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
        planned.append(_Level(level, node_shape, factors))
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


def _walk_leaves(levels: Sequence[_Level], box: Box) -> Generator[Box, None, None]:
    """Give the level-0 nodes under a box of the last level, siblings in a row."""
    *finer, level = levels
    for node in split_box(box, level.node_shape):
        if finer:
            yield from _walk_leaves(finer, grow_box(node, finer[-1].factors))
        else:
            yield node


def _for_each(
    boxes: Generator[Box, None, None], action: Callable[[Box], None], workers: int
) -> None:
    """Run an action for all boxes, in order, in threads; stop at the first failure."""
    lock = Lock()

    def work() -> None:
        while True:
            with lock:
                box = next(boxes, None)
            if box is None:
                return
            action(box)

    with ThreadPoolExecutor(workers) as pool:
        futures: list[Future[None]] = []
        try:
            futures.extend(pool.submit(work) for _ in range(workers))
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            with lock:
                boxes.close()
        for future in futures:
            future.result()


class _Writer:
    """Writes blocks, and puts them together to the blocks of coarser levels."""

    def __init__(
        self, levels: Sequence[_Level], downsampling: Downsampling, fill_value: float
    ) -> None:
        self._levels = levels
        self._downsampling = downsampling
        self._fill_value = fill_value
        self._lock = Lock()
        self._incomplete: dict[tuple[int, Box], _Node] = {}

    def put(self, box: Box, block: Pixels | None) -> None:
        """Write a node of level 0, and each ancestor that it completes."""
        for depth, level in enumerate(self._levels, start=1):
            if block is not None:
                level.array[to_slices(box)] = block
            elif level.array.fill_value != self._fill_value:
                level.array[to_slices(box)] = self._fill_value
            if depth == len(self._levels):
                return
            if block is not None:
                block = halve(block, level.factors, self._downsampling)
            parent = self._join(depth, shrink_box(box, level.factors), block)
            if parent is None:
                return
            box, block = parent

    def _join(
        self, depth: int, part_box: Box, part: Pixels | None
    ) -> tuple[Box, Pixels | None] | None:
        """Put a part into its node; give the node if that was the last one."""
        level = self._levels[depth]
        box = cell_around(part_box, level.node_shape, level.array.shape)
        shape = box_shape(box)
        with self._lock:
            node = self._incomplete.setdefault((depth, box), _Node(math.prod(shape)))
            if part is not None and node.block is None:
                node.block = new_block(shape, self._fill_value, part.dtype)
        if part is not None and node.block is not None:
            node.block[to_slices(part_box, box)] = part
        with self._lock:
            node.missing_pixels -= math.prod(box_shape(part_box))
            if node.missing_pixels:
                return None
            del self._incomplete[depth, box]
        return box, node.block
