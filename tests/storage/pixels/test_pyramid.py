"""All levels of a pyramid, against brute force and against ngio."""

import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ngio.common import consolidate_pyramid

from fractal_tasks.storage.pixels.downsample import Downsampling
from fractal_tasks.storage.pixels.grid import Box, Pixels, full_box
from fractal_tasks.storage.pixels.pyramid import write_pyramid
from tests.storage.pixels.arrays import (
    TWO_FIELDS,
    Array,
    CountingStore,
    assert_pyramid,
    fill_source,
    make_pyramid,
    paste,
    shifted,
    write_copies,
)


@dataclass(frozen=True)
class FromFunction:
    """A block source of a function."""

    read_block: Callable[[Box], Pixels | None]
    shape: tuple[int, ...]
    fill_value: float = 0

    def find_content(self) -> Iterator[Box]:
        yield full_box(self.shape)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("downsampling", ["mean", "nearest"])
@pytest.mark.parametrize(
    ("shape", "chunks"),
    [
        pytest.param((64, 128), (64, 64), id="yx"),
        pytest.param((64, 128), (16, 32), id="yx_small_chunks"),
        pytest.param((64, 128), (13, 30), id="yx_chunks_that_do_not_nest"),
        pytest.param((3, 64, 128), (1, 32, 32), id="zyx"),
        pytest.param((3, 64, 128), (2, 64, 64), id="cyx_chunks_over_two_channels"),
        pytest.param((2, 5, 64, 128), (1, 4, 16, 32), id="czyx_chunks_over_planes"),
        pytest.param((2, 2, 1, 64, 128), (1, 1, 1, 64, 64), id="tczyx"),
    ],
)
def test_levels_are_the_pasted_pixels_and_their_zooms(
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    downsampling: Downsampling,
    zarr_format: int,
) -> None:
    source, pixels = fill_source(shape, chunks, zarr_format=zarr_format)
    levels = make_pyramid(shape, chunks, zarr_format=zarr_format)

    write_copies(source, levels, TWO_FIELDS, downsampling=downsampling)

    assert_pyramid(levels, paste(pixels, shape, TWO_FIELDS), downsampling)


@pytest.mark.parametrize(
    "dtype",
    ["bool"]
    + [f"{k}{b}" for k in ("uint", "int") for b in (8, 16, 32, 64)]
    + ["float32", "float64"],
)
@pytest.mark.parametrize("downsampling", ["mean", "nearest"])
@pytest.mark.parametrize("factors", [(1, 2, 2), (2, 2, 2), (2, 1, 1)], ids=str)
def test_every_dtype_is_halved_as_ngio_halves_it(
    dtype: str, downsampling: Downsampling, factors: tuple[int, ...]
) -> None:
    shape, chunks = (4, 24, 32), (2, 8, 16)
    source, pixels = fill_source(shape, chunks, dtype)
    levels = make_pyramid(shape, chunks, dtype=dtype, factors=factors)
    copies = [shifted([(1, 4), (0, 24), (3, 32)], (-1, 0, -2))]

    write_copies(source, levels, copies, downsampling=downsampling)

    assert_pyramid(levels, paste(pixels, shape, copies), downsampling)


@pytest.mark.parametrize("order", ["linear", "nearest"])
def test_levels_are_those_of_ngio_consolidate(order: Any) -> None:
    shape, chunks = (2, 3, 64, 96), (1, 1, 16, 32)
    source, pixels = fill_source(shape, chunks)
    levels, theirs = make_pyramid(shape, chunks), make_pyramid(shape, chunks)
    copies = [shifted([(0, 60), (0, 90)], (4, 6))]
    theirs[0][...] = paste(pixels, shape, copies)
    consolidate_pyramid(theirs[0], theirs[1:], order=order, mode="dask")

    write_copies(
        source, levels, copies, downsampling="mean" if order == "linear" else "nearest"
    )

    for level, their in zip(levels, theirs, strict=True):
        np.testing.assert_array_equal(level[...], their[...])


@pytest.mark.parametrize("downsampling", ["mean", "nearest"])
@pytest.mark.parametrize(
    ("shape", "factors"),
    [
        pytest.param((1, 63, 90), (1, 2, 2), id="odd_size"),
        pytest.param((1, 36, 60), (1, 2, 2), id="odd_size_at_level_2"),
        pytest.param((1, 81, 54), (1, 3, 3), id="thirds"),
        pytest.param((1, 64, 64), (1, 4, 4), id="quarters"),
    ],
)
def test_other_sizes_get_the_levels_of_ngio(
    shape: tuple[int, ...], factors: tuple[int, ...], downsampling: Downsampling
) -> None:
    chunks = (1, 18, 18)
    source, pixels = fill_source(shape, chunks)
    levels = make_pyramid(shape, chunks, factors=factors, n_levels=4)
    theirs = make_pyramid(shape, chunks, factors=factors, n_levels=4)
    copies = [shifted([(0, shape[1] - 3), (2, 50)], (3, -2))]
    theirs[0][...] = paste(pixels, shape, copies)
    order: Any = "linear" if downsampling == "mean" else "nearest"
    consolidate_pyramid(theirs[0], theirs[1:], order=order, mode="numpy")

    write_copies(source, levels, copies, downsampling=downsampling)

    for level, their in zip(levels, theirs, strict=True):
        # Half a number is rounded up or down: the last bit decides.
        np.testing.assert_allclose(
            level[...], their[...], rtol=0, atol=1 if downsampling == "mean" else 0
        )


