"""Object stores as zarr and ngio see them.

Imported for remote urls only.
"""

from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, TypeAlias, cast

from zarr.storage import FsspecStore

from fractal_tasks.storage.remote.access import (
    opening_store,
    options_of,
    reading_store,
    writing_store,
)
from fractal_tasks.storage.upstream import cancel_requests_at_exit
from fractal_tasks.storage.urls import Location

if TYPE_CHECKING:
    from fsspec.asyn import AsyncFileSystem
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

_NOT_THERE = (FileNotFoundError, IsADirectoryError, NotADirectoryError)
_CACHED_BYTES = 128 * 2**20
_ENTRY_BYTES = 300
"""About what it takes to remember that an object is not there."""

_METADATA = {"zarr.json", ".zarray", ".zattrs", ".zgroup"}

cancel_requests_at_exit()


def open_remote_store(location: Location, *, read_only: bool) -> "RemoteStore":
    """Open a folder of an object store for zarr and ngio.

    Raises:
        InvalidInputError: The file system of the url is not installed or unknown.
    """
    with opening_store(location):
        store = RemoteStore.from_url(
            location.url, storage_options=options_of(location), read_only=read_only
        )
    return cast("RemoteStore", store)


_Entry: TypeAlias = "tuple[str, ByteRequest | None]"
"""Key of an object, and which part of it was asked for."""


def _size_of(value: "Buffer | None") -> int:
    return _ENTRY_BYTES + (0 if value is None else len(value))


class RemoteStore(FsspecStore):
    """A zarr store that fetches nothing twice.

    It also remembers what is not there: zarr and ngio look for the metadata of every
    version of the format. At most `_CACHED_BYTES` are kept, the rest is fetched again.
    What others write meanwhile is not seen; of what it writes itself, it keeps the
    metadata.
    """

    def __init__(
        self,
        fs: "AsyncFileSystem",
        read_only: bool = False,
        path: str = "/",
        allowed_exceptions: tuple[type[Exception], ...] = _NOT_THERE,
    ) -> None:
        """Open as `FsspecStore` does."""
        super().__init__(fs, read_only, path, allowed_exceptions)
        self._kept: OrderedDict[_Entry, Buffer | None] = OrderedDict()
        self._kept_bytes = 0
        self._listed: dict[str, list[str]] = {}

    async def get(
        self,
        key: str,
        prototype: "BufferPrototype",
        byte_range: "ByteRequest | None" = None,
    ) -> "Buffer | None":
        """Read an object or a part of it; None if it is not there."""
        entry = (key, byte_range)
        if entry in self._kept:
            self._kept.move_to_end(entry)
            return self._kept[entry]
        with reading_store(self._url_of(key)):
            value = await super().get(key, prototype, byte_range)
        self._keep(entry, value)
        return value

    def _keep(self, entry: _Entry, value: "Buffer | None") -> None:
        self._forget_entry(entry)
        self._kept[entry] = value
        self._kept_bytes += _size_of(value)
        while self._kept_bytes > _CACHED_BYTES:
            self._forget_entry(next(iter(self._kept)))

    def _forget_entry(self, entry: _Entry) -> None:
        if entry in self._kept:
            self._kept_bytes -= _size_of(self._kept.pop(entry))

    def _forget(self, key: str) -> None:
        for entry in [entry for entry in self._kept if entry[0] == key]:
            self._forget_entry(entry)
        self._listed.clear()

    def _url_of(self, key: str) -> str:
        url: str = self.fs.unstrip_protocol(self.path)
        return f"{url}/{key}"

    async def set(
        self,
        key: str,
        value: "Buffer",
        byte_range: tuple[int, int] | None = None,
    ) -> None:
        """Write an object."""
        with writing_store(self._url_of(key)):
            await super().set(key, value, byte_range)
        self._forget(key)
        if key.rpartition("/")[2] in _METADATA and byte_range is None:
            self._keep((key, None), value)

    async def delete(self, key: str) -> None:
        """Delete an object."""
        with writing_store(self._url_of(key)):
            await super().delete(key)
        self._forget(key)

    async def exists(self, key: str) -> bool:
        """Whether an object is there."""
        with reading_store(self._url_of(key)):
            return await super().exists(key)

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Give what is directly below a prefix."""
        keys = self._listed.get(prefix)
        if keys is None:
            with reading_store(self._url_of(prefix)):
                keys = [key async for key in super().list_dir(prefix)]
            self._listed[prefix] = keys
        for key in keys:
            yield key
