"""Reading pixels, with an error that names the file of a chunk that is damaged."""

import lzma
import zlib

import numpy as np

from fractal_tasks.errors import FractalTasksError, InvalidDataError
from fractal_tasks.storage.grid import (
    Box,
    Pixels,
    ZarrArray,
    split_box,
    to_slices,
    write_unit,
)

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
    try:
        return np.asarray(array[selection])
    except FractalTasksError:
        raise
    except UNREADABLE as error:
        box = tuple(
            range(part, part + 1)
            if isinstance(part, int)
            else range(part.start, part.stop)
            for part in selection
        )
        raise InvalidDataError(
            f"{where}: {_find_unreadable(array, box)} cannot be read "
            f"({type(error).__name__}: {error}). Check the disk and the permissions, "
            "then restore the file, or make the image or label again. To go on without "
            "it, leave the ROI out of the ROI tables of all acquisitions of the well, "
            "or the acquisition out of the image list, and run all tasks again."
        ) from error


def _find_unreadable(array: ZarrArray, box: Box) -> str:
    """Name the first chunk of `box` that cannot be read, with its pixels."""
    folder = str(array.store_path).removeprefix("file://")
    unit = write_unit(array)
    for cell in split_box(box, unit):
        try:
            _ = array[to_slices(cell)]
        except UNREADABLE:
            index = tuple(
                side.start // size for side, size in zip(cell, unit, strict=True)
            )
            key = array.metadata.encode_chunk_key(index)
            return f"{folder}/{key}, pixels {_to_lists(cell)},"
    # A disk that failed for a moment.
    return f"{folder}, pixels {_to_lists(box)},"


def _to_lists(box: Box) -> list[list[int]]:
    return [[side.start, side.stop] for side in box]
