"""Copying boxes to all levels of a pyramid, against brute force and against ngio."""

import math
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ngio.common import consolidate_pyramid, numpy_zoom
from zarr.core.buffer import Buffer
from zarr.storage import MemoryStore, WrapperStore

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.storage.blockwise import BoxCopy, write_registered
from fractal_tasks.storage.downsample import Downsampling, halve
from fractal_tasks.storage.grid import Box
from fractal_tasks.storage.pyramid import write_pyramid

Array = npt.NDArray[Any]


class CountingStore(WrapperStore[MemoryStore]):
    """Counts how often each key is found, and written or deleted."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.reads: Counter[str] = Counter()
        self.writes: Counter[str] = Counter()

    async def get(self, key: str, *args: Any, **kwargs: Any) -> Buffer | None:
        found = await super().get(key, *args, **kwargs)
        # zarr looks whether there is a shard already, whatever is written.
        self.reads[key] += found is not None
        return found

    async def set(self, key: str, value: Buffer) -> None:
        self.writes[key] += 1
        await super().set(key, value)

    async def delete(self, key: str) -> None:
        self.writes[key] += 1
        await super().delete(key)


def make_pyramid(
    shape: Sequence[int],
    chunks: Sequence[int],
    *,
    dtype: str = "uint16",
    factors: Sequence[int] | None = None,
    n_levels: int = 3,
    store: Any = None,
    **kwargs: Any,
) -> list[Any]:
    """Make empty levels; as usual, chunks are never larger than their level."""
    factors = factors or (1,) * (len(shape) - 2) + (2, 2)
    store = MemoryStore() if store is None else store
    levels = []
    for path in range(n_levels):
        level_shape = tuple(
            max(1, size // factor**path)
            for size, factor in zip(shape, factors, strict=True)
        )
        level_chunks = tuple(map(min, chunks, level_shape))
        levels.append(
            zarr.create_array(
                store,
                name=str(path),
                shape=level_shape,
                chunks=level_chunks,
                dtype=dtype,
                fill_value=0,
                **kwargs,
            )
        )
    return levels


def fill_source(
    shape: Sequence[int], chunks: Sequence[int], dtype: str = "uint16", **kwargs: Any
) -> tuple[Any, Array]:
    """Make an array of random pixels over the whole range of its dtype."""
    rng = np.random.default_rng(sum(shape))
    kind = np.dtype(dtype).kind
    if kind == "f":
        pixels = rng.normal(0, 1000, shape).astype(dtype)
    elif kind == "b":
        pixels = rng.random(shape) < 0.5
    else:
        limits = np.iinfo(dtype)
        # float64, in which scipy works, holds no larger whole numbers.
        low, high = max(limits.min, -(2**52)), min(limits.max, 2**52)
        pixels = rng.integers(low, high, shape, dtype=dtype, endpoint=True)
        # Overflow is nearest where all pixels are at the limits.
        pixels[..., : shape[-2] // 2, :4] = high
        pixels[..., shape[-2] // 2 :, :4] = low
    (array,) = make_pyramid(shape, chunks, dtype=dtype, n_levels=1, **kwargs)
    array[...] = pixels
    return array, pixels


def box(*sides: tuple[int, int]) -> tuple[slice, ...]:
    return tuple(slice(start, stop) for start, stop in sides)


def shifted(copy_box: Sequence[tuple[int, int]], shift: Sequence[int]) -> BoxCopy:
    """Copy a box from where it is `shift` pixels further."""
    moved = [(a + d, b + d) for (a, b), d in zip(copy_box, shift, strict=True)]
    return BoxCopy(source=box(*moved), destination=box(*copy_box))


def paste(
    pixels: Array,
    shape: Sequence[int],
    copies: Sequence[BoxCopy],
    fill_value: float = 0,
) -> Array:
    """The brute force truth of level 0."""
    expected = np.full(shape, fill_value, pixels.dtype)
    for copy in copies:
        expected[(..., *copy.destination)] = pixels[(..., *copy.source)]
    return expected


def assert_pyramid(
    levels: Sequence[Any], level_0: Array, downsampling: Downsampling = "mean"
) -> None:
    """Check level 0 against the truth and each other one against scipy's zoom of it."""
    order = "linear" if downsampling == "mean" else "nearest"
    expected = level_0
    np.testing.assert_array_equal(levels[0][...], expected)
    for level in levels[1:]:
        expected = numpy_zoom(expected, target_shape=level.shape, order=order)
        np.testing.assert_array_equal(level[...], expected)
        assert level.dtype == level_0.dtype


TWO_FIELDS = [
    shifted([(0, 60), (5, 64)], (3, -5)),
    shifted([(2, 64), (70, 124)], (0, 4)),
]
"""Two fields of 64 x 64 pixels side by side, without the strips that were lost."""


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

    write_registered(source, levels, TWO_FIELDS, downsampling=downsampling)

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

    write_registered(source, levels, copies, downsampling=downsampling)

    assert_pyramid(levels, paste(pixels, shape, copies), downsampling)


