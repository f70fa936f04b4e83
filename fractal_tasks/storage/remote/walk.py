"""Download a folder from a server that does not list what it has: http.

What there is, the metadata say: groups name their members, and arrays have a shape and
the size of a chunk. Imported for remote urls only.
"""

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import zarr

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.storage.library_errors import reading
from fractal_tasks.storage.remote.folder import ObjectFolder
from fractal_tasks.storage.urls import is_inner_path

_DOCUMENTS = ("zarr.json", ".zgroup", ".zarray", ".zattrs")
"""Metadata of a group or an array, in both versions of zarr."""

_AT_ONCE = 16
"""How many objects are held in memory: chunks may have 10 MB and more."""

_FILES = (".zmetadata", "table.csv", "table.parquet")
_TABLE_GROUP = "table"
"""What else groups may have: consolidated metadata, and rows of a table by the backends
of ngio."""

_ENCODED = {
    "anndata": ("X", "obs", "var", "layers", "obsm", "obsp", "varm", "varp", "uns"),
    "csr_matrix": ("data", "indices", "indptr"),
    "csc_matrix": ("data", "indices", "indptr"),
    "categorical": ("categories", "codes"),
    "nullable-integer": ("values", "mask"),
    "nullable-boolean": ("values", "mask"),
    "nullable-string-array": ("values", "mask"),
}
"""Members that groups of AnnData have by its format on disk, by `encoding-type`."""


def download_tree(source: ObjectFolder, target: Path) -> None:
    """Write what the metadata of a group or array name; chunks may be missing.

    Args:
        source: The group or array.
        target: A folder; it is made if there is anything.

    Raises:
        InvalidDataError: The server does not answer as it should, or the metadata
            cannot be read.
    """
    left = [""]
    while left:
        at = left.pop()
        if not download_documents(source, target, at):
            continue
        with reading(
            f"{source.url}/{at}: found metadata that cannot be read",
            "Correct them where they lie, or download the input by other means.",
        ):
            node = _open(target / at)
            if isinstance(node, zarr.Array):
                keys, members = _chunk_keys(node), []
            else:
                keys, members = iter(_FILES), _members(node.attrs.asdict())
            odd = [name for name in members if not is_inner_path(name)]
        if odd:
            raise InvalidDataError(
                f"{source.url}/{at}: the metadata name {odd}; needed are names of "
                "folders below it. Correct them."
            )
        _fetch(source, (_join(at, key) for key in keys), target)
        left += [_join(at, name) for name in dict.fromkeys(members)]


def download_documents(source: ObjectFolder, target: Path, at: str = "") -> bool:
    """Write the metadata of one group or array; False if there is none.

    Args:
        source: A folder.
        target: What the folder is to be on this machine.
        at: Where in both the group or array lies; left out, it is the folder itself.
    """
    return _fetch(source, (_join(at, name) for name in _DOCUMENTS), target) > 0


def _fetch(source: ObjectFolder, keys: Iterable[str], target: Path) -> int:
    """Write those objects that there are, and give their number."""
    number = 0
    left = iter(keys)
    while batch := list(itertools.islice(left, _AT_ONCE)):
        for key, content in source.read_each(batch).items():
            path = target / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            number += 1
    return number


def _open(folder: Path) -> "zarr.Array[Any] | zarr.Group":
    if (folder / ".zarray").exists():
        return zarr.open_array(folder, mode="r")
    if (folder / "zarr.json").exists():
        return zarr.open(folder, mode="r", zarr_format=3)
    return zarr.open_group(folder, mode="r", zarr_format=2, use_consolidated=False)


def _chunk_keys(array: "zarr.Array[Any]") -> Iterator[str]:
    """Give the keys of all chunks, or shards, that an array can have."""
    sizes = array.shards or array.chunks
    numbers = [
        range(math.ceil(length / size))
        for length, size in zip(array.shape, sizes, strict=True)
    ]
    for place in itertools.product(*numbers):
        yield array.metadata.encode_chunk_key(place)


def _members(attributes: Mapping[str, Any]) -> list[str]:
    """Give the names of all members that a group may have by its metadata."""
    ome = attributes.get("ome", attributes)
    names = [_TABLE_GROUP]
    for multiscale in ome.get("multiscales", []):
        names += [dataset["path"] for dataset in multiscale["datasets"]]
        names += ["labels", "tables"]
    for listing in ("labels", "tables"):
        names += ome.get(listing, []) + attributes.get(listing, [])
    encoding = attributes.get("encoding-type", "")
    names += _ENCODED.get(encoding, ())
    if encoding == "dataframe":
        names += [attributes["_index"], *attributes["column-order"]]
    return names


def _join(at: str, name: str) -> str:
    return f"{at}/{name}" if at else name
