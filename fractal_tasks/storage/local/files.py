"""The files of a plate on this machine: locks, and folders replaced in one step.

`storage.files.Files` says what each method is for.
"""

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from fractal_tasks.errors import InvalidDataError, PublishError
from fractal_tasks.storage.file_version import FileVersion
from fractal_tasks.storage.local.locks import free_image_lock, image_lock, well_lock
from fractal_tasks.storage.local.publish import (
    check_file_replaceable,
    check_not_linked,
    check_replaceable,
    find_interrupted,
    heal,
    replace_directory,
    replace_file,
)
from fractal_tasks.storage.urls import ImageUrl, Location

_ZARR_METADATA = ("zarr.json", ".zattrs", ".zgroup", ".zarray", ".zmetadata")
_READ_BY_ALL = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH


class LocalFiles:
    """Files of a plate on this machine."""

    @property
    def can_replace_images(self) -> bool:
        """True: two folders are exchanged in one step."""
        return True

    def open_store(self, location: Location, *, read_only: bool = True) -> str:
        """Give the path: whoever opens it says how."""
        return location.url

    def exists(self, location: Location) -> bool:
        """Whether there is a file or folder."""
        return location.path.exists()

    def size_bytes(self, location: Location) -> int:
        """Add up the files below a folder."""
        files = (path for path in location.path.rglob("*") if path.is_file())
        return sum(path.stat().st_size for path in files)

    def list_folders(self, location: Location) -> list[str]:
        """Give the names of the folders in a folder, sorted."""
        return sorted(path.name for path in location.path.iterdir() if path.is_dir())

    def list_files(self, location: Location) -> list[str]:
        """Give the names of the files in a folder, and of links to nowhere, sorted."""
        entries = location.path.iterdir()
        return sorted(path.name for path in entries if not path.is_dir())

    def list_links(self, location: Location) -> list[str]:
        """Look at all that is below a folder, but not behind its links."""
        links = (path for path in location.path.rglob("*") if path.is_symlink())
        return sorted(str(path.relative_to(location.path)) for path in links)

    def list_versions(
        self, folder: Location, names: Sequence[str], *, by_content: bool = False
    ) -> list[FileVersion]:
        """Tell versions apart by the time of the last change, in nanoseconds."""
        found = sorted(
            version for name in names for version in _walk(folder.path / name, name)
        )
        if not by_content:
            return found
        return [
            replace(version, stamp=_hash_file(folder.path / version.path))
            for version in found
        ]

    def check_metadata(self, folder: Location) -> None:
        """Look at the metadata files of a folder and of the folders in it."""
        try:
            inner = [one.path for one in os.scandir(folder.path) if _is_folder(one)]
        except OSError:  # whoever opens it says what is wrong
            return
        for place in (folder.url, *inner):
            for name in _ZARR_METADATA:
                path = f"{place}/{name}"
                if os.access(place, os.X_OK) and os.path.exists(path):
                    _check_file(path, os.stat(path))

    def check_readable(self, folder: Location) -> None:
        """Look at all files below a folder, as `_walk` finds them."""
        folders, entered = [folder.url], set()
        while folders:
            place = folders.pop()
            if not os.access(place, os.R_OK | os.X_OK):
                raise _closed(place)
            status = os.stat(place)
            if (status.st_dev, status.st_ino) in entered:
                continue  # a link that leads back
            entered.add((status.st_dev, status.st_ino))
            with os.scandir(place) as entries:
                for entry in entries:
                    if _is_folder(entry) and entry.name not in _ZARR_METADATA:
                        folders.append(entry.path)
                    elif os.path.exists(entry.path):  # not so a link to nowhere
                        _check_file(entry.path, entry.stat())

    def read_unfinished(self, image: ImageUrl) -> str | None:
        """Give None: what is unfinished lies in a workspace, never in its place."""
        return None

    def check_writable(self, image: ImageUrl) -> None:
        """Find nothing wrong: `replace_*` say before they write what they cannot."""

    def copy_folder(self, source: Location, target: Location) -> None:
        """Copy a folder; symbolic links stay what they are."""
        shutil.copytree(source.path, target.path, symlinks=True)

    def copy_file(self, source: Location, target: Location) -> None:
        """Copy a file; a symbolic link stays what it is."""
        target.path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source.path, target.path, follow_symlinks=False)

    @contextmanager
    def building_locally(self, location: Location) -> Iterator[Path]:
        """Give the location itself."""
        yield location.path

    @contextmanager
    def edit_attributes(
        self, group: Location, *, image: ImageUrl
    ) -> Iterator[dict[str, Any]]:
        """Write the metadata file in one step.

        zarr would leave its temporary file in the group after a kill.
        """
        path = group.path / "zarr.json"
        if path.exists():
            document = json.loads(path.read_bytes())
            attributes = document.setdefault("attributes", {})
        else:
            path = group.path / ".zattrs"
            document = json.loads(path.read_bytes()) if path.exists() else {}
            attributes = document
        unchanged = json.dumps(document)
        yield attributes
        if json.dumps(document) != unchanged:
            content = json.dumps(document, indent=2).encode()
            replace_file(path, content, image=image.path)

    def add_to_well(self, image: ImageUrl, acquisition: int) -> None:
        """List an image under the well's lock, which ngio takes as well."""
        try:
            with (
                well_lock(image.well.path),
                self.edit_attributes(image.well, image=image) as attributes,
            ):
                images = attributes.get("ome", attributes)["well"]["images"]
                if all(entry["path"] != image.image_path for entry in images):
                    images.append(
                        {"path": image.image_path, "acquisition": acquisition}
                    )
        except (OSError, PublishError) as error:
            raise PublishError(
                f"{image.zarr_url} is in place, but could not be added to the images "
                f"of its well ({error}). Check free space, quota and permissions, then "
                "run the task again: it adds it."
            ) from error

    def lock_image(self, image: ImageUrl) -> AbstractContextManager[None]:
        """Hold the lock of an image, waiting for it as long as it takes."""
        return image_lock(image.path)

    def find_interrupted(self, folder: Location) -> list[str]:
        """Find images beside which there are workspaces."""
        return find_interrupted(folder.path)

    def lock_free_image(self, image: ImageUrl) -> AbstractContextManager[bool]:
        """Hold the lock if nobody else does."""
        return free_image_lock(image.path)

    def heal_image(self, image: ImageUrl) -> None:
        """Finish or remove what interrupted runs left beside an image."""
        heal(image.path)

    @contextmanager
    def replace_image(
        self,
        target: ImageUrl,
        *,
        input_image: str,
        validate: Callable[[Location], None],
    ) -> Iterator[Location]:
        """Build in a workspace beside the target."""
        with replace_directory(
            target.path,
            image=target.path,
            validate=lambda folder: validate(Location(str(folder))),
        ) as folder:
            yield Location(str(folder))

    def check_image_replaceable(self, image: ImageUrl) -> None:
        """Look at links, permissions and the borders of file systems."""
        check_not_linked(image.path)
        check_replaceable(image.path, image.path)

    def choose_table_backend(self, table: Location, wanted: str) -> str:
        """Give `wanted`: folders are replaced whatever is in them."""
        return wanted

    def check_table_replaceable(self, image: ImageUrl, name: str) -> None:
        """Look at links, permissions and the borders of file systems."""
        tables = image.path / "tables"
        for listing in ("zarr.json", ".zattrs"):
            check_file_replaceable(tables / listing, image.path)
        # The first table of an image is written together with their folder.
        target = tables / name if os.path.lexists(tables) else tables
        check_replaceable(target, image.path)

    def replace_table(
        self, image: ImageUrl, name: str, *, validate: Callable[[Path], None]
    ) -> AbstractContextManager[Path]:
        """Build in a workspace beside the image."""
        return replace_directory(
            image.path / "tables" / name, image=image.path, validate=validate
        )