@pytest.mark.parametrize("order", ["linear", "nearest"])
def test_levels_are_those_of_ngio_consolidate(order: Any) -> None:
    shape, chunks = (2, 3, 64, 96), (1, 1, 16, 32)
    source, pixels = fill_source(shape, chunks)
    levels, theirs = make_pyramid(shape, chunks), make_pyramid(shape, chunks)
    copies = [shifted([(0, 60), (0, 90)], (4, 6))]
    theirs[0][...] = paste(pixels, shape, copies)
    consolidate_pyramid(theirs[0], theirs[1:], order=order, mode="dask")

    write_registered(
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
    consolidate_pyramid(theirs[0], theirs[1:], order=order, mode="dask")

    write_registered(source, levels, copies, downsampling=downsampling)

    for level, their in zip(levels, theirs, strict=True):
        np.testing.assert_array_equal(level[...], their[...])


def test_planes_in_single_chunks_can_shrink_to_a_third() -> None:
    """Chunk by chunk, ngio keeps one plane of each chunk: too many, and others."""
    shape, chunks = (9, 16, 16), (1, 16, 16)
    source, pixels = fill_source(shape, chunks)
    levels = make_pyramid(shape, chunks, factors=(3, 2, 2), n_levels=2)
    copies = [shifted([(0, 9), (0, 16), (0, 16)], (0, 0, 0))]

    write_registered(source, levels, copies, downsampling="nearest")

    assert_pyramid(levels, pixels, "nearest")


@pytest.mark.parametrize("chunks", [(8, 8), (16, 8)], ids=str)
def test_sharded_source_and_target(chunks: tuple[int, int]) -> None:
    shape, shards = (64, 96), (32, 32)
    source, pixels = fill_source(shape, chunks, shards=shards)
    levels = make_pyramid(shape, chunks, shards=shards, n_levels=2)
    copies = [shifted([(0, 61), (0, 90)], (3, 5))]

    write_registered(source, levels, copies, downsampling="mean")

    assert_pyramid(levels, paste(pixels, shape, copies))


def test_later_boxes_win_where_destinations_overlap() -> None:
    source, pixels = fill_source((32, 32), (8, 8))
    pixels[:16] = 0
    source[:16] = 0
    levels = make_pyramid((32, 32), (8, 8))
    copies = [
        BoxCopy(box((16, 32), (0, 32)), box((0, 16), (0, 32))),
        # Zeros, from chunks that are not stored, win as well.
        BoxCopy(box((0, 16), (0, 20)), box((5, 21), (10, 30))),
        BoxCopy(box((16, 19), (1, 9)), box((7, 10), (8, 16))),
    ]

    write_registered(source, levels, copies, downsampling="mean")

    assert_pyramid(levels, paste(pixels, (32, 32), copies))


def test_source_and_target_may_differ_in_spatial_shape() -> None:
    source, pixels = fill_source((2, 20, 30), (1, 7, 9))
    levels = make_pyramid((2, 64, 48), (1, 16, 16))
    copies = [BoxCopy(box((0, 20), (0, 30)), box((44, 64), (18, 48)))]

    write_registered(source, levels, copies, downsampling="mean")

    assert_pyramid(levels, paste(pixels, (2, 64, 48), copies))


@pytest.mark.parametrize("fill_value", [7, np.nan])
def test_pixels_in_no_box_get_the_fill_value_on_all_levels(fill_value: float) -> None:
    source, pixels = fill_source((32, 32), (8, 8), "float32")
    levels = make_pyramid((32, 32), (8, 8), dtype="float32")
    copies = [shifted([(0, 9), (0, 9)], (2, 2))]

    write_registered(source, levels, copies, downsampling="mean", fill_value=fill_value)

    expected = paste(pixels, (32, 32), copies, fill_value)
    np.testing.assert_array_equal(levels[0][...], expected)
    for level in levels[1:]:
        expected = halve(expected, (2, 2), "mean")
        np.testing.assert_array_equal(level[...], expected)
        assert np.array_equal(level[-1, -1], fill_value, equal_nan=True)


@given(data=st.data())
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
)
def test_any_boxes_chunks_and_workers_give_the_pasted_pixels(
    data: st.DataObject,
) -> None:
    size = st.integers(1, 12).map(lambda n: 4 * n)
    shape = (2, data.draw(size), data.draw(size))
    chunk = st.tuples(st.integers(1, 2), st.integers(1, 20), st.integers(1, 20))
    source, pixels = fill_source(shape, tuple(map(min, data.draw(chunk), shape)))
    levels = make_pyramid(shape, data.draw(chunk))

    def draw_copy() -> BoxCopy:
        sides = [data.draw(st.integers(0, n)) for n in shape[1:]]
        return BoxCopy(
            *(
                box(
                    *(
                        (start, start + side)
                        for start, side in (
                            (data.draw(st.integers(0, n - side)), side)
                            for n, side in zip(shape[1:], sides, strict=True)
                        )
                    )
                )
                for _ in range(2)
            )
        )

    copies = [draw_copy() for _ in range(data.draw(st.integers(0, 3)))]

    write_registered(
        source,
        levels,
        copies,
        downsampling="mean",
        max_workers=data.draw(st.integers(1, 4)),
    )

    assert_pyramid(levels, paste(pixels, shape, copies))


