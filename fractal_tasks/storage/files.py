"""What holds the files of a plate: the file system of this machine, or an object store.

Both can do the same, each in its own way: a file system by locks and by exchanging
folders, an object store by the order in which it writes single objects.

    Files          what can be done
    LocalFiles     on this machine                     `storage.local.files`
    RemoteFiles    in an object store                  `storage.remote.files`

`files_of` is the only place that asks which of the two it is (but for the direction of
a copy between both); code that works on a plate asks it once, and goes on in the same
way. For local folders nothing here imports fsspec.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from fractal_tasks.storage.file_version import FileVersion
from fractal_tasks.storage.local.files import LocalFiles
from fractal_tasks.storage.urls import ImageUrl, Location

if TYPE_CHECKING:
    import zarr

    from fractal_tasks.storage.remote.store import RemoteStore


class Files(Protocol):
    """What can be done with the files of a plate, wherever they lie."""

    @property
    def can_replace_images(self) -> bool:
        """Whether an image can take the place of another one in a single step."""
        ...

    # Reading.

    def open_store(
        self, location: Location, *, read_only: bool = True
    ) -> "str | RemoteStore":
        """Give what zarr and ngio open a folder by.

        A remote store keeps what it has read; open it anew to see what others have
        written since.

        Raises:
            InvalidInputError: The file system of a remote url is not installed or
                unknown.
        """
        ...

    def exists(self, location: Location) -> bool:
        """Whether there is anything at a location."""
        ...

    def size_bytes(self, location: Location) -> int:
        """Give the size of all that is below a location together."""
        ...

    def list_folders(self, location: Location) -> list[str]:
        """Give the names of the folders in a folder, sorted."""
        ...

    def list_files(self, location: Location) -> list[str]:
        """Give the names of the files in a folder, sorted."""
        ...

    def list_links(self, location: Location) -> list[str]:
        """Give the symbolic links below a folder, as paths in it, sorted."""
        ...

    def is_link(self, location: Location) -> bool:
        """Whether a file or folder is a symbolic link."""
        ...

    def list_versions(
        self, folder: Location, names: Sequence[str], *, by_content: bool = False
    ) -> list[FileVersion]:
        """List what lies in a folder under some names, sorted by path.

        Args:
            folder: Where to look.
            names: Files, and folders with all that is below them; those that are not
                there are left out.
            by_content: Whether files written again with the same content count as
                unchanged, at the price of reading them. An object store says by itself
                how it tells objects apart.
        """
        ...

    def check_metadata(self, folder: Location) -> None:
        """Refuse metadata that could not be read, before a library opens them.

        It would wait for ever for a named pipe.

        Args:
            folder: A group; the arrays and groups directly in it count, too.

        Raises:
            InvalidDataError: One is no file, or closed to this user.
        """
        ...

    def check_readable(self, folder: Location) -> None:
        """Refuse a folder of which a part could not be read or copied.

        No file is opened: of all that is in an image, it asks what can be asked
        without reading it.

        Raises:
            InvalidDataError: Something below it is no file or folder, or closed to
                this user.
        """
        ...

    def read_unfinished(self, image: ImageUrl) -> str | None:
        """Give from which image (path in the well) an unfinished one is being made.

        Returns:
            None if the image is finished or not there; '' if it is unfinished, and
            what it is made from cannot be told.
        """
        ...

    # Writing.

    def check_writable(self, image: ImageUrl) -> None:
        """Refuse urls that can only be read.

        Raises:
            InvalidInputError: It is one of http.
        """
        ...

    def copy_folder(self, source: Location, target: Location) -> None:
        """Copy a folder with all that is in it to where nothing is yet.

        Of a pair of which one lies on this machine, use `files_of(source, target)`.
        """
        ...

    def copy_file(self, source: Location, target: Location) -> None:
        """Copy a file, and make the folders around it; pairs as for `copy_folder`."""
        ...

    def building_locally(self, location: Location) -> AbstractContextManager[Path]:
        """Give a new folder on this machine for what is to lie at a location.

        That is the location itself, or else it is copied there at the end.
        """
        ...

    def edit_attributes(
        self, group: Location, *, image: ImageUrl
    ) -> AbstractContextManager[dict[str, Any]]:
        """Give the attributes of a zarr group to change, and write them in one step.

        What the body changes in them is written at the end, unless it raises.

        Args:
            group: Folder of the image, of a group in it, or of its well.
            image: Image of the plate; the caller holds its lock and has healed it.

        Raises:
            OSError: Reading or writing failed; the attributes are what they were.
        """
        ...

    def add_to_well(self, image: ImageUrl, acquisition: int) -> None:
        """List an image in its well, if it is not listed yet.

        No entry is lost that others add meanwhile. The caller holds the image's lock
        and has healed it.

        Raises:
            InvalidDataError: The metadata of the well cannot be read.
            PublishError: The well could not be written.
        """
        ...

    # What may be interrupted, or done by two workers at once.

    def lock_image(self, image: ImageUrl) -> AbstractContextManager[None]:
        """Hold the lock of an image, where there is one. It is not re-entrant."""
        ...

    def find_interrupted(self, folder: Location) -> list[str]:
        """Find the images of a folder beside which interrupted runs left something.

        Raises:
            PublishError: The folder cannot be listed.
        """
        ...

    def find_unclear(self, image: ImageUrl) -> list[str]:
        """Find what `heal_image` leaves alone, since nothing says what it is of."""
        ...

    def lock_free_image(self, image: ImageUrl) -> AbstractContextManager[bool]:
        """Hold the lock of an image if nobody else does; otherwise give False."""
        ...

    def heal_image(self, image: ImageUrl) -> None:
        """Finish or remove what interrupted runs left beside an image.

        The caller holds the image's lock.
        """
        ...

    def replace_image(
        self,
        target: ImageUrl,
        *,
        input_image: str,
        validate: Callable[[Location], None],
    ) -> AbstractContextManager[Location]:
        """Give where to build an image; have it in the place of the target at the end.

        Args:
            target: The image to replace or to add; where `can_replace_images` is
                false, one that is ours and out of date, or unfinished, or not there.
            input_image: Path in the well of the image that it is made from.
            validate: Reopens the build and raises if it is not what it should be.

        Raises:
            PublishError: It could not be written.
        """
        ...

    def check_image_replaceable(self, image: ImageUrl) -> None:
        """Find out before long work whether `replace_image` would be refused.

        Raises:
            InvalidInputError: The image is a link to somewhere else.
            PublishError: A folder is not writable, or on another file system.
        """
        ...

    def choose_table_backend(self, table: Location, wanted: str) -> str:
        """Choose the backend in which a table can be replaced; `wanted` if it can."""
        ...

    def check_table_replaceable(self, image: ImageUrl, name: str) -> None:
        """Find out before long work whether `replace_table` would be refused.

        Raises:
            PublishError: A folder is not writable, or on another file system.
        """
        ...

    def make_own(self, folder: Location, *, image: ImageUrl) -> None:
        """Make a folder one that may be written in: a copy where it is a link.

        Raises:
            InvalidInputError: It is a link that leads to no folder.
            PublishError: The copy could not be written; the link is what it was.
        """
        ...

    def replace_table(
        self, image: ImageUrl, name: str, *, validate: Callable[[Path], None]
    ) -> AbstractContextManager[Path]:
        """Give a path on this machine to build a table; put it in place at the end.

        Args:
            image: Image whose table it is.
            name: The table to replace or to add. It has to be built in the backend
                that `choose_table_backend` gave.
            validate: Reopens the build and raises if it is not what it should be.

        Raises:
            PublishError: It could not be written; the old table is untouched.
        """
        ...


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
