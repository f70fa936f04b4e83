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


def stored_cells(array: ZarrArray) -> list[Box]:
    """Give the boxes of all chunks, or shards, that are stored, cut at the border.

    One listing, whatever the size of the array. On this machine, also what is in the
    place of a chunk and is no file: it is refused when the chunk is read.
    """
    from zarr.storage import LocalStore

    unit, shape = write_unit(array), array.shape
    if isinstance(array.store, LocalStore):
        keys: Iterable[str] = _list_local(array.store, array.path, array.ndim)
    else:
        keys = list_keys(array)
    cells = []
    for key in keys:
        index = _parse_key(array, key)
        if index is not None:
            corner = (
                range(i * size, i * size + 1)
                for i, size in zip(index, unit, strict=True)
            )
            cells.append(cell_around(tuple(corner), unit, shape))
    return sorted(cells, key=lambda cell: [side.start for side in cell])


def _parse_key(array: ZarrArray, key: str) -> tuple[int, ...] | None:
    """Give the index of a chunk in the grid; None if it is none of the array."""
    numbers = re.findall(r"[0-9]+", key)
    index = tuple(map(int, numbers))
    if len(index) != array.ndim or array.metadata.encode_chunk_key(index) != key:
        return None
    units = zip(index, write_unit(array), array.shape, strict=True)
    return index if all(i * size < total for i, size, total in units) else None


def _list_local(store: "LocalStore", path: str, ndim: int) -> Iterator[str]:
    """Give the keys of all that lies where chunks may be, files or not."""
    folders = [(os.path.join(store.root, path), "")]
    while folders:
        folder, before = folders.pop()
        try:
            entries = list(os.scandir(folder))
        except FileNotFoundError:
            continue
        for entry in entries:
            key = before + entry.name
            # A separator of folders is "/", and what has all numbers is a chunk.
            is_whole = len(re.findall(r"[0-9]+", key)) >= ndim
            if entry.is_dir() and not is_whole:
                folders.append((entry.path, f"{key}/"))
            else:
                yield key
