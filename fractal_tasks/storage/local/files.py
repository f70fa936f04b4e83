"""The files of a plate on this machine: locks, and folders replaced in one step.

`storage.files.Files` says what each method is for.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from fractal_tasks.errors import PublishError
from fractal_tasks.storage.file_version import FileVersion
from fractal_tasks.storage.local.links import (
    check_leads_to_folder,
    list_links,
    make_own,
)
from fractal_tasks.storage.local.locks import free_image_lock, image_lock, well_lock
from fractal_tasks.storage.local.publish import (
    check_not_linked,
    check_replaceable,
    find_interrupted,
    find_unclear,
    heal,
    replace_directory,
    replace_file,
)
from fractal_tasks.storage.local.walk import (
    check_metadata,
    check_readable,
    hash_file,
    walk_versions,
)
from fractal_tasks.storage.urls import ImageUrl, Location


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
        return list_links(location.path)

    def is_link(self, location: Location) -> bool:
        """Whether it is a link, wherever that leads."""
        return location.path.is_symlink()

    def list_versions(
        self, folder: Location, names: Sequence[str], *, by_content: bool = False
    ) -> list[FileVersion]:
        """Tell versions apart by the time of the last change, in nanoseconds."""
        found = sorted(
            version
            for name in names
            for version in walk_versions(folder.path / name, name)
        )
        if not by_content:
            return found
        return [
            replace(version, stamp=hash_file(folder.path / version.path))
            for version in found
        ]

    def check_metadata(self, folder: Location) -> None:
        """Look at the metadata files of a folder and of the folders in it."""
        check_metadata(folder.path)

    def check_readable(self, folder: Location) -> None:
        """Look at all files below a folder, also behind links."""
        check_readable(folder.path)

    def read_unfinished(self, image: ImageUrl) -> str | None:
        """Give None: what is unfinished lies in a workspace, never in its place."""
        return None

    def check_writable(self, image: ImageUrl) -> None:
        """Find nothing wrong: `replace_*` say before they write what they cannot."""

    def copy_folder(self, source: Location, target: Location) -> None:
        """Copy a folder; symbolic links stay what they are."""
        _copy_folder(source.path, target.path)

    def copy_file(self, source: Location, target: Location) -> None:
        """Copy a file; a symbolic link stays what it is."""
        target.path.parent.mkdir(parents=True, exist_ok=True)
        _copy_file(source.path, target.path)

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

    def find_unclear(self, image: ImageUrl) -> list[str]:
        """Find workspaces without a marker that can be read."""
        return list(map(str, find_unclear(image.path)))

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
        if tables.is_symlink():
            check_leads_to_folder(tables)
        # The first table of an image is written together with their folder, and a link
        # gives way to a copy.
        is_own = tables.exists() and not tables.is_symlink()
        check_replaceable(tables / name if is_own else tables, image.path)

    def make_own(self, folder: Location, *, image: ImageUrl) -> None:
        """Put a copy in the place of a link; else do nothing."""
        make_own(folder.path, image=image.path)

    @contextmanager
    def replace_folder(
        self, folder: Location, *, image: ImageUrl, validate: Callable[[Path], None]
    ) -> Iterator[Path]:
        """Build in a workspace beside the image."""
        parent = folder.path.parent
        make_own(parent, image=image.path)
        if not parent.exists():
            with replace_directory(
                parent, image=image.path, validate=lambda _: None
            ) as made:
                made.mkdir()
        with replace_directory(
            folder.path, image=image.path, validate=validate
        ) as build:
            yield build

    def remove_folder(self, folder: Location) -> None:
        """Remove it file by file: an interrupted run leaves some, for the next one."""
        if folder.path.is_symlink():
            folder.path.unlink()
        else:
            shutil.rmtree(folder.path)

    def replace_table(
        self, image: ImageUrl, name: str, *, validate: Callable[[Path], None]
    ) -> AbstractContextManager[Path]:
        """Build in a workspace beside the image."""
        return replace_directory(
            image.path / "tables" / name, image=image.path, validate=validate
        )


def _copy_folder(source: Path, target: Path) -> None:
    target.mkdir(parents=True)
    for path in source.iterdir():
        if path.is_dir() and not path.is_symlink():
            _copy_folder(path, target / path.name)
        else:
            _copy_file(path, target / path.name)


def _copy_file(source: Path, target: Path) -> None:
    """Copy content and times; who may do what is told by where the copy goes."""
    shutil.copyfile(source, target, follow_symlinks=False)
    status = source.lstat()
    times = (status.st_atime_ns, status.st_mtime_ns)
    os.utime(target, ns=times, follow_symlinks=False)
