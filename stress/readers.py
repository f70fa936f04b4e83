"""Processes that read the images of a plate while they are replaced.

A reader knows the versions that an image may have. What it reads between two looks at
the same directory must be one of them as a whole. If the directory was exchanged while
it read, every chunk must be that of one version.
"""

import json
import multiprocessing
import os
import random
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from itertools import product
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from stress.plates import ACQUISITIONS
from stress.workers import be_quiet, end_process

LIBRARIES = ("ngio", "zarr", "dask")

Parts = dict[str, Any]
Opened = dict[str, Callable[[], Any]]


@dataclass(frozen=True)
class Watch:
    """What to read until told to stop."""

    plate: Path
    wells: list[str]
    versions: list[Path]
    """The plate at every step it may be seen at."""

    two_renames: bool
    """Whether an image may be missing for a moment while it is replaced."""

    whole: bool
    """Whether images are replaced as a whole; else their tables are, one by one."""


class Reader:
    """A process that reads with one library."""

    def __init__(self, library: str, seed: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        arguments = (theirs, library, seed)
        self.process = context.Process(target=_serve, args=arguments, daemon=True)
        self.process.start()
        theirs.close()

    def start(self, watch: Watch) -> None:
        self.connection.send(watch)

    def stop(self) -> tuple[Counter[str], list[str]]:
        """End reading; give the number of reads by kind, and the faults seen."""
        self.connection.send(None)
        return self.connection.recv()

    def close(self) -> None:
        end_process(self.process, self.connection)


def _serve(connection: Connection, library: str, seed: int) -> None:
    be_quiet()
    rng = random.Random(seed)
    with suppress(EOFError):
        while True:
            seen, faults = _watch(connection, library, connection.recv(), rng)
            connection.recv()
            connection.send((seen, faults))


def _watch(
    connection: Connection, library: str, watch: Watch, rng: random.Random
) -> tuple[Counter[str], list[str]]:
    """Read until there is a message, or a fault."""
    seen: Counter[str] = Counter()
    faults: list[str] = []
    kept: dict[Path, Opened] = {}
    while not connection.poll() and not faults:
        image = _choose_image(watch, rng)
        try:
            kind, faults = _read(library, watch, image, kept, rng)
        except BaseException:  # noqa: BLE001 - whatever it is, the report names it
            kind, faults = "failed", [f"{image}: {traceback.format_exc()}"]
        seen[f"{library}: {kind}"] += 1
    return seen, faults


def _choose_image(watch: Watch, rng: random.Random) -> Path:
    """Choose an image that a well lists, every other time a reference."""
    well = watch.plate / rng.choice(watch.wells)
    if rng.random() < 0.5:
        return well / str(ACQUISITIONS[0])
    for name in ("zarr.json", ".zattrs"):
        if (well / name).exists():
            document = json.loads((well / name).read_text())
    attributes = document.get("attributes", document)
    images = attributes.get("ome", attributes)["well"]["images"]
    return well / rng.choice(images)["path"]


def _read(
    library: str,
    watch: Watch,
    image: Path,
    kept: dict[Path, Opened],
    rng: random.Random,
) -> tuple[str, list[str]]:
    """Read an image once; give the kind of read it was, and what is wrong."""
    name = image.relative_to(watch.plate)
    versions = [
        _read_version(library, plate / name)
        for plate in watch.versions
        if (plate / name).exists()
    ]
    with _watching(image) as has_moved:
        if has_moved is None:
            return "missing", [] if watch.two_renames else [f"{image} is missing"]
        kind = "opened anew"
        try:
            if image in kept and rng.random() < 0.5:
                kind = "kept open"
            else:
                kept[image] = _open(library, image)
            found = {part: read() for part, read in kept[image].items()}
            tables = _read_tables(image, has_moved) if library == "ngio" else {}
        except Exception:
            if has_moved() and watch.two_renames:
                return "failed at the switch", []
            raise
        moved = has_moved()
    if moved:
        kind += ", over a switch"
        wrong = _unknown_chunks(found, versions, watch.two_renames)
    else:
        groups = [found | tables] if watch.whole else [found, *_single(tables)]
        wrong = [text for group in groups for text in _mixed(group, versions)]
    return kind, [f"{image}: {text}" for text in wrong]


@contextmanager
def _watching(directory: Path) -> Iterator[Callable[[], bool] | None]:
    """Give a function that tells whether another directory has taken this place.

    The directory is held open: its number is not used again meanwhile. None if there
    is no directory.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        yield None
        return

    def has_moved() -> bool:
        try:
            return not os.path.samestat(os.fstat(descriptor), os.stat(directory))
        except FileNotFoundError:
            return True

    try:
        yield has_moved
    finally:
        os.close(descriptor)


def _single(tables: Parts) -> list[Parts]:
    return [{name: table} for name, table in tables.items()]


@cache
def _read_version(library: str, image: Path) -> Parts:
    pixels = {part: read() for part, read in _open(library, image).items()}
    tables = _read_tables(image, lambda: False) if library == "ngio" else {}
    return pixels | tables


@cache
def _array_names(image: Path) -> list[str]:
    """The levels of an image and of its labels."""
    import zarr

    groups = {"": zarr.open_group(image, mode="r")}
    for name, label in zarr.open_group(image / "labels", mode="r").groups():
        groups[f"labels/{name}/"] = label
    return [
        f"{prefix}{name}"
        for prefix, group in groups.items()
        for name, _ in group.arrays()
    ]


def _open(library: str, image: Path) -> Opened:
    """Open the arrays of an image; give functions that read them."""
    if library == "ngio":
        return _open_ngio(image)
    import zarr

    arrays = {
        name: zarr.open_array(image / name, mode="r") for name in _array_names(image)
    }
    if library == "zarr":
        return {name: _reading(array) for name, array in arrays.items()}
    import dask.array

    return {
        name: _computing(dask.array.from_zarr(array)) for name, array in arrays.items()
    }


def _open_ngio(image: Path) -> Opened:
    from ngio import open_ome_zarr_container

    container = open_ome_zarr_container(image, mode="r")
    opened: Opened = {
        path: container.get_image(path=path).get_as_numpy
        for path in container.level_paths
    }
    for name in container.list_labels():
        for path in container.get_label(name).meta.paths:
            label = container.get_label(name, path=path)
            opened[f"labels/{name}/{path}"] = label.get_as_numpy
    return opened


def _reading(array: Any) -> Callable[[], Any]:
    return lambda: array[...]


def _computing(array: Any) -> Callable[[], Any]:
    return lambda: array.compute(scheduler="synchronous")


def _read_tables(image: Path, has_moved: Callable[[], bool]) -> Parts:
    """Read the tables that an image lists; leave out those just being replaced."""
    from ngio import open_ome_zarr_container

    container = open_ome_zarr_container(image, mode="r")
    tables: Parts = {}
    for name in container.list_tables():
        with _watching(image / "tables" / name) as table_has_moved:
            if table_has_moved is None:
                if has_moved():
                    continue
                raise FileNotFoundError(f"table {name!r} is listed and missing")
            try:
                table = container.get_table(name).load_as_pandas_df()
            except Exception:
                if table_has_moved():
                    continue
                raise
            if not table_has_moved():
                tables[f"tables/{name}"] = table.sort_index(axis="columns")
    return tables


def _mixed(group: Parts, versions: list[Parts]) -> Iterator[str]:
    """Tell if the parts of a group are not all of one version."""
    matching = {
        part: {
            number
            for number, version in enumerate(versions)
            if part in version and _same(value, version[part])
        }
        for part, value in group.items()
    }
    if not set.intersection(*matching.values()):
        yield f"not of one version, but of {matching}"


def _same(found: Any, expected: Any) -> bool:
    if isinstance(found, np.ndarray):
        return np.array_equal(found, expected)
    return bool(found.equals(expected))


def _unknown_chunks(
    found: Mapping[str, Any], versions: list[Parts], may_be_empty: bool
) -> list[str]:
    """Name the chunks that are of no version."""
    unknown = []
    for part, value in found.items():
        # Chunks have at least 16 pixels: smaller blocks lie in one chunk as well.
        steps = [range(0, length, 16) for length in value.shape]
        for start in product(*steps):
            block = tuple(slice(first, first + 16) for first in start)
            known = [version[part][block] for version in versions]
            if may_be_empty:
                known.append(np.zeros_like(value[block]))
            if not any(np.array_equal(value[block], other) for other in known):
                unknown.append(f"{part} at {start} is of no version")
    return unknown
