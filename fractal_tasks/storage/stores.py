"""Opening folders of a plate, on this machine or in an object store.

For local folders nothing here imports fsspec: what only object stores need is in the
modules `remote_*`.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.storage.locks import image_lock
from fractal_tasks.storage.publish import heal
from fractal_tasks.storage.urls import ImageUrl, Location

if TYPE_CHECKING:
    import zarr

    from fractal_tasks.storage.remote_store import RemoteStore

_READ_ONLY_SCHEMES = {"http", "https"}


def open_store(location: Location, *, read_only: bool = True) -> "str | RemoteStore":
    """Give what zarr and ngio open a folder by.

    A remote store keeps what it has read; open it anew to see what others have written
    since.

    Raises:
        InvalidInputError: The file system of a remote url is not installed or unknown.
    """
    if not location.is_remote:
        return location.url
    from fractal_tasks.storage.remote_store import open_remote_store

    return open_remote_store(location, read_only=read_only)


def open_group(location: Location, mode: Literal["r", "r+"] = "r") -> "zarr.Group":
    """Open a zarr group.

    Raises:
        OSError: There is none, or it cannot be read.
        InvalidDataError: An object store does not answer as it should.
    """
    import zarr

    store = open_store(location, read_only=mode == "r")
    return zarr.open_group(store, mode=mode, use_consolidated=False)


def copy_folder(source: Location, target: Location) -> None:
    """Copy a folder with all that is in it to where nothing is yet."""
    if not source.is_remote and not target.is_remote:
        shutil.copytree(source.path, target.path, symlinks=True)
        return
    from fractal_tasks.storage.remote_folder import copy_objects

    copy_objects(source, target)


@contextmanager
def building_locally(location: Location) -> Iterator[Path]:
    """Give a new folder on this machine for what is to lie at a location.

    That is the location itself, or else it is copied there at the end.
    """
    if not location.is_remote:
        yield location.path
        return
    with tempfile.TemporaryDirectory(prefix="fractal-tasks-") as folder:
        build = Path(folder) / "build"
        yield build
        copy_folder(Location(str(build)), location)


def exists(location: Location) -> bool:
    """Whether there is anything at a location."""
    if not location.is_remote:
        return location.path.exists()
    from fractal_tasks.storage.remote_folder import ObjectFolder

    return bool(ObjectFolder(location).list_keys())


def size_bytes(location: Location) -> int:
    """Give the size of all files or objects below a location together."""
    if not location.is_remote:
        files = (path for path in location.path.rglob("*") if path.is_file())
        return sum(path.stat().st_size for path in files)
    from fractal_tasks.storage.remote_folder import ObjectFolder

    return ObjectFolder(location).size_bytes()


def list_folders(location: Location) -> list[str]:
    """Give the names of the folders in a folder, sorted."""
    if not location.is_remote:
        return sorted(path.name for path in location.path.iterdir() if path.is_dir())
    from fractal_tasks.storage.remote_folder import ObjectFolder

    return ObjectFolder(location).list_folders()


def lock_image(image: ImageUrl) -> AbstractContextManager[None]:
    """Hold the lock of an image; an object store has none."""
    return nullcontext() if image.is_remote else image_lock(image.path)


def heal_image(image: ImageUrl) -> None:
    """Finish or remove what interrupted runs left beside an image.

    In an object store the next run overwrites what one that was interrupted left.
    """
    if not image.is_remote:
        heal(image.path)


def check_writable(image: ImageUrl) -> None:
    """Refuse urls that can only be read.

    Raises:
        InvalidInputError: It is one of http.
    """
    if image.zarr_url.partition("://")[0] in _READ_ONLY_SCHEMES:
        raise InvalidInputError(
            f"{image.zarr_url}: a url of http can only be read. Give the url of the "
            "object store itself, e.g. 's3://bucket/plate.zarr/B/03/0'."
        )
