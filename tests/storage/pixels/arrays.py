"""Arrays to read and write, counted, and what has to be in them."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from ngio.common import numpy_zoom
from zarr.core.buffer import Buffer
from zarr.storage import MemoryStore, WrapperStore

from fractal_tasks.storage.pixels.box_source import BoxSource
from fractal_tasks.storage.pixels.boxes import BoxCopy
from fractal_tasks.storage.pixels.downsample import Downsampling
from fractal_tasks.storage.pixels.pyramid import write_pyramid

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


def write_copies(
    source: Any,
    levels: Sequence[Any],
    copies: Sequence[BoxCopy],
    *,
    downsampling: Downsampling,
    fill_value: float = 0,
    max_workers: int | None = None,
) -> None:
    """Copy boxes of an array to all levels."""
    blocks = BoxSource(
        source, levels[0].shape, copies, fill_value, max_workers=max_workers
    )
    write_pyramid(levels, blocks, downsampling=downsampling, max_workers=max_workers)


TWO_FIELDS = [
    shifted([(0, 60), (5, 64)], (3, -5)),
    shifted([(2, 64), (70, 124)], (0, 4)),
]
"""Two fields of 64 x 64 pixels side by side, without the strips that were lost."""