def test_nothing_is_written_without_boxes_or_without_pixels() -> None:
    source, _ = fill_source((32, 32), (8, 8))
    empty_source = make_pyramid((32, 32), (8, 8), n_levels=1)[0]
    whole = shifted([(0, 32), (0, 32)], (0, 0))
    for array, copies in (
        (source, []),
        (source, [shifted([(4, 4), (0, 32)], (1, 0))]),
        (empty_source, [whole]),
    ):
        store = CountingStore()
        levels = make_pyramid((32, 32), (8, 8), store=store)
        store.writes.clear()

        write_registered(array, levels, copies, downsampling="mean")

        assert not store.writes


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

    write_registered(
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


@pytest.mark.parametrize(
    ("shift", "most_reads"),
    [
        # One chunk for each block.
        pytest.param(0, 16, id="whole_chunks"),
        # 4 x 4 blocks that touch up to 2 x 2 chunks each: 7 x 7 reads if none were
        # remembered.
        pytest.param(5, 20, id="shifted"),
    ],
)
def test_source_chunks_are_read_about_once(shift: int, most_reads: int) -> None:
    store = CountingStore()
    source, _ = fill_source((64, 64), (16, 16), store=store)
    levels = make_pyramid((64, 64), (16, 16))
    store.reads.clear()
    side = (0, 64 - shift)

    write_registered(
        source,
        levels,
        [shifted([side, side], (shift, shift))],
        downsampling="mean",
        max_workers=1,
    )

    assert 16 <= store.reads.total() <= most_reads


@pytest.mark.parametrize("max_workers", [1, 3])
def test_number_of_incomplete_blocks_does_not_grow_with_the_image(
    max_workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts the nodes that wait for parts, on all of 4 levels."""
    from fractal_tasks.storage import pyramid

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

        write_pyramid(
            make_pyramid([8 * n_chunks] * 2, (8, 8), dtype="uint8", n_levels=4),
            read_block,
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
        write_pyramid([level], read_block, downsampling="mean", max_workers=2)

    assert len(started) < 1000


@pytest.mark.parametrize(
    ("copy", "message"),
    [
        (BoxCopy(box((0, 4), (0, 4)), box((0, 4), (0, 5))), "must be the same"),
        (BoxCopy(box((-1, 3), (0, 4)), box((0, 4), (0, 4))), "reaches out"),
        (BoxCopy(box((0, 4), (0, 4)), box((0, 4), (13, 17))), "reaches out"),
    ],
)
def test_boxes_that_do_not_fit_are_refused_before_anything_is_written(
    copy: BoxCopy, message: str
) -> None:
    source, _ = fill_source((2, 16, 16), (1, 8, 8))
    levels = make_pyramid((2, 16, 16), (1, 8, 8))
    good = shifted([(0, 16), (0, 16)], (0, 0))

    with pytest.raises(InvalidInputError, match=message):
        write_registered(source, levels, [good, copy], downsampling="mean")

    assert not levels[0][...].any()


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((2, 16, 16), "uint8", "of uint8"),
        ((16, 16), "uint16", "2 axes"),
        ((3, 16, 16), "uint16", "must be the same"),
    ],
)
def test_targets_unlike_the_source_are_refused(
    shape: tuple[int, ...], dtype: str, message: str
) -> None:
    source, _ = fill_source((2, 16, 16), (1, 8, 8))
    levels = make_pyramid(shape, (8,) * len(shape), dtype=dtype)

    with pytest.raises(InvalidInputError, match=message):
        write_registered(
            source, levels, [shifted([(0, 8), (0, 8)], (1, 1))], downsampling="mean"
        )


def test_levels_on_disk_are_those_in_memory(tmp_path: Path) -> None:
    source, pixels = fill_source((64, 64), (16, 16), zarr_format=2)
    levels = make_pyramid(
        (64, 64), (16, 16), store=str(tmp_path / "a.zarr"), zarr_format=2
    )
    copies = [shifted([(0, 60), (1, 64)], (2, -1))]

    write_registered(source, levels, copies, downsampling="mean")

    assert_pyramid(levels, paste(pixels, (64, 64), copies))
