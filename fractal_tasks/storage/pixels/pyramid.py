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
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Lock
from typing import Any, TypeVar

import numpy as np

from fractal_tasks.storage.pixels.block_source import BlockSource
from fractal_tasks.storage.pixels.downsample import (
    Downsampling,
    coarser_box,
    halve,
    resample,
)
from fractal_tasks.storage.pixels.grid import (
    Box,
    Pixels,
    ZarrArray,
    box_shape,
    cell_around,
    full_box,
    shrink_box,
    split_box,
    to_slices,
    write_unit,
)
from fractal_tasks.storage.pixels.nodes import (
    Level,
    Node,
    find_nodes,
    plan_levels,
    walk_nodes,
)
from fractal_tasks.storage.pixels.stored import stored_cells

_Item = TypeVar("_Item")

MAX_DEFAULT_WORKERS = 4
"""More hardly help: they wait for the same disk."""


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
    of it; from the first other level on, from what is stored of the finer one. Memory
    is a few blocks for each worker, however large the image.

    Args:
        levels: Arrays of one dtype without any chunks yet, finest first.
        source: Gives the pixels of level 0. Chunks that hold only the array's own fill
            value are not written.
        downsampling: ``mean`` for intensities, ``nearest`` for labels.
        max_workers: Number of threads; by default the usable cores, at most 4. The
            result does not depend on it.
    """
    planned = plan_levels(levels, downsampling)
    writer = _Writer(planned, downsampling, source.fill_value)
    if any(level.array.fill_value != source.fill_value for level in planned):
        # All is to be written, also where nothing is.
        content: Iterable[Box] = [full_box(source.shape)]
    else:
        content = source.find_content()

    def put(node: Node) -> None:
        writer.put(node, source.read_block(node.box) if node.is_filled else None)

    workers = max_workers or usable_cores()
    _for_each(walk_nodes(planned, find_nodes(planned, content)), put, workers)
    for level, coarser in itertools.pairwise(levels[len(planned) - 1 :]):
        _resample_level(level, coarser, downsampling, workers)


def _resample_level(
    level: ZarrArray, coarser: ZarrArray, downsampling: Downsampling, workers: int
) -> None:
    """Make a level of what is stored of the finer one, unit by unit."""

    def put(box: Box) -> None:
        coarser[to_slices(box)] = resample(level, coarser, box, downsampling)

    is_sparse = level.fill_value == coarser.fill_value
    content = stored_cells(level) if is_sparse else [full_box(level.shape)]
    unit = write_unit(coarser)
    units = {
        cell_around(part, unit, coarser.shape)
        for box in content
        for part in split_box(coarser_box(box, level.shape, coarser.shape), unit)
    }
    _for_each((box for box in units), put, workers)


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


@dataclass
class _Incomplete:
    """A node that waits for its parts."""

    missing_pixels: int
    block: Pixels | None = None


def _for_each(
    items: Generator[_Item, None, None], action: Callable[[_Item], None], workers: int
) -> None:
    """Run an action for all items, in order, in threads; stop at the first failure."""
    lock = Lock()

    def work() -> None:
        while True:
            with lock:
                item = next(items, None)
            if item is None:
                return
            action(item)

    with ThreadPoolExecutor(workers) as pool:
        futures: list[Future[None]] = []
        try:
            futures.extend(pool.submit(work) for _ in range(workers))
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            with lock:
                items.close()
        for future in futures:
            future.result()


class _Writer:
    """Writes blocks, and puts them together to the blocks of coarser levels."""

    def __init__(
        self, levels: Sequence[Level], downsampling: Downsampling, fill_value: float
    ) -> None:
        self._levels = levels
        self._downsampling = downsampling
        self._fill_value = fill_value
        self._lock = Lock()
        self._incomplete: dict[tuple[int, Box], _Incomplete] = {}

    def put(self, node: Node, block: Pixels | None) -> None:
        """Write a node, and each ancestor that it completes."""
        box = node.box
        for depth, level in enumerate(self._levels[node.depth :], node.depth + 1):
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
            parent = self._incomplete.setdefault(
                (depth, box), _Incomplete(math.prod(shape))
            )
            if part is not None and parent.block is None:
                parent.block = new_block(shape, self._fill_value, part.dtype)
        if part is not None and parent.block is not None:
            parent.block[to_slices(part_box, box)] = part
        with self._lock:
            parent.missing_pixels -= math.prod(box_shape(part_box))
            if parent.missing_pixels:
                return None
            del self._incomplete[depth, box]
        return box, parent.block
