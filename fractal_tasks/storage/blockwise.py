"""Copy boxes of whole pixels from one image to another, with all resolutions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock

import numpy as np

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.storage.downsample import Downsampling
from fractal_tasks.storage.grid import (
    Box,
    Pixels,
    ZarrArray,
    box_shape,
    cell_around,
    split_box,
    to_slices,
)
from fractal_tasks.storage.pixels import read_pixels
from fractal_tasks.storage.pyramid import new_block, usable_cores, write_pyramid

# A shifted block touches four chunks, and shares each with three other blocks. Of
# chunks of 2048 x 2048 pixels with 16 bits, this is 32 MB for each worker.
CACHED_CHUNKS_PER_WORKER = 4


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


def write_registered(
    source: ZarrArray,
    levels: Sequence[ZarrArray],
    copies: Sequence[BoxCopy],
    *,
    downsampling: Downsampling,
    fill_value: float = 0,
    max_workers: int | None = None,
) -> None:
    """Copy boxes from level 0 of an image or label to all levels of another.

    Pixels are carried over unchanged. Memory is a few blocks for each worker, however
    large image and boxes are.

    Args:
        source: Level 0 of the source. Its axes before the spatial ones have the same
            sizes in the target; the spatial sizes may differ.
        levels: The target's arrays, of the source's dtype and without any chunks yet,
            finest first.
        copies: What to copy. Where destinations overlap, the later one wins.
        downsampling: ``mean`` for intensities, ``nearest`` for labels.
        fill_value: The value of pixels in no box. Chunks that hold only the target's
            own fill value are not written.
        max_workers: Number of threads; by default the usable cores, at most 4. The
            result does not depend on it.

    Raises:
        InvalidInputError: Source and target do not match, or a box does not lie in
            its array.
        InvalidDataError: A chunk of the source is damaged or cannot be read.
    """
    boxes = _check_copies(source, levels[0], copies)
    workers = max_workers or usable_cores()
    cached_chunks = CACHED_CHUNKS_PER_WORKER * (workers + 1)
    reader = _Reader(source, boxes, fill_value, cached_chunks)
    write_pyramid(
        levels,
        reader.read_block,
        downsampling=downsampling,
        fill_value=fill_value,
        max_workers=workers,
    )


def _check_copies(
    source: ZarrArray, target: ZarrArray, copies: Sequence[BoxCopy]
) -> list[tuple[Box, Box, str]]:
    """Give source, destination and name of each copy, for all axes; no empty ones."""
    if (source.ndim, source.dtype) != (target.ndim, target.dtype):
        raise InvalidInputError(
            f"{target.store_path}: found {target.ndim} axes of {target.dtype}; needed "
            f"are {source.ndim} of {source.dtype}, as in {source.store_path}. Derive "
            "the target from the source."
        )
    boxes = [
        (
            _to_box(copy.source, source.shape),
            _to_box(copy.destination, target.shape),
            copy.roi,
        )
        for copy in copies
    ]
    for copy, (*pair, _) in zip(copies, boxes, strict=True):
        shapes = [box_shape(box) for box in pair]
        if shapes[0] != shapes[1]:
            raise InvalidInputError(
                f"{target.store_path}: {copy} has {shapes[0]} pixels in the source and "
                f"{shapes[1]} in the target; both must be the same. Cut the larger box."
            )
        for box, array in zip(pair, (source, target), strict=True):
            if any(
                side.start < 0 or side.stop > size
                for side, size in zip(box, array.shape, strict=True)
            ):
                raise InvalidInputError(
                    f"{array.store_path}: {copy} reaches out of the array of "
                    f"{array.shape} pixels. Cut the box at the border."
                )
    return [checked for checked in boxes if math.prod(box_shape(checked[0]))]


def _to_box(slices: tuple[slice, ...], shape: tuple[int, ...]) -> Box:
    """Complete the slices of the spatial axes with all of the axes before."""
    leading = shape[: len(shape) - len(slices)]
    return (
        *(range(size) for size in leading),
        *(range(part.start, part.stop) for part in slices),
    )


@dataclass
class _Chunk:
    """A chunk that one worker reads, and others that need it wait for."""

    lock: Lock = field(default_factory=Lock)
    is_read: bool = False
    pixels: Pixels | None = None


class _Reader:
    """Puts blocks of the target together from chunks of the source."""

    def __init__(
        self,
        source: ZarrArray,
        copies: Sequence[tuple[Box, Box, str]],
        fill_value: float,
        cached_chunks: int,
    ) -> None:
        self._source = source
        self._copies = copies
        self._fill_value = fill_value
        # An array: a well has hundreds of fields, each block touches few of them.
        sides = [[(side.start, side.stop) for side in box] for _, box, _ in copies]
        self._destinations = np.reshape(np.array(sides, int), (-1, source.ndim, 2))
        self._cached_chunks = cached_chunks
        self._chunks: dict[Box, _Chunk] = {}
        self._lock = Lock()

    def read_block(self, box: Box) -> Pixels | None:
        """Give the pixels of a box of the target; None if all are the fill value."""
        block: Pixels | None = None
        chunk_shape, shape = self._source.chunks, self._source.shape
        for index in self._find_copies(box):
            source_box, destination, roi = self._copies[index]
            box_in_source, wanted = _to_source(box, source_box, destination)
            for part in split_box(wanted, chunk_shape):
                chunk_box = cell_around(part, chunk_shape, shape)
                chunk = self._get_chunk(chunk_box, roi)
                if block is None and chunk is not None:
                    block = new_block(box_shape(box), self._fill_value, chunk.dtype)
                if block is not None:
                    block[to_slices(part, box_in_source)] = (
                        self._fill_value
                        if chunk is None
                        else chunk[to_slices(part, chunk_box)]
                    )
        return block

    def _find_copies(self, box: Box) -> list[int]:
        """Give the indices of the copies that write into a box, in their order."""
        starts, stops = self._destinations[..., 0], self._destinations[..., 1]
        touching = (starts < [side.stop for side in box]) & (
            stops > [side.start for side in box]
        )
        return [int(index) for index in np.flatnonzero(touching.all(axis=1))]

    def _get_chunk(self, box: Box, roi: str) -> Pixels | None:
        """Give a chunk of the source; None if all its pixels are the fill value."""
        with self._lock:
            chunk = self._chunks.pop(box, None) or _Chunk()
            # A dict keeps its order: the chunk used last goes to the end.
            self._chunks[box] = chunk
            if len(self._chunks) > self._cached_chunks:
                del self._chunks[next(iter(self._chunks))]
        with chunk.lock:
            if not chunk.is_read:
                chunk.pixels = self._read_chunk(box, roi)
                chunk.is_read = True
            return chunk.pixels

    def _read_chunk(self, box: Box, roi: str) -> Pixels | None:
        chunk = read_pixels(self._source, to_slices(box), f"ROI {roi!r}")
        fill_value = self._fill_value
        # Most chunks differ in their first pixel, and need no further look.
        if chunk.flat[0] == fill_value and np.all(chunk == fill_value):
            return None
        return chunk


def _to_source(box: Box, source_box: Box, destination: Box) -> tuple[Box, Box]:
    """Give a box of the target in the source's indices, and what to copy of it."""
    moved, wanted = [], []
    for side, source, target in zip(box, source_box, destination, strict=True):
        shift = source.start - target.start
        start, stop = side.start + shift, side.stop + shift
        moved.append(range(start, stop))
        wanted.append(range(max(start, source.start), min(stop, source.stop)))
    return tuple(moved), tuple(wanted)
