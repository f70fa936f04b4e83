"""ROI patches give the pixels of the array, and decode each chunk once."""

import gc
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.codecs import ZstdCodec
from zarr.storage import LocalStore

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.storage.pixels.chunks import read_pixels
from fractal_tasks.storage.pixels.grid import Pixels, ZarrArray
from fractal_tasks.storage.pixels.roi_patches import (
    DecodedCells,
    RoiPatch,
    channel_pyramid,
    roi_pyramid,
)
from fractal_tasks.storage.plate.open_image import open_image
from fractal_tasks.storage.urls import parse_image_url
from fractal_tasks.transforms.boxes import PixelBox

MakePlate = Callable[..., Path]
Slices = tuple[slice, ...]

UNLIMITED = 2**30

LAYOUTS: dict[str, dict[str, Any]] = {
    "2d": {"shape": (70, 90), "chunks": (16, 32)},
    "2d-smaller-than-a-chunk": {"shape": (20, 30), "chunks": (64, 64)},
    "channel": {"shape": (3, 70, 90), "chunks": (1, 16, 32)},
    "channels-in-one-chunk": {"shape": (3, 70, 90), "chunks": (3, 32, 16)},
    "planes": {"shape": (2, 9, 40, 50), "chunks": (1, 1, 40, 50)},
    "bricks": {"shape": (2, 9, 40, 50), "chunks": (1, 4, 16, 16)},
    "time": {"shape": (1, 2, 9, 40, 50), "chunks": (1, 1, 1, 32, 32)},
    "v2": {"shape": (70, 90), "chunks": (16, 32), "zarr_format": 2},
    "sharded": {"shape": (2, 70, 90), "chunks": (1, 8, 16), "shards": (1, 32, 64)},
    "sharded-bricks": {
        "shape": (2, 9, 40, 50),
        "chunks": (1, 1, 16, 16),
        "shards": (1, 3, 32, 32),
    },
}
NDIM = {"planes": 3, "bricks": 3, "time": 3, "sharded-bricks": 3}
"""Spatial axes, where they are not 2."""


class CountingStore(LocalStore):
    """A store on disk that counts how often each part of a file is fetched."""

    def __init__(self, root: Path, *, read_only: bool = False) -> None:
        super().__init__(root, read_only=read_only)
        self.fetched: Counter[tuple[str, str]] = Counter()

    async def get(self, key: str, *args: Any, **kwargs: Any) -> Any:
        byte_range = args[1] if len(args) > 1 else kwargs.get("byte_range")
        self.fetched[key, repr(byte_range)] += 1
        return await super().get(key, *args, **kwargs)

    @property
    def chunks_fetched(self) -> Counter[tuple[str, str]]:
        """Fetches of chunks: neither of metadata nor of the index of a shard."""
        return Counter(
            {
                (key, part): count
                for (key, part), count in self.fetched.items()
                if not key.endswith((".json", ".zarray", ".zattrs"))
                and "Suffix" not in part
            }
        )


def create_array(folder: Path, layout: str, dtype: str = "uint16") -> ZarrArray:
    """Give an array of random pixels, opened through a `CountingStore`."""
    options = LAYOUTS[layout]
    rng = np.random.default_rng(len(layout))
    array = zarr.create_array(
        folder, dtype=dtype, **{"compressors": None, "zarr_format": 3, **options}
    )
    array[:] = rng.integers(1, 100_000, options["shape"]).astype(dtype)
    return zarr.open_array(CountingStore(folder), mode="r")


def store_of(array: ZarrArray) -> CountingStore:
    store = array.store
    assert isinstance(store, CountingStore)
    return store


def create_patch(
    array: ZarrArray,
    ndim: int,
    first: int = 0,
    last: int = 0,
    max_bytes: int = UNLIMITED,
) -> tuple[RoiPatch, Pixels]:
    """Give a ROI that leaves out pixels before and after it, and its pixels."""
    leading = tuple(size - 1 for size in array.shape[:-ndim])
    origin = (first,) * ndim
    shape = tuple(size - first - last for size in array.shape[-ndim:])
    patch = RoiPatch(
        array=array,
        leading=leading,
        origin=origin,
        shape=shape,
        spacing_um=(1.0,) * ndim,
        where="ROI 'FOV_1'",
        kept=DecodedCells(max_bytes),
    )
    stored = np.asarray(array[leading])
    store_of(array).fetched.clear()
    return patch, stored[tuple(slice(first, first + size) for size in shape)]


def whole(patch: RoiPatch) -> Slices:
    return tuple(slice(0, size) for size in patch.shape)


def random_boxes(shape: tuple[int, ...], count: int, seed: int = 0) -> Iterator[Slices]:
    rng = np.random.default_rng(seed)
    for _ in range(count):
        corners = np.sort(rng.integers(0, np.add(shape, 1), (2, len(shape))), axis=0)
        yield tuple(slice(*side) for side in corners.T.tolist())


