"""The objects below a folder of an object store, read and written one by one.

Imported for remote urls only.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fractal_tasks.storage.file_version import FileVersion
from fractal_tasks.storage.remote.access import (
    opening_store,
    options_of,
    reading_store,
    writing_store,
)
from fractal_tasks.storage.urls import Location

logger = logging.getLogger(__name__)

_CHANGED = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}
_UNSUPPORTED = {"NotImplemented", "501"}

_STAMPS = ("ETag", "etag", "LastModified", "last_modified", "updated", "created")
"""Fields by which file systems tell of another version of an object, best first: s3fs,
adlfs and gcsfs, then by time; fsspec has no name for all."""


def _s3_code(error: OSError) -> str:
    """Give the code by which S3 names an error; '' if it is another error."""
    response = getattr(error.__cause__, "response", {})
    return str(response.get("Error", {}).get("Code", ""))


def _stamp_of(entry: Mapping[str, Any]) -> str:
    return next((str(entry[name]) for name in _STAMPS if name in entry), "")


class ObjectFolder:
    """The objects below a folder of an object store."""

    def __init__(self, location: Location) -> None:
        """Reach for the folder; nothing is read yet.

        Raises:
            InvalidInputError: The file system of the url is not installed or unknown.
        """
        from fsspec.core import url_to_fs

        with opening_store(location):
            self.file_system, self._root = url_to_fs(
                location.url, **options_of(location)
            )
        self.url = location.url

    def list_keys(self) -> list[str]:
        """Give the keys of all objects below the folder, relative to it, sorted."""
        with reading_store(self.url):
            paths = self.file_system.find(self._root)
        start = len(self._root.rstrip("/")) + 1
        return sorted(path[start:] for path in paths if len(path) > start)

    def list_folders(self) -> list[str]:
        """Give the names of the folders directly below the folder, sorted."""
        return self._list("directory")

    def list_files(self) -> list[str]:
        """Give the names of the objects directly below the folder, sorted."""
        return self._list("file")

    def _list(self, kind: str) -> list[str]:
        with reading_store(self.url):
            entries = self.file_system.ls(self._root, detail=True)
        names = [e["name"].rstrip("/") for e in entries if e["type"] == kind]
        return sorted(
            name.rpartition("/")[2] for name in names if name != self._root.rstrip("/")
        )

    def size_bytes(self) -> int:
        """Give the size of all objects below the folder together."""
        with reading_store(self.url):
            found = self.file_system.find(self._root, detail=True)
        return sum(entry["size"] for entry in found.values())

    def list_versions(self, names: Sequence[str]) -> list[FileVersion]:
        """List objects with these keys, or below them as folders, sorted by key."""
        start = len(self._root.rstrip("/")) + 1
        found = []
        for name in names:
            with reading_store(self.url):
                entries = self.file_system.find(self.path_of(name), detail=True)
            found += [
                FileVersion(path[start:], entry["size"], _stamp_of(entry))
                for path, entry in entries.items()
            ]
        return sorted(found)

    def read(self, key: str) -> bytes | None:
        """Read an object; None if it is not there."""
        with reading_store(f"{self.url}/{key}"):
            try:
                content: bytes = self.file_system.cat_file(self.path_of(key))
            except FileNotFoundError:
                return None
        return content

    def read_each(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Read several objects at once, by key; those that are not there are left out.

        Unlike `list_keys` it needs no store that can list.
        """
        with reading_store(self.url):
            found = self.file_system.cat(self._paths_of(keys), on_error="return")
        there = {}
        for key in keys:
            content = found[self.path_of(key)]
            if isinstance(content, FileNotFoundError):
                continue
            with reading_store(f"{self.url}/{key}"):
                if isinstance(content, Exception):
                    raise content
            there[key] = content
        return there

    def write(self, key: str, content: bytes) -> None:
        """Write an object in one atomic step."""
        with writing_store(f"{self.url}/{key}"):
            self.file_system.pipe_file(self.path_of(key), content)

    def read_version(self, key: str) -> str | None:
        """Give what tells versions of an object apart, where the store can; else None.

        Taken before the content is read, it is never newer than that.
        """
        with reading_store(f"{self.url}/{key}"):
            info = self.file_system.info(self.path_of(key))
        return info.get("ETag") if self._is_s3 else None

    def replace(self, key: str, content: bytes, version: str | None) -> bool:
        """Write an object if it still has a version; False if it has not.

        Without a version, or if the store has no conditional writes, it is written in
        any case, with a warning.
        """
        with writing_store(f"{self.url}/{key}"):
            if version is not None:
                try:
                    self.file_system.pipe_file(
                        self.path_of(key), content, IfMatch=version
                    )
                except OSError as error:
                    code = _s3_code(error)
                    if code in _CHANGED:
                        return False
                    if code not in _UNSUPPORTED:
                        raise
                else:
                    return True
            logger.warning(
                "%s/%s: this object store has no conditional writes. If several "
                "images of the well are added at once, entries may get lost; run the "
                "tasks again then, or one after the other.",
                self.url,
                key,
            )
            self.file_system.pipe_file(self.path_of(key), content)
        return True

    @property
    def _is_s3(self) -> bool:
        return "s3" in self.file_system.protocol

    def delete(self, keys: Sequence[str]) -> None:
        """Delete objects, in whatever order."""
        if keys:
            with writing_store(self.url):
                self.file_system.rm([self.path_of(key) for key in keys])

    def path_of(self, key: str) -> str:
        """Give the path of an object in the file system."""
        return f"{self._root.rstrip('/')}/{key}"

    def upload(self, folder: Path) -> None:
        """Write all files below a local folder, in whatever order."""
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        keys = [path.relative_to(folder).as_posix() for path in files]
        with writing_store(self.url):
            self.file_system.put([str(path) for path in files], self._paths_of(keys))

    def download(self, folder: Path) -> None:
        """Write all objects below a local folder."""
        keys = self.list_keys()
        with reading_store(self.url):
            self.file_system.get(self._paths_of(keys), [str(folder / k) for k in keys])

    def _paths_of(self, keys: Sequence[str]) -> list[str]:
        return [self.path_of(key) for key in keys]
