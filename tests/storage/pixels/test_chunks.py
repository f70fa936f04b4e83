"""A damaged chunk of any codec is an error that names its file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numcodecs
import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec, ZstdCodec
from zarr.storage import LocalStore

from fractal_tasks.errors import InvalidDataError, MissingStepError
from fractal_tasks.storage.pixels.chunks import read_pixels
from fractal_tasks.storage.pixels.grid import ZarrArray

PIXELS = np.random.default_rng(0).integers(0, 1000, (64, 64)).astype("uint16")
BOX = (slice(0, 10), slice(30, 64))

V3: dict[str, dict[str, Any]] = {
    "v3-blosc": {"compressors": BloscCodec()},
    "v3-zstd": {"compressors": ZstdCodec()},
    "v3-gzip": {"compressors": GzipCodec()},
    "v3-crc32c": {"compressors": Crc32cCodec()},
    "v3-plain": {"compressors": None},
    "v3-sharded": {"compressors": ZstdCodec(), "shards": (32, 32)},
}
V2: dict[str, Any] = {
    "v2-blosc": numcodecs.Blosc(),
    "v2-zstd": numcodecs.Zstd(),
    "v2-gzip": numcodecs.GZip(),
    "v2-zlib": numcodecs.Zlib(),
    "v2-bz2": numcodecs.BZ2(),
    "v2-lzma": numcodecs.LZMA(),
    "v2-lz4": numcodecs.LZ4(),
    "v2-plain": None,
}


def cut(chunk: bytes) -> bytes:
    return chunk[: len(chunk) // 2]


def empty(_: bytes) -> bytes:
    return b""


def garbage(chunk: bytes) -> bytes:
    return np.random.default_rng(1).bytes(len(chunk) - 1)


def wrong_size(chunk: bytes) -> bytes:
    """A blosc chunk that claims to hold 2**32 - 1 bytes."""
    return chunk[:4] + b"\xff" * 4 + chunk[8:]


def create(path: Path, codec: str) -> tuple[ZarrArray, Path]:
    """Give an array, and the file of its chunk of rows 0 to 32, columns 32 to 64."""
    if codec in V3:
        options, key = V3[codec], "c/0/1"
    else:
        options, key = {"compressors": V2[codec], "zarr_format": 2}, "0.1"
    chunks = (16, 16) if "shards" in options else (32, 32)
    array = zarr.create_array(
        path, shape=(64, 64), chunks=chunks, dtype="uint16", **options
    )
    array[...] = PIXELS
    return zarr.open_array(path, mode="r"), path / key


@pytest.mark.parametrize("damage", [cut, empty, garbage])
@pytest.mark.parametrize("codec", [*V3, *V2])
def test_a_damaged_chunk_is_named_with_its_file_and_pixels(
    tmp_path: Path, codec: str, damage: Callable[[bytes], bytes]
) -> None:
    array, chunk = create(tmp_path / "0", codec)
    chunk.write_bytes(damage(chunk.read_bytes()))
    with pytest.raises(InvalidDataError) as caught:
        read_pixels(array, BOX, "ROI 'FOV_1'")
    message = str(caught.value)
    assert message.startswith(f"ROI 'FOV_1': {chunk}, pixels [[0, ")
    assert "restore the file" in message
    np.testing.assert_array_equal(
        read_pixels(array, (slice(32, 64), slice(0, 64)), ""), PIXELS[32:]
    )


def test_a_header_with_a_wrong_size_is_damage(tmp_path: Path) -> None:
    """It ends in a SystemError, which is no RuntimeError."""
    array, chunk = create(tmp_path / "0", "v2-blosc")
    chunk.write_bytes(wrong_size(chunk.read_bytes()))
    with pytest.raises(InvalidDataError, match="SystemError") as caught:
        read_pixels(array, BOX, "ROI 'FOV_1'")
    assert f"{chunk}, pixels [[0, 10], [32, 64]]" in str(caught.value)


def test_an_index_along_an_axis_is_part_of_the_chunk_that_is_named(
    tmp_path: Path,
) -> None:
    array = zarr.create_array(
        tmp_path / "0", shape=(3, 8, 8), chunks=(1, 4, 4), dtype="uint8"
    )
    array[...] = 1
    chunk = tmp_path / "0/c/2/1/0"
    chunk.write_bytes(b"")
    with pytest.raises(InvalidDataError) as caught:
        read_pixels(array, (2, slice(0, 8), slice(0, 8)), "ROI 'FOV_1'")
    assert f"{chunk}, pixels [[2, 3], [4, 8], [0, 4]]" in str(caught.value)


def test_a_missing_chunk_is_the_fill_value(tmp_path: Path) -> None:
    """As zarr stores no chunk of nothing else; a lost file cannot be told from it."""
    array, chunk = create(tmp_path / "0", "v3-zstd")
    chunk.unlink()
    expected = PIXELS.copy()
    expected[:32, 32:] = 0
    np.testing.assert_array_equal(
        read_pixels(array, (slice(0, 64), slice(0, 64)), ""), expected
    )


class FailingStore(LocalStore):
    """Raises `errors` one by one as chunks are read, then reads them."""

    errors: ClassVar[list[Exception]] = []

    async def get(self, key: str, *arguments: Any, **options: Any) -> Any:
        if "c/" in key and self.errors:
            raise self.errors.pop(0)
        return await super().get(key, *arguments, **options)


def failing(path: Path, error: Exception) -> ZarrArray:
    create(path, "v3-zstd")
    array = zarr.open_array(FailingStore(path), mode="r")
    FailingStore.errors.append(error)
    return array


def test_a_disk_that_fails_for_a_moment_is_an_error_with_the_box(
    tmp_path: Path,
) -> None:
    array = failing(tmp_path / "0", OSError(5, "Input/output error"))
    with pytest.raises(InvalidDataError, match="Input/output error") as caught:
        read_pixels(array, (slice(0, 8), slice(0, 8)), "ROI 'FOV_1'")
    assert f"{tmp_path}/0, pixels [[0, 8], [0, 8]]" in str(caught.value)


def test_an_error_of_this_package_passes(tmp_path: Path) -> None:
    error = MissingStepError("as it is")
    array = failing(tmp_path / "0", error)
    with pytest.raises(MissingStepError) as caught:
        read_pixels(array, (slice(0, 8), slice(0, 8)), "ROI 'FOV_1'")
    assert caught.value is error