def _check_file(path: str, status: os.stat_result) -> None:
    """Refuse what is no file, or closed; one that all may read is not asked again."""
    if not stat.S_ISREG(status.st_mode):
        raise InvalidDataError(
            f"{path}: found a named pipe, a device, or a folder in the place of "
            "metadata; needed is a file. Remove it from the plate, or restore the file."
        )
    if status.st_mode & _READ_BY_ALL != _READ_BY_ALL and not os.access(path, os.R_OK):
        raise _closed(path)


def _closed(path: str) -> InvalidDataError:
    return InvalidDataError(
        f"{path}: no permission to read it. Change its permissions, or those of its "
        "folder, or remove it from the plate."
    )


def _walk(path: Path, name: str) -> Iterator[FileVersion]:
    """Give the versions of a file, or of all files below a folder, also behind links.

    `os.scandir` tells files from folders without asking for each: an image has up to
    a million chunks.
    """
    if path.is_file():
        status = path.stat()
        yield FileVersion(name, status.st_size, str(status.st_mtime_ns))
    if not path.is_dir():
        return
    folders, entered = [(str(path), name)], set()
    while folders:
        folder, prefix = folders.pop()
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in entered:
            continue  # a link that leads back
        entered.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            for entry in entries:
                inner = f"{prefix}/{entry.name}"
                if _is_folder(entry):
                    folders.append((entry.path, inner))
                    continue
                status = _stat(entry)
                yield FileVersion(inner, status.st_size, str(status.st_mtime_ns))


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


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
