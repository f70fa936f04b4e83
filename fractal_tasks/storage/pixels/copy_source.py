"""Boxes of whole pixels of one array, at other places of a new one."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from threading import Lock

import numpy as np

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.storage.pixels.chunks import read_pixels
from fractal_tasks.storage.pixels.grid import (
    Box,
    Pixels,
    ZarrArray,
    box_shape,
    cell_around,
    intersect,
    split_box,
    to_slices,
    write_unit,
)
from fractal_tasks.storage.pixels.pyramid import new_block, usable_cores
from fractal_tasks.storage.pixels.stored import stored_cells

_THEN = (
    "Then run the same command again: it goes on, and images of the well that are "
    "registered stay."
)

CACHED_CHUNKS_PER_WORKER = 4
"""A shifted block touches four chunks, and shares each with three other blocks. Of
chunks of 2048 x 2048 pixels with 16 bits, this is 32 MB for each worker."""


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
class _Copy:
    """A `BoxCopy` with all axes, known to lie inside both arrays."""

    source: Box
    destination: Box
    roi: str

    def to_source(self, box: Box) -> Box:
        """Give a box of the target in the source's indices; it may reach out of it."""
        return _move(box, self.destination, self.source)

    def to_destination(self, box: Box) -> Box:
        """Give a box of the source in the target's indices."""
        return _move(box, self.source, self.destination)


@dataclass
class _Chunk:
    """A chunk that one worker reads, and others that need it wait for."""

    lock: Lock = field(default_factory=Lock)
    is_read: bool = False
    pixels: Pixels | None = None


class _LazyBlock:
    """A block that takes memory once something else than the fill value is in it."""

    def __init__(self, shape: tuple[int, ...], fill_value: float) -> None:
        self.pixels: Pixels | None = None
        self._shape = shape
        self._fill_value = fill_value

    def paste(self, where: tuple[slice, ...], part: Pixels) -> None:
        """Put pixels into the block."""
        if self.pixels is None:
            self.pixels = new_block(self._shape, self._fill_value, part.dtype)
        self.pixels[where] = part

    def clear(self, where: tuple[slice, ...]) -> None:
        """Put the fill value into the block."""
        # Something else is there only if an earlier copy has put it there.
        if self.pixels is not None:
            self.pixels[where] = self._fill_value


