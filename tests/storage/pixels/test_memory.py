"""How many bytes are held while an image is written, whatever its size."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from fractal_tasks.storage.pixels.box_source import BoxSource
from fractal_tasks.storage.pixels.pyramid import write_pyramid
from tests.storage.pixels.arrays import make_pyramid, shifted

CHUNK_PX = 256
LEVELS = 4


def peak_bytes(folder: Path, chunks: int, workers: int) -> int:
    """Move an image of so many chunks along each side; give the most bytes at once."""
    size = chunks * CHUNK_PX
    shape, chunk_shape = (size, size), (CHUNK_PX, CHUNK_PX)
    (source,) = make_pyramid(shape, chunk_shape, n_levels=1, store=str(folder / "a"))
    rng = np.random.default_rng(0)
    for row in range(0, size, CHUNK_PX):
        # Noise cannot be compressed: no buffer is smaller than its pixels.
        noise = rng.integers(0, 2**16, (CHUNK_PX, size), dtype=np.uint16)
        source[row : row + CHUNK_PX] = noise
    levels = make_pyramid(shape, chunk_shape, n_levels=LEVELS, store=str(folder / "b"))
    moved = [shifted([(0, size - 7), (0, size - 5)], (7, 5))]
    blocks = BoxSource(source, shape, moved, max_workers=workers)
    tracemalloc.start()
    try:
        write_pyramid(levels, blocks, downsampling="mean", max_workers=workers)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("workers", [1, 3])
def test_bytes_are_bounded_as_the_documentation_says(
    tmp_path: Path, workers: int
) -> None:
    """Of docs/server.md, where chunks and nodes are of one size."""
    chunk_bytes = CHUNK_PX**2 * 2
    held = (workers + 1) * (4 + LEVELS - 1) + 5 * workers
    peaks = [peak_bytes(tmp_path / str(n), n, workers) for n in (6, 12)]
    assert max(peaks) <= held * chunk_bytes