def test_planes_in_single_chunks_can_shrink_to_a_third() -> None:
    shape, chunks = (9, 16, 16), (1, 16, 16)
    source, pixels = fill_source(shape, chunks)
    levels = make_pyramid(shape, chunks, factors=(3, 2, 2), n_levels=2)
    copies = [shifted([(0, 9), (0, 16), (0, 16)], (0, 0, 0))]

    write_copies(source, levels, copies, downsampling="nearest")

    assert_pyramid(levels, pixels, "nearest")


@pytest.mark.parametrize("chunks", [(8, 8), (16, 8)], ids=str)
def test_sharded_source_and_target(chunks: tuple[int, int]) -> None:
    shape, shards = (64, 96), (32, 32)
    source, pixels = fill_source(shape, chunks, shards=shards)
    levels = make_pyramid(shape, chunks, shards=shards, n_levels=2)
    copies = [shifted([(0, 61), (0, 90)], (3, 5))]

    write_copies(source, levels, copies, downsampling="mean")

    assert_pyramid(levels, paste(pixels, shape, copies))


@pytest.mark.parametrize("max_workers", [1, 4])
@pytest.mark.parametrize(
    ("chunks", "shards"),
    [
        pytest.param((1, 16, 16), None, id="chunks"),
        pytest.param((2, 16, 32), None, id="chunks_over_channels"),
        pytest.param((1, 12, 10), None, id="chunks_that_do_not_nest"),
        pytest.param((1, 8, 8), (1, 16, 16), id="shards"),
    ],
)
def test_each_unit_of_each_level_is_written_once_and_never_read(
    chunks: tuple[int, ...], shards: tuple[int, ...] | None, max_workers: int
) -> None:
    shape = (2, 64, 96)
    source, _ = fill_source(shape, (1, 16, 16))
    store = CountingStore()
    levels = make_pyramid(shape, chunks, shards=shards, store=store)
    store.writes.clear()
    store.reads.clear()

    write_copies(
        source,
        levels,
        [shifted([(0, 61), (0, 93)], (3, 3))],
        downsampling="mean",
        max_workers=max_workers,
    )

    n_units = sum(
        math.prod(map(math.ceil, np.divide(a.shape, a.shards or a.chunks)))
        for a in levels
    )
    assert len(store.writes) == n_units
    assert set(store.writes.values()) == {1}
    assert not [key for key in +store.reads if "/c/" in key]


@pytest.mark.parametrize("max_workers", [1, 3])
def test_number_of_incomplete_blocks_does_not_grow_with_the_image(
    max_workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts the nodes that wait for parts, on all of 4 levels."""
    from fractal_tasks.storage.pixels import pyramid

    def most_incomplete(n_chunks: int) -> int:
        writers = []
        counts = []

        class SpyWriter(pyramid._Writer):
            def __init__(self, *args: Any) -> None:
                super().__init__(*args)
                writers.append(self)

        monkeypatch.setattr(pyramid, "_Writer", SpyWriter)

        def read_block(block_box: Box) -> Array:
            counts.append(len(writers[0]._incomplete))
            return np.ones([len(side) for side in block_box], np.uint8)

        shape = (8 * n_chunks,) * 2
        write_pyramid(
            make_pyramid(shape, (8, 8), dtype="uint8", n_levels=4),
            FromFunction(read_block, shape),
            downsampling="mean",
            max_workers=max_workers,
        )
        assert len(counts) == n_chunks**2
        return max(counts)

    # 3 levels wait for parts: at most one node for each worker, and the next one.
    assert most_incomplete(4) <= 3 * (max_workers + 1)
    assert most_incomplete(16) <= 3 * (max_workers + 1)


def test_failure_in_one_thread_stops_all_and_is_raised() -> None:
    started: list[Box] = []
    failed = threading.Event()

    def read_block(block_box: Box) -> None:
        started.append(block_box)
        if block_box[1].start == 0 and block_box[0].start == 0:
            failed.set()
            raise OSError("disk full")
        failed.wait()

    (level,) = make_pyramid((8, 8000), (8, 8), n_levels=1)
    with pytest.raises(OSError, match="disk full"):
        write_pyramid(
            [level],
            FromFunction(read_block, level.shape),
            downsampling="mean",
            max_workers=2,
        )

    assert len(started) < 1000


def test_levels_on_disk_are_those_in_memory(tmp_path: Path) -> None:
    source, pixels = fill_source((64, 64), (16, 16), zarr_format=2)
    levels = make_pyramid(
        (64, 64), (16, 16), store=str(tmp_path / "a.zarr"), zarr_format=2
    )
    copies = [shifted([(0, 60), (1, 64)], (2, -1))]

    write_copies(source, levels, copies, downsampling="mean")

    assert_pyramid(levels, paste(pixels, (64, 64), copies))
