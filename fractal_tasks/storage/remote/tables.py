"""Replacing a table in an object store, which knows neither renames nor locks.

One object can be written in one atomic step, and the root document of a table's group
says which backend holds its rows. So the new version is written under keys that the
old one does not use, then the root document is replaced (the switch), then the objects
of the old version are deleted. Whoever reads the root document first, as zarr and ngio
do, finds the old or the new table as a whole, wherever this is interrupted; what is
left over then is overwritten or deleted by the next run.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import zarr

from fractal_tasks.storage.remote.folder import ObjectFolder
from fractal_tasks.storage.remote.store import open_remote_store
from fractal_tasks.storage.urls import Location

_ROOT_DOCUMENTS = (".zgroup", ".zattrs", "zarr.json")
"""In the order in which they are written: the last one makes the switch."""

_CONSOLIDATED = ".zmetadata"
"""A second root document, which some readers of zarr v2 prefer."""

_JSON_BACKENDS = {"json", "experimental_json_v1"}


def choose_backend(table: Location) -> str:
    """Choose a backend that stores its rows under keys the stored table does not use.

    Both have a single object with rows: a table is written in few requests.
    """
    store = open_remote_store(table, read_only=True)
    try:
        group = zarr.open_group(store, mode="r", use_consolidated=False)
        stored = group.attrs.get("backend")
    except FileNotFoundError:
        return "json"
    return "parquet" if stored in _JSON_BACKENDS else "json"


@contextmanager
def replace_table(
    table: Location, *, validate: Callable[[Path], None]
) -> Iterator[Path]:
    """Give a path to build the new version of a table; put it in place at the end.

    Args:
        table: The table to replace or to add.
        validate: Reopens the build and raises if it is not what it should be.

    Yields:
        Path on this machine where the body creates the table, in the backend that
        `choose_backend` gave.

    Raises:
        InvalidDataError: The object store could not be read.
        PublishError: It could not be written; the table is the old or the new one.
    """
    with tempfile.TemporaryDirectory(prefix="fractal-tasks-") as folder:
        build = Path(folder) / "table"
        yield build
        validate(build)
        _put_in_place(build, ObjectFolder(table))


def _put_in_place(build: Path, table: ObjectFolder) -> None:
    new = {
        path.relative_to(build).as_posix(): path
        for path in sorted(build.rglob("*"))
        if path.is_file()
    }
    for key in sorted(new.keys() - set(_ROOT_DOCUMENTS)):
        table.write(key, new[key].read_bytes())
    for key in _ROOT_DOCUMENTS:
        if key in new:
            table.write(key, new[key].read_bytes())
    stale = [key for key in table.list_keys() if key not in new]
    # While this is there, readers that prefer it see the old table with all objects.
    table.delete([key for key in stale if key == _CONSOLIDATED])
    table.delete([key for key in stale if key != _CONSOLIDATED])