class CopySource:
    """Puts blocks of a new array together from chunks of another.

    Pixels are carried over unchanged. Each chunk is read about once: those read last
    are kept, a few for each worker.
    """

    def __init__(
        self,
        source: ZarrArray,
        shape: Sequence[int],
        copies: Sequence[BoxCopy],
        fill_value: float = 0,
        *,
        max_workers: int | None = None,
    ) -> None:
        """Check that everything fits; nothing is read yet.

        Args:
            source: Level 0 of the source. Its axes before the spatial ones have the
                same sizes in the target; the spatial sizes may differ.
            shape: Of level 0 of what is to be written, of the source's dtype.
            copies: What to copy. Where destinations overlap, the later one wins.
            fill_value: The value of pixels in no box.
            max_workers: Number of threads that will ask for blocks, as in
                `write_pyramid`.

        Raises:
            InvalidInputError: Source and target do not match, or a box does not lie
                in its array.
        """
        self.fill_value = fill_value
        self._source = source
        self.shape = tuple(shape)
        self._copies = _check_copies(source, self.shape, copies)
        # An array: a well has hundreds of fields, each block touches few of them.
        sides = [[(s.start, s.stop) for s in copy.destination] for copy in self._copies]
        self._destinations = np.reshape(np.array(sides, int), (-1, source.ndim, 2))
        workers = max_workers or usable_cores()
        self._cached_chunks = CACHED_CHUNKS_PER_WORKER * (workers + 1)
        self._chunks: dict[Box, _Chunk] = {}
        self._lock = Lock()

    def find_content(self) -> Iterator[Box]:
        """Give boxes of the target outside of which all pixels are the fill value.

        Those of what is stored of the source, where the copies put it.
        """
        if self._source.fill_value != self.fill_value:
            yield from (copy.destination for copy in self._copies)
            return
        unit = write_unit(self._source)
        stored = {
            tuple(side.start for side in cell): cell
            for cell in stored_cells(self._source)
        }
        for copy in self._copies:
            cells: Iterable[Box] = stored.values()
            n_cells = math.prod(
                (side.stop - 1) // size - side.start // size + 1
                for side, size in zip(copy.source, unit, strict=True)
            )
            if n_cells < len(stored):
                # The smaller of both: there may be many copies, or few huge ones.
                corners = (
                    tuple(
                        side.start // size * size
                        for side, size in zip(part, unit, strict=True)
                    )
                    for part in split_box(copy.source, unit)
                )
                cells = (stored[corner] for corner in corners if corner in stored)
            for cell in cells:
                part = intersect(cell, copy.source)
                if all(part):
                    yield copy.to_destination(part)

    def read_block(self, box: Box) -> Pixels | None:
        """Give the pixels of a box of the target; None if all are the fill value.

        Raises:
            InvalidDataError: A chunk of the source is damaged or cannot be read.
        """
        block = _LazyBlock(box_shape(box), self.fill_value)
        chunk_shape, shape = self._source.chunks, self._source.shape
        for copy in self._find_copies(box):
            # From here on in the source's indices, where chunks begin and end.
            block_box = copy.to_source(box)
            for part in split_box(intersect(block_box, copy.source), chunk_shape):
                chunk_box = cell_around(part, chunk_shape, shape)
                chunk = self._get_chunk(chunk_box, copy.roi)
                place = to_slices(part, block_box)
                if chunk is None:
                    block.clear(place)
                else:
                    block.paste(place, chunk[to_slices(part, chunk_box)])
        return block.pixels

    def _find_copies(self, box: Box) -> list[_Copy]:
        """Give the copies that write into a box, in their order."""
        starts, stops = self._destinations[..., 0], self._destinations[..., 1]
        touching = (starts < [side.stop for side in box]) & (
            stops > [side.start for side in box]
        )
        return [self._copies[index] for index in np.flatnonzero(touching.all(axis=1))]

    def _get_chunk(self, box: Box, roi: str) -> Pixels | None:
        """Give a chunk of the source; None if all its pixels are the fill value."""
        with self._lock:
            chunk = self._chunks.pop(box, None) or _Chunk()
            # A dict keeps its order: the chunk used last goes to the end.
            self._chunks[box] = chunk
            if len(self._chunks) > self._cached_chunks:
                del self._chunks[next(iter(self._chunks))]
        # Outside of the lock of all: other chunks are read meanwhile.
        with chunk.lock:
            if not chunk.is_read:
                chunk.pixels = self._read_chunk(box, roi)
                chunk.is_read = True
            return chunk.pixels

    def _read_chunk(self, box: Box, roi: str) -> Pixels | None:
        chunk = read_pixels(self._source, to_slices(box), f"ROI {roi!r}", _THEN)
        # Most chunks differ in their first pixel, and need no further look.
        if chunk.flat[0] == self.fill_value and np.all(chunk == self.fill_value):
            return None
        return chunk


def _check_copies(
    source: ZarrArray, shape: tuple[int, ...], copies: Sequence[BoxCopy]
) -> list[_Copy]:
    """Complete the copies with all axes, and check them; empty ones are left out."""
    if len(shape) != source.ndim:
        raise InvalidInputError(
            f"{source.store_path}: found {source.ndim} axes, and {len(shape)} in the "
            f"shape {shape} of what is made of it; needed is a size for each axis. "
            "Derive the shape from that of the source."
        )
    checked = []
    for copy in copies:
        box = _to_box(copy.source, source.shape)
        destination = _to_box(copy.destination, shape)
        if box_shape(box) != box_shape(destination):
            raise InvalidInputError(
                f"{source.store_path}: {copy} has {box_shape(box)} pixels in the "
                f"source and {box_shape(destination)} in the target; both must be the "
                "same. Cut the larger box."
            )
        _check_inside(box, source.shape, copy, source)
        _check_inside(destination, shape, copy, source)
        if math.prod(box_shape(box)):
            checked.append(_Copy(box, destination, copy.roi))
    return checked


def _check_inside(
    box: Box, shape: tuple[int, ...], copy: BoxCopy, source: ZarrArray
) -> None:
    if any(
        side.start < 0 or side.stop > size
        for side, size in zip(box, shape, strict=True)
    ):
        raise InvalidInputError(
            f"{source.store_path}: {copy} reaches out of an array of {shape} "
            "pixels. Cut the box at the border."
        )


def _to_box(slices: tuple[slice, ...], shape: tuple[int, ...]) -> Box:
    """Complete the slices of the spatial axes with all of the axes before."""
    leading = shape[: len(shape) - len(slices)]
    return (
        *(range(size) for size in leading),
        *(range(part.start, part.stop) for part in slices),
    )


def _move(box: Box, start: Box, end: Box) -> Box:
    """Move a box as `start` is moved to `end`."""
    return tuple(
        range(side.start + b.start - a.start, side.stop + b.start - a.start)
        for side, a, b in zip(box, start, end, strict=True)
    )
