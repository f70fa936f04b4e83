"""What can be done with the files of a plate, wherever they lie; see `files`."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fractal_tasks.storage.file_version import FileVersion
from fractal_tasks.storage.urls import ImageUrl, Location

if TYPE_CHECKING:
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

    def replace_folder(
        self, folder: Location, *, image: ImageUrl, validate: Callable[[Path], None]
    ) -> AbstractContextManager[Path]:
        """Give a path on this machine to build a folder; put it in place at the end.

        In an object store objects come one by one: it is for folders that nothing names
        before they are whole.

        Args:
            folder: The folder, two levels below `image`; that in between is made.
            image: Image of the plate; the caller holds its lock and has healed it.
            validate: Reopens the build and raises if it is not what it should be.

        Raises:
            PublishError: It could not be written.
        """
        ...

    def remove_folder(self, folder: Location) -> None:
        """Remove a folder that nothing names any more; a link is removed as that."""
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
