"""A plate in fsspec's file system in memory, whose writes can be interrupted."""

import math
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from fsspec.implementations.memory import MemoryFileSystem

FILES = MemoryFileSystem()


def put(plate: Path) -> str:
    """Copy a plate into memory; give its url."""
    root = f"/{uuid.uuid4().hex}/plate.zarr"
    for path in sorted(plate.rglob("*")):
        if path.is_file():
            FILES.pipe_file(
                f"{root}/{path.relative_to(plate).as_posix()}", path.read_bytes()
            )
    return f"memory:/{root}"


def tree_of(url: str) -> dict[str, bytes]:
    """Give the content of every object below a url."""
    root = url.removeprefix("memory:/")
    return {path[len(root) + 1 :]: FILES.cat_file(path) for path in FILES.find(root)}


def restore(url: str, tree: dict[str, bytes]) -> None:
    """Let there be exactly these objects below a url.

    Those that are there are not written again: that would be another version of them.
    """
    root = url.removeprefix("memory:/")
    present = tree_of(url)
    for key in present.keys() - tree.keys():
        FILES.rm_file(f"{root}/{key}")
    for key, content in tree.items():
        if present.get(key) != content:
            FILES.pipe_file(f"{root}/{key}", content)


class Interrupted(Exception):
    """The process ended here."""


@dataclass
class Steps:
    """Writes and deletions of objects."""

    count: int = 0


@contextmanager
def interrupt_after(steps: int) -> Iterator[None]:
    """End at the first write or deletion of an object after `steps` of them."""
    with count_steps(steps):
        yield


@contextmanager
def count_steps(limit: float = math.inf) -> Iterator[Steps]:
    """Count writes and deletions of objects, up to a limit."""
    steps = Steps()
    write, delete = MemoryFileSystem.pipe_file, MemoryFileSystem.rm_file

    def step() -> None:
        if steps.count == limit:
            raise Interrupted
        steps.count += 1

    def counted_write(
        self: MemoryFileSystem, path: str, value: bytes, **options: object
    ) -> None:
        step()
        write(self, path, value, **options)

    def counted_delete(self: MemoryFileSystem, path: str) -> None:
        step()
        delete(self, path)

    with (
        patch.object(MemoryFileSystem, "pipe_file", counted_write),
        patch.object(MemoryFileSystem, "rm_file", counted_delete),
    ):
        yield steps
