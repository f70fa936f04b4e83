"""Which chunks of an array are stored: what work on it is bounded by.

A chunk that is not stored holds the fill value, and metadata may declare any number of
those.
"""

import os
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from fractal_tasks.storage.pixels.grid import (
    Box,
    ZarrArray,
    cell_around,
    write_unit,
)
from fractal_tasks.storage.upstream import list_keys

if TYPE_CHECKING:
    from zarr.storage import LocalStore

METADATA_FILES = {".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json"}
"""What zarr stores beside chunks, and of groups."""


def stored_cells(array: ZarrArray) -> list[Box]:
    """Give the boxes of all chunks, or shards, that are stored, cut at the border.

    One listing, whatever the size of the array. On this machine, also what is in the
    place of a chunk and is no file: it is refused when the chunk is read.
    """
    unit, shape = write_unit(array), array.shape
    cells = []
    for key in _list_keys(array):
        index = _parse_key(array, key)
        if index is None:
            continue
        corner = [number * size for number, size in zip(index, unit, strict=True)]
        # A chunk beyond the border is left from a larger array, and holds no pixel.
        if all(first < size for first, size in zip(corner, shape, strict=True)):
            pixel = tuple(range(first, first + 1) for first in corner)
            cells.append(cell_around(pixel, unit, shape))
    return sorted(cells, key=lambda cell: [side.start for side in cell])


def list_unknown(array: ZarrArray) -> list[str]:
    """Give the keys of what lies among the chunks of an array and is none.

    Keys are relative to the array. Its metadata are not among them.
    """
    return sorted(
        key
        for key in _list_keys(array)
        if key not in METADATA_FILES and _parse_key(array, key) is None
    )


def _parse_key(array: ZarrArray, key: str) -> tuple[int, ...] | None:
    """Give the index of a chunk in an endless grid; None if it is no chunk."""
    index = tuple(map(int, re.findall(r"[0-9]+", key)))
    is_chunk = len(index) == array.ndim
    return index if is_chunk and array.metadata.encode_chunk_key(index) == key else None


def _list_keys(array: ZarrArray) -> Iterable[str]:
    from zarr.storage import LocalStore

    if isinstance(array.store, LocalStore):
        return _list_local(array.store, array.path, array.ndim)
    return list_keys(array)


def _list_local(store: "LocalStore", path: str, ndim: int) -> Iterator[str]:
    """Give the keys of all that lies where chunks may be, files or not."""
    folders = [(store.root / path, "")]
    while folders:
        folder, before = folders.pop()
        try:
            entries = list(os.scandir(folder))
        except FileNotFoundError:
            continue
        for entry in entries:
            key = before + entry.name
            # A folder that has as many numbers as a chunk is in the place of one.
            is_whole = len(re.findall(r"[0-9]+", key)) >= ndim
            if entry.is_dir() and not is_whole:
                folders.append((folder / entry.name, f"{key}/"))
            else:
                yield key