@pytest.mark.parametrize("max_bytes", [UNLIMITED, 3000, 0])
@pytest.mark.parametrize("roi", [(0, 0), (3, 2)], ids=["whole", "inside-chunks"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.sampled(3)
def test_any_box_has_the_pixels_of_the_array(
    tmp_path: Path, layout: str, roi: tuple[int, int], max_bytes: int
) -> None:
    array = create_array(tmp_path, layout)
    patch, stored = create_patch(array, NDIM.get(layout, 2), *roi, max_bytes)
    for box in random_boxes(patch.shape, 40):
        pixels = patch.read(box)
        assert pixels.dtype == np.float32
        np.testing.assert_array_equal(pixels, stored[box].astype(np.float32))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "float32", "float64"])
def test_pixels_are_kept_in_their_own_type_and_read_as_float32(
    tmp_path: Path, dtype: str
) -> None:
    """Some of the numbers have more digits than float32 has."""
    patch, stored = create_patch(create_array(tmp_path, "2d", dtype), 2)
    for _ in range(2):
        pixels = patch.read(whole(patch))
        np.testing.assert_array_equal(pixels, stored.astype(np.float32))
    assert patch.kept.used_bytes == stored.nbytes


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_chunk_is_fetched_once_whatever_is_read(
    tmp_path: Path, layout: str
) -> None:
    array = create_array(tmp_path, layout)
    patch, _ = create_patch(array, NDIM.get(layout, 2))
    for box in random_boxes(patch.shape, 60):
        patch.read(box)
    patch.read(whole(patch))
    fetched = store_of(array).chunks_fetched
    assert max(fetched.values()) == 1
    grid = zip(patch.shape, array.chunks[len(patch.leading) :], strict=True)
    if array.shards is None:
        assert len(fetched) == math.prod(-(-size // chunk) for size, chunk in grid)


def test_chunks_outside_the_roi_are_not_fetched(tmp_path: Path) -> None:
    array = create_array(tmp_path, "2d")
    patch, _ = create_patch(array, 2)
    patch = replace(patch, origin=(20, 40), shape=(20, 20))
    for box in random_boxes(patch.shape, 20):
        patch.read(box)
    patch.read(whole(patch))
    # Rows 20 to 40 of chunks of 16, columns 40 to 60 of chunks of 32.
    keys = {key for key, _ in store_of(array).chunks_fetched}
    assert keys == {"c/1/1", "c/2/1"}
    assert patch.kept.used_bytes == 20 * 20 * 2


def test_new_cells_are_decoded_in_one_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Zarr decodes the chunks of one read side by side."""
    patch, _ = create_patch(create_array(tmp_path, "bricks"), 3, 3, 2)
    reads = []

    def count(array: ZarrArray, selection: Any, where: str) -> Pixels:
        reads.append(selection)
        return read_pixels(array, selection, where)

    monkeypatch.setattr(f"{RoiPatch.__module__}.read_pixels", count)
    patch.read((slice(0, 4), slice(0, 20), slice(0, 20)))
    assert len(reads) == 1
    patch.read((slice(1, 3), slice(2, 10), slice(0, 9)))
    assert len(reads) == 1
    patch.read(whole(patch))
    # Around what is there, in the plane: to its right, and below both.
    assert len(reads) == 3


def test_an_empty_box_reads_nothing(tmp_path: Path) -> None:
    array = create_array(tmp_path, "2d")
    patch, _ = create_patch(array, 2)
    assert patch.read((slice(5, 5), slice(0, 90))).shape == (0, 90)
    assert not store_of(array).chunks_fetched


@pytest.mark.parametrize("max_bytes", [0, 1000, 1024, 5000, 20_000])
@pytest.mark.parametrize("layout", ["2d", "sharded", "bricks", "planes"])
def test_the_limit_holds_after_every_read(
    tmp_path: Path, layout: str, max_bytes: int
) -> None:
    array = create_array(tmp_path, layout)
    patch, stored = create_patch(array, NDIM.get(layout, 2), max_bytes=max_bytes)
    for box in random_boxes(patch.shape, 40):
        np.testing.assert_array_equal(patch.read(box), stored[box])
        assert patch.kept.used_bytes <= max_bytes


def test_a_cell_keeps_nothing_of_its_neighbours_in_memory(tmp_path: Path) -> None:
    """A view of some of the block it was read with would, beyond the limit."""
    patch, _ = create_patch(create_array(tmp_path, "2d"), 2)
    patch.read(whole(patch))
    pixels = patch.kept.get(id(patch), (range(16), range(32)))
    assert pixels is not None
    held = pixels if pixels.base is None else pixels.base
    assert held.nbytes == 16 * 32 * 2


def test_cells_least_recently_used_go_first(tmp_path: Path) -> None:
    """A chunk of 16 x 32 pixels of 2 bytes takes 1024 bytes; there is room for two."""
    array = create_array(tmp_path, "2d")
    patch, _ = create_patch(array, 2, max_bytes=2048)
    first, second, third = ((slice(row, row + 16), slice(0, 32)) for row in (0, 16, 32))
    for box in (first, second, first, third, first, second):
        patch.read(box)
    fetched = Counter(key for key, _ in store_of(array).chunks_fetched.elements())
    assert fetched == {"c/0/0": 1, "c/1/0": 2, "c/2/0": 1}


def test_a_read_that_does_not_fit_still_profits_from_what_fits(tmp_path: Path) -> None:
    """With room for two of three chunks, going round would leave nothing to find."""
    array = create_array(tmp_path, "2d")
    patch, stored = create_patch(array, 2, max_bytes=2500)
    box = (slice(0, 48), slice(0, 32))
    for _ in range(5):
        np.testing.assert_array_equal(patch.read(box), stored[box])
    fetched = Counter(key for key, _ in store_of(array).chunks_fetched.elements())
    assert fetched == {"c/0/0": 1, "c/1/0": 1, "c/2/0": 5}


def test_a_released_patch_takes_no_memory_and_can_be_read_again(
    tmp_path: Path,
) -> None:
    patch, stored = create_patch(create_array(tmp_path, "2d"), 2)
    other = replace(patch, shape=(16, 32))
    other.read(whole(other))
    patch.read(whole(patch))
    patch.release()
    assert patch.kept.used_bytes == 16 * 32 * 2
    np.testing.assert_array_equal(patch.read(whole(patch)), stored)


def test_all_rois_of_an_image_share_the_limit(
    make_plate: MakePlate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pyramids of many ROIs may be held at the same time."""
    limit = 100_000  # less than a field of 256 x 256 pixels of 2 bytes
    monkeypatch.setattr(f"{RoiPatch.__module__}.MAX_KEPT_BYTES", limit)
    plate = make_plate(chunk_size_px=64)
    levels = channel_pyramid(open_image(parse_image_url(f"{plate}/A/01/1")), 0)
    fields = [
        roi_pyramid(levels, PixelBox((0, 0, x), (1, 256, x + 256)), "ROI")
        for x in (0, 256)
    ]
    kept = levels[0].kept
    for patch in (*fields[0], *fields[1], *levels):
        patch.read(whole(patch))
        assert 0 < kept.used_bytes <= limit
    for patch in (*fields[0], *fields[1], *levels):
        patch.release()
    assert kept.used_bytes == 0


def test_the_cells_of_a_dropped_patch_go_with_it(tmp_path: Path) -> None:
    patch, _ = create_patch(create_array(tmp_path, "2d"), 2)
    patch.read(whole(patch))
    kept = patch.kept
    assert kept.used_bytes > 0
    del patch
    gc.collect()
    assert kept.used_bytes == 0


def test_two_rois_of_an_image_do_not_see_each_others_cells(tmp_path: Path) -> None:
    """They share a chunk, but each of them has another part of it."""
    patch, stored = create_patch(create_array(tmp_path, "2d"), 2)
    left = replace(patch, shape=(10, 10))
    right = replace(patch, origin=(4, 4), shape=(10, 10))
    for _ in range(2):
        np.testing.assert_array_equal(left.read(whole(left)), stored[:10, :10])
        np.testing.assert_array_equal(right.read(whole(right)), stored[4:14, 4:14])


def test_a_damaged_chunk_is_an_error_that_names_roi_and_file(tmp_path: Path) -> None:
    array = zarr.create_array(
        tmp_path,
        shape=(64, 64),
        chunks=(32, 32),
        dtype="uint16",
        compressors=ZstdCodec(),
    )
    array[:] = np.arange(64 * 64, dtype="uint16").reshape(64, 64)
    patch = RoiPatch(array, (), (0, 0), (64, 64), (1.0, 1.0), where="ROI 'FOV_1'")
    patch.read((slice(0, 32), slice(0, 64)))
    chunk = tmp_path / "c" / "1" / "0"
    chunk.write_bytes(chunk.read_bytes()[:20])
    with pytest.raises(InvalidDataError, match=r"ROI 'FOV_1': .*c/1/0, pixels"):
        patch.read(whole(patch))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"axes": "tczyx", "planes": 3},
        {"ngff_version": "0.5", "shards": True, "chunk_size_px": 64},
    ],
    ids=["2d", "3d-time", "sharded"],
)
def test_a_pyramid_of_a_plate_gives_the_pixels_of_its_levels(
    make_plate: MakePlate, options: dict[str, Any]
) -> None:
    plate = make_plate(acquisitions=2, **options)
    image = open_image(parse_image_url(f"{plate}/A/01/1"))
    container = image.container
    planes = options.get("planes", 1)
    roi = PixelBox((0, 8, 264), (planes, 248, 480))
    pyramid = roi_pyramid(channel_pyramid(image, 1), roi, "ROI")
    for path, patch in zip(container.level_paths, pyramid, strict=True):
        factor = 2 ** int(path)
        # The stored levels have axes ([t,] c, [z,] y, x), one timepoint.
        stored = np.asarray(container.get_image(path=path).zarr_array[:])
        _, *size = stored.shape[-3:]
        channel = stored.reshape(2, -1, *size)[1]
        expected = channel[
            :, 8 // factor : 248 // factor, 264 // factor : 480 // factor
        ]
        for _ in range(2):
            pixels = patch.read(whole(patch))
            np.testing.assert_array_equal(pixels.reshape(expected.shape), expected)
