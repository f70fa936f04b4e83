"""Chunks of an array, each read about once though many blocks need it."""

from dataclasses import dataclass, field
from threading import Lock

import numpy as np

from fractal_tasks.storage.pixels.chunks import read_pixels
from fractal_tasks.storage.pixels.grid import (
    Box,
    Pixels,
    ZarrArray,
    cell_around,
    split_box,
    to_slices,
)
from fractal_tasks.storage.pixels.pyramid import usable_cores

_THEN = (
    "Then run the same command again: it goes on, and images of the well that are "
    "registered stay."
)

CACHED_CHUNKS_PER_WORKER = 4
"""A shifted block touches four chunks, and shares each with three other blocks. Of
chunks of 2048 x 2048 pixels with 16 bits, this is 32 MB for each worker."""


@dataclass
class _Chunk:
    """A chunk that one worker reads, and others that need it wait for."""

    lock: Lock = field(default_factory=Lock)
    is_read: bool = False
    pixels: Pixels | None = None


class ChunkCache:
    """Gives pixels of an array; those chunks read last are kept, a few per worker."""

    def __init__(
        self, array: ZarrArray, fill_value: float, *, max_workers: int | None = None
    ) -> None:
        """Read nothing yet.

        Args:
            array: What is read.
            fill_value: A chunk of nothing else takes no memory.
            max_workers: Number of threads that will ask, as in `write_pyramid`.
        """
        self.array = array
        self.fill_value = fill_value
        workers = max_workers or usable_cores()
        self._cached_chunks = CACHED_CHUNKS_PER_WORKER * (workers + 1)
        self._chunks: dict[Box, _Chunk] = {}
        self._lock = Lock()

    def read_parts(self, box: Box, roi: str) -> list[tuple[Box, Pixels | None]]:
        """Give a box in parts, each of one chunk; None if all is the fill value.

        Raises:
            InvalidDataError: A chunk is damaged or cannot be read.
        """
        parts = []
        for part in split_box(box, self.array.chunks):
            chunk_box = cell_around(part, self.array.chunks, self.array.shape)
            chunk = self._get(chunk_box, roi)
            pixels = None if chunk is None else chunk[to_slices(part, chunk_box)]
            parts.append((part, pixels))
        return parts

    def _get(self, box: Box, roi: str) -> Pixels | None:
        """Give a chunk; None if all its pixels are the fill value."""
        with self._lock:
            chunk = self._chunks.pop(box, None) or _Chunk()
            # A dict keeps its order: the chunk used last goes to the end.
            self._chunks[box] = chunk
            if len(self._chunks) > self._cached_chunks:
                del self._chunks[next(iter(self._chunks))]
        # Outside of the lock of all: other chunks are read meanwhile.
        with chunk.lock:
            if not chunk.is_read:
                chunk.pixels = self._read(box, roi)
                chunk.is_read = True
            return chunk.pixels

    def _read(self, box: Box, roi: str) -> Pixels | None:
        chunk = read_pixels(self.array, to_slices(box), f"ROI {roi!r}", _THEN)
        # Most chunks differ in their first pixel, and need no further look.
        if chunk.flat[0] == self.fill_value and np.all(chunk == self.fill_value):
            return None
        return chunk
