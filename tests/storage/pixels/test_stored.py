"""Work goes with what is stored, not with what is declared."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.storage import MemoryStore

from fractal_tasks.storage.pixels.grid import to_slices
from fractal_tasks.storage.pixels.stored import stored_cells
from tests.storage.pixels.arrays import (
    CountingStore,
    assert_pyramid,
    box,
    make_pyramid,
    paste,
    shifted,
    write_copies,
)

ENCODINGS: list[dict[str, Any]] = [
    {"zarr_format": 2, "chunk_key_encoding": {"name": "v2", "separator": "."}},
    {"zarr_format": 2, "chunk_key_encoding": {"name": "v2", "separator": "/"}},
    {"zarr_format": 3},
    {"zarr_format": 3, "chunk_key_encoding": {"name": "v2", "separator": "."}},
    {"zarr_format": 3, "shards": (1, 20, 20)},
]


@pytest.mark.parametrize("make_store", [str, lambda path: MemoryStore()])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_chunks_are_found_that_are_stored(
    tmp_path: Path, encoding: dict[str, Any], make_store: Callable[[Path], Any]
) -> None:
    store = make_store(tmp_path)
    for name in ("0", "00"):  # the first is no part of the second
        array = zarr.create_array(
            store,
            name=name,
            shape=(3, 45, 40),
            chunks=(1, 10, 10),
            dtype="u1",
            **encoding,
        )
        array[1, 5, 5] = array[2, 44, 39] = 1
    size = 20 if "shards" in encoding else 10
    found = stored_cells(zarr.open_array(store, path="0", mode="r"))
    assert [to_slices(cell) for cell in found] == [
        box((1, 2), (0, size), (0, size)),
        box((2, 3), (40, 45), (40 - size, 40)),
    ]


def test_what_is_no_chunk_is_not_one_and_no_file_is_a_chunk_to_be_refused(
    tmp_path: Path,
) -> None:
    array = zarr.create_array(
        str(tmp_path), shape=(45, 40), chunks=(10, 10), dtype="u1"
    )
    (tmp_path / "c/0/1").mkdir(parents=True)
    for name in ("c/0/4", "c/5/0", "c/0/00", "c/note 1 2.txt", "1 1", "c/0.0"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [to_slices(cell) for cell in stored_cells(array)] == [box((0, 10), (10, 20))]


@pytest.mark.parametrize("size", [2**20, 2**20 - 1], ids=["halved", "odd"])
def test_work_goes_with_what_is_stored(size: int) -> None:
    shape, chunks = (size, size), (256, 256)
    (source,) = make_pyramid(shape, chunks, n_levels=1)
    source[1000:1100, 2000:2100] = 9
    store = CountingStore()
    levels = make_pyramid(shape, chunks, n_levels=6, store=store)
    copies = [shifted([(0, size - 9), (0, size - 9)], (3, 5))]
    store.writes.clear()
    write_copies(source, levels, copies, downsampling="mean")
    # At most four chunks of each level.
    assert store.writes.total() <= 4 * len(levels)
    assert levels[-1][:64, :128].any()


@pytest.mark.parametrize("seed", range(12))
def test_pyramid_of_few_chunks_is_that_of_all_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    (source,) = make_pyramid((64, 128), (16, 8), n_levels=1)
    pixels = np.zeros(source.shape, source.dtype)
    for _ in range(rng.integers(5)):
        y, x = rng.integers(4) * 16, rng.integers(16) * 8
        pixels[y : y + 16, x : x + 8] = rng.integers(1, 1000, (16, 8))
    source[...] = pixels
    copies = []
    for _ in range(rng.integers(1, 8)):
        y, x, shift_y, shift_x = rng.integers([44, 100, 20, 28])
        height, width = rng.integers(1, [45 - y, 101 - x])
        copies.append(shifted([(y, y + height), (x, x + width)], (shift_y, shift_x)))
    chunks = tuple(rng.choice([8, 13, 32], 2).tolist())
    levels = make_pyramid((64, 128), chunks, n_levels=4)
    fill_value = int(rng.integers(2))

    write_copies(source, levels, copies, downsampling="mean", fill_value=fill_value)

    assert_pyramid(levels, paste(pixels, (64, 128), copies, fill_value))


def test_a_million_times_a_million_pixels_with_two_chunks_take_few_reads() -> None:
    store = CountingStore()
    size = 2**20
    (source,) = make_pyramid((size, size), (64, 64), n_levels=1, store=store)
    levels = make_pyramid((size, size), (64, 64), n_levels=6)
    source[64:128, 64:128] = 7
    source[size - 64 :, size - 64 :] = 9
    store.reads.clear()
    moved = [shifted([(0, size - 10), (0, size)], (10, 0))]

    write_copies(source, levels, moved, downsampling="mean")

    assert store.reads.total() < 20
    np.testing.assert_array_equal(levels[0][54:118, 64:128], 7)
    np.testing.assert_array_equal(levels[0][size - 74 : size - 10, size - 64 :], 9)
    np.testing.assert_array_equal(levels[0][size - 10 :, size - 64 :], 0)
    assert levels[5][-3:, -3:].max() == 9
    assert len(stored_cells(levels[0])) == 4
