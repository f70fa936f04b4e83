"""What holds the files of a plate: the file system of this machine, or an object store.

Both can do the same, each in its own way: a file system by locks and by exchanging
folders, an object store by the order in which it writes single objects.

    Files          what can be done                    `storage.files_contract`
    LocalFiles     on this machine                     `storage.local.files`
    RemoteFiles    in an object store                  `storage.remote.files`

`files_of` is the only place that asks which of the two it is (but for the direction of
a copy between both); code that works on a plate asks it once, and goes on in the same
way. For local folders nothing here imports fsspec.
"""

from typing import TYPE_CHECKING, Literal

from fractal_tasks.storage.files_contract import Files
from fractal_tasks.storage.local.files import LocalFiles
from fractal_tasks.storage.urls import ImageUrl, Location

if TYPE_CHECKING:
    import zarr


def files_of(*places: Location | ImageUrl) -> Files:
    """Give what holds some places; an object store if any of them lies in one."""
    if not any(place.is_remote for place in places):
        return LocalFiles()
    # fsspec is imported for remote urls only.
    from fractal_tasks.storage.remote.files import RemoteFiles

    return RemoteFiles()


def open_group(location: Location, mode: Literal["r", "r+"] = "r") -> "zarr.Group":
    """Open a zarr group, without what may be outdated in consolidated metadata.

    Raises:
        OSError: There is none, or it cannot be read.
        InvalidDataError: An object store does not answer as it should.
    """
    import zarr

    store = files_of(location).open_store(location, read_only=mode == "r")
    return zarr.open_group(store, mode=mode, use_consolidated=False)
