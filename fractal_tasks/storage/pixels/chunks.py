"""Reading pixels, with an error that names the file of a chunk that is damaged."""

import lzma
import os
import stat
import warnings
import zlib
from collections.abc import Set
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fractal_tasks.errors import FractalTasksError, InvalidDataError
from fractal_tasks.storage.pixels.grid import (
    Box,
    Pixels,
    ZarrArray,
    full_box,
    split_box,
    to_slices,
    write_unit,
)
from fractal_tasks.storage.upstream import BLOSC_HEADER_BYTES, declared_blosc_bytes

if TYPE_CHECKING:
    import zarr

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


LEAVE_OUT = (
    "To go on without it, leave the ROI out of the ROI tables of all acquisitions of "
    "the well, or the acquisition out of the image list, and run all tasks again."
)
"""What can be done about a damaged chunk before images of a well are replaced."""


def read_pixels(
    array: ZarrArray,
    selection: tuple[int | slice, ...],
    where: str,
    way_out: str = LEAVE_OUT,
) -> Pixels:
    """Read a box of an image or label.

    A chunk without a file holds the fill value: zarr stores no others. That a file is
    lost cannot be seen.

    Args:
        array: A level of the image or label.
        selection: For every axis an index, or a slice with start and stop.
        where: Names what is read in errors, e.g. ``"ROI 'FOV_1'"``.
        way_out: What else can be done than to mend it.

    Raises:
        InvalidDataError: A chunk is damaged or cannot be read.
    """
    box = tuple(
        range(part, part + 1) if isinstance(part, int) else range(part.start, part.stop)
        for part in selection
    )
    try:
        check_chunks(array, box)
        return np.asarray(array[selection])
    except FractalTasksError:
        raise
    except UNREADABLE as error:
        raise InvalidDataError(
            f"{where}: {_find_unreadable(array, box)} cannot be read "
            f"({type(error).__name__}: {error}). Check the disk and the permissions, "
            f"then restore the file, or make the image or label again. {way_out}"
        ) from error


def check_chunks(array: ZarrArray, box: Box | None = None) -> None:
    """Refuse chunks that are no files, empty, or short (`declared_blosc_bytes`).

    Args:
        array: Of an image, a label or a table.
        box: Where to look; left out, everywhere.

    Raises:
        ValueError: One is. It names the file.
    """
    from numcodecs import Blosc
    from zarr.codecs import BloscCodec
    from zarr.storage import LocalStore

    if not isinstance(array.store, LocalStore) or not array.size:
        return
    codec = array.compressors[-1] if array.compressors else None
    # A cut shard lacks its index, which is at the end.
    is_blosc = isinstance(codec, Blosc | BloscCodec) and array.shards is None
    for cell in split_box(box or full_box(array.shape), write_unit(array)):
        path = _path_of_chunk(array, cell)
        try:
            status = os.stat(path)
            if not stat.S_ISREG(status.st_mode):
                # zarr would wait for a pipe, and take a folder for a missing chunk.
                raise ValueError(f"{path} is no file")
            if not status.st_size:
                # zarr stores none; it would take a shard for a missing one.
                raise ValueError(f"{path} is empty")
            if not is_blosc:
                continue
            with Path(path).open("rb") as file:
                header = file.read(BLOSC_HEADER_BYTES)
                found = file.seek(0, os.SEEK_END)
        except FileNotFoundError as error:
            # It holds the fill value, unless it is behind a link to what is not there.
            if link := _find_broken_link(path, _folder_of(array)):
                raise ValueError(f"{link} is a link to nowhere") from error
            continue
        needed = declared_blosc_bytes(header)
        if found < max(needed, BLOSC_HEADER_BYTES):
            raise ValueError(f"{path}: found {found} bytes of {needed}")


def _find_broken_link(path: str, folder: str) -> str | None:
    """Give the link below a folder that a path leads through to nowhere, if any."""
    while len(path) > len(folder):
        if os.path.islink(path) and not os.path.exists(path):
            return path
        path = os.path.dirname(path)
    return None


def check_arrays(group: "zarr.Group") -> None:
    """Ask of all arrays below a group what `check_chunks` does, and that all are seen.

    Raises:
        ValueError: A chunk is no file, or short, or a group around an array has lost
            its metadata. It names the file or folder.
    """
    import zarr
    from zarr.storage import LocalStore

    if not isinstance(group.store, LocalStore):
        return
    with warnings.catch_warnings():
        # Of tables of csv and parquet the rows are a file beside the metadata.
        warnings.filterwarnings("ignore", message="Object at .* is not recognized")
        members = group.members(max_depth=None)
    for _, member in members:
        if isinstance(member, zarr.Array):
            check_chunks(member)
    _check_groups(group.store.root / group.path, {name for name, _ in members})


def _check_groups(folder: Path, known: Set[str]) -> None:
    """Refuse arrays that zarr does not see, as a folder between has no metadata."""
    for path in folder.rglob("*"):
        if path.name not in {"zarr.json", ".zarray", ".zgroup"}:
            continue
        for place in path.parent.relative_to(folder).parents:
            if place.parts and place.as_posix() not in known:
                raise ValueError(
                    f"{folder / place}: found {path.parent.name!r} in it, and no "
                    "metadata of its own"
                )


def _find_unreadable(array: ZarrArray, box: Box) -> str:
    """Name the first chunk of `box` that cannot be read, with its pixels."""
    for cell in split_box(box, write_unit(array)):
        try:
            check_chunks(array, cell)
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
