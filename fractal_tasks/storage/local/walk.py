"""Look at all files below a folder of this machine, also behind links."""

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.storage.file_version import FileVersion

_ZARR_METADATA = ("zarr.json", ".zattrs", ".zgroup", ".zarray", ".zmetadata")
_READ = (*_ZARR_METADATA, "labels", "tables")
_CHUNK = re.compile(r"c|\d+(\.\d+)*")
"""What levels, chunks, and folders of them are called."""

_READ_BY_ALL = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH


def check_metadata(folder: Path) -> None:
    """Look at the metadata files of a folder and of the folders in it.

    Raises:
        InvalidDataError: One is no file, or may not be read.
    """
    try:
        inner = [one.path for one in os.scandir(folder) if _is_folder(one)]
    except OSError:  # whoever opens it says what is wrong
        return
    for place in (str(folder), *inner):
        for name in _ZARR_METADATA:
            path = f"{place}/{name}"
            if os.access(place, os.X_OK) and os.path.lexists(path):
                _check_led(path)
                _check_file(path, os.stat(path))


def check_readable(folder: Path) -> None:
    """Look at all files below a folder.

    Raises:
        InvalidDataError: One is no file, or may not be read; or a link in the place of
            what is read leads nowhere. Other such links are nobody's business.
    """
    _check_there(folder)
    _check_open(str(folder))
    for entry, is_folder in _entries_below(str(folder)):
        if is_folder and entry.name not in _ZARR_METADATA:
            _check_open(entry.path)
        elif os.path.exists(entry.path):
            _check_file(entry.path, entry.stat())
        elif entry.name in _READ or _CHUNK.fullmatch(entry.name):
            _check_led(entry.path)


def _check_led(path: str) -> None:
    """Refuse a link to nowhere: what is read must not be taken as missing."""
    if not os.path.exists(path):
        raise InvalidDataError(
            f"{path}: found a link to {os.readlink(path)}, which leads nowhere; needed "
            "are metadata or chunks of an image, a label or a table. Mount what it "
            "leads to, or restore the files."
        )


def _check_there(folder: Path) -> None:
    """Refuse a folder that is missing; of one in a closed folder nobody knows."""
    try:
        folder.stat()
    except FileNotFoundError as error:
        raise InvalidDataError(
            f"{folder}: it is missing, though {folder.parent.name!r} lists it. "
            f"Restore it, or take it out of the attributes of {folder.parent}."
        ) from error
    except PermissionError:
        return


def _check_open(folder: str) -> None:
    if not os.access(folder, os.R_OK | os.X_OK):
        raise _closed(folder)


def _check_file(path: str, status: os.stat_result) -> None:
    """Refuse what is no file, or closed; one that all may read is not asked again."""
    if not stat.S_ISREG(status.st_mode):
        raise InvalidDataError(
            f"{path}: found a named pipe, a device, or a folder in the place of a "
            "file. Remove it from the plate, or restore the file."
        )
    if status.st_mode & _READ_BY_ALL != _READ_BY_ALL and not os.access(path, os.R_OK):
        raise _closed(path)


def _closed(path: str) -> InvalidDataError:
    return InvalidDataError(
        f"{path}: no permission to read it. Change its permissions, or those of its "
        "folder, or remove it from the plate."
    )


def walk_versions(path: Path, name: str) -> Iterator[FileVersion]:
    """Give the versions of a file, or of all below a folder, also behind links."""
    if path.is_file():
        status = path.stat()
        yield FileVersion(name, status.st_size, str(status.st_mtime_ns))
    if not path.is_dir():
        return
    for entry, is_folder in _entries_below(str(path)):
        if not is_folder:
            status = _stat(entry)
            inner = name + entry.path.removeprefix(str(path))
            yield FileVersion(inner, status.st_size, str(status.st_mtime_ns))


def _entries_below(folder: str) -> Iterator[tuple["os.DirEntry[str]", bool]]:
    """Give all that is below a folder, and whether it is a folder or a link to one.

    Each before what is in it. `os.scandir` tells files from folders without asking for
    each: an image has up to a million chunks.
    """
    folders, entered = [folder], set()
    while folders:
        place = folders.pop()
        status = os.stat(place)
        if (status.st_dev, status.st_ino) in entered:
            continue  # a link that leads back
        entered.add((status.st_dev, status.st_ino))
        with os.scandir(place) as entries:
            for entry in entries:
                is_folder = _is_folder(entry)
                if is_folder:
                    folders.append(entry.path)
                yield entry, is_folder


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    """Whether it is a folder or a link to one; a link to itself is none."""
    if entry.is_symlink():
        return os.path.isdir(entry.path)
    return entry.is_dir()


def _stat(entry: "os.DirEntry[str]") -> os.stat_result:
    """Give the status of a file; of a link, that of what it leads to, if anywhere."""
    try:
        return entry.stat()
    except OSError:
        return entry.stat(follow_symlinks=False)


def hash_file(path: Path) -> str:
    """Give the SHA-256 of the content of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
