"""Reading pixels, with an error that names the file of a chunk that is damaged."""

import lzma
import os
import zlib
from pathlib import Path

import numpy as np

from fractal_tasks.errors import FractalTasksError, InvalidDataError
from fractal_tasks.storage.pixels.grid import (
    Box,
    Pixels,
    ZarrArray,
    split_box,
    to_slices,
    write_unit,
)
from fractal_tasks.storage.upstream import BLOSC_HEADER_BYTES, declared_blosc_bytes

UNREADABLE = (
    EOFError,
    OSError,
    RuntimeError,
    SystemError,
    ValueError,
    lzma.LZMAError,
    zlib.error,
)
"""What zarr and its codecs raise for a chunk that is damaged or cannot be read.

zstd and blosc raise RuntimeError, blosc with a negative size in its header SystemError,
gzip EOFError, OSError or zlib.error; a checksum, or a wrong number of pixels, is a
ValueError.
"""


def read_pixels(
    array: ZarrArray, selection: tuple[int | slice, ...], where: str
) -> Pixels:
    """Read a box of an image or label.

    A chunk without a file holds the fill value: zarr stores no others. That a file is
    lost cannot be seen.

    Args:
        array: A level of the image or label.
        selection: For every axis an index, or a slice with start and stop.
        where: Names what is read in errors, e.g. ``"ROI 'FOV_1'"``.

    Raises:
        InvalidDataError: A chunk is damaged or cannot be read.
    """
    box = tuple(
        range(part, part + 1) if isinstance(part, int) else range(part.start, part.stop)
        for part in selection
    )
    try:
        _check_lengths(array, box)
        return np.asarray(array[selection])
    except FractalTasksError:
        raise
    except UNREADABLE as error:
        raise InvalidDataError(
            f"{where}: {_find_unreadable(array, box)} cannot be read "
            f"({type(error).__name__}: {error}). Check the disk and the permissions, "
            "then restore the file, or make the image or label again. To go on without "
            "it, leave the ROI out of the ROI tables of all acquisitions of the well, "
            "or the acquisition out of the image list, and run all tasks again."
        ) from error


def _check_lengths(array: ZarrArray, box: Box) -> None:
    """Refuse blosc chunks of which the end is missing (`declared_blosc_bytes`)."""
    from numcodecs import Blosc
    from zarr.codecs import BloscCodec
    from zarr.storage import LocalStore

    codec = array.compressors[-1] if array.compressors else None
    if (
        not isinstance(codec, Blosc | BloscCodec)
        or array.shards is not None  # a cut shard lacks its index, which is at the end
        or not isinstance(array.store, LocalStore)
    ):
        return
    for cell in split_box(box, array.chunks):
        try:
            with Path(_path_of_chunk(array, cell)).open("rb") as file:
                header = file.read(BLOSC_HEADER_BYTES)
                found = file.seek(0, os.SEEK_END)
        except FileNotFoundError:  # it holds the fill value
            continue
        needed = declared_blosc_bytes(header)
        if found < max(needed, BLOSC_HEADER_BYTES):
            raise ValueError(f"found {found} bytes of {needed}")


def _find_unreadable(array: ZarrArray, box: Box) -> str:
    """Name the first chunk of `box` that cannot be read, with its pixels."""
    for cell in split_box(box, write_unit(array)):
        try:
            _check_lengths(array, cell)
            _ = array[to_slices(cell)]
        except UNREADABLE:
            return f"{_path_of_chunk(array, cell)}, pixels {_to_lists(cell)},"
    # A disk that failed for a moment.
    return f"{_folder_of(array)}, pixels {_to_lists(box)},"


def _path_of_chunk(array: ZarrArray, cell: Box) -> str:
    """Give the file of the chunk or shard that holds the first pixel of `cell`."""
    unit = write_unit(array)
    index = tuple(side.start // size for side, size in zip(cell, unit, strict=True))
    return f"{_folder_of(array)}/{array.metadata.encode_chunk_key(index)}"


def _folder_of(array: ZarrArray) -> str:
    return str(array.store_path).removeprefix("file://")


def _to_lists(box: Box) -> list[list[int]]:
    return [[side.start, side.stop] for side in box]
