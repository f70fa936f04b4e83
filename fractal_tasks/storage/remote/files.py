"""The files of a plate in an object store, which knows neither locks nor renames.

`storage.files.Files` says what each method is for; `remote.images` and `remote.tables`
how an interrupted run does no harm. Imported for remote urls only.
"""

import copy
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import zarr

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.storage.file_version import FileVersion
from fractal_tasks.storage.remote.copies import (
    copy_object,
    copy_objects,
    is_read_only,
)
from fractal_tasks.storage.remote.folder import ObjectFolder
from fractal_tasks.storage.remote.images import build_image, list_in_well, read_marker
from fractal_tasks.storage.remote.store import RemoteStore, open_remote_store
from fractal_tasks.storage.remote.tables import choose_backend, replace_table
from fractal_tasks.storage.urls import ImageUrl, Location


class RemoteFiles:
    """Files of a plate in an object store."""

    @property
    def can_replace_images(self) -> bool:
        """False: an image is many objects, and each is written by itself."""
        return False

    def open_store(self, location: Location, *, read_only: bool = True) -> RemoteStore:
        """Open a store that fetches nothing twice."""
        return open_remote_store(location, read_only=read_only)

    def exists(self, location: Location) -> bool:
        """Whether there is any object below a location."""
        return bool(ObjectFolder(location).list_keys())

    def size_bytes(self, location: Location) -> int:
        """Add up the objects below a location."""
        return ObjectFolder(location).size_bytes()

    def list_folders(self, location: Location) -> list[str]:
        """Give the names of the folders in a folder, sorted."""
        return ObjectFolder(location).list_folders()

    def list_links(self, location: Location) -> list[str]:
        """Give nothing: there are none in an object store."""
        return []

    def is_link(self, location: Location) -> bool:
        """Give False."""
        return False

    def list_files(self, location: Location) -> list[str]:
        """Give the names of the objects directly below a location, sorted."""
        return ObjectFolder(location).list_files()

    def list_versions(
        self,
        folder: Location,
        names: Sequence[str],
        *,
        by_content: bool = False,
    ) -> list[FileVersion]:
        """Tell versions apart by ETag, or what the store has in its place."""
        return ObjectFolder(folder).list_versions(names)

    def check_metadata(self, folder: Location) -> None:
        """Find nothing wrong: an object is an object."""

    def check_readable(self, folder: Location) -> None:
        """Find nothing wrong: whether objects can be read is seen when they are."""

    def read_unfinished(self, image: ImageUrl) -> str | None:
        """Read the marker of an image that is not finished."""
        return read_marker(image)

    def check_writable(self, image: ImageUrl) -> None:
        """Refuse http, by which objects can only be read."""
        if is_read_only(image.zarr_url):
            raise InvalidInputError(
                f"{image.zarr_url}: a url of http can only be read. Give 'register' "
                "an output folder, --output or output=, to which it is downloaded; or "
                "the url of the object store itself, e.g. "
                "'s3://bucket/plate.zarr/B/03/0'."
            )

    def copy_folder(self, source: Location, target: Location) -> None:
        """Copy objects, or files to objects, or objects to files."""
        copy_objects(source, target)

    def copy_file(self, source: Location, target: Location) -> None:
        """Copy an object, or a file to an object, or an object to a file."""
        copy_object(source, target)

    @contextmanager
    def building_locally(self, location: Location) -> Iterator[Path]:
        """Give a temporary folder, and write its files to the store at the end."""
        with tempfile.TemporaryDirectory(prefix="fractal-tasks-") as folder:
            build = Path(folder) / "build"
            yield build
            copy_objects(Location(str(build)), location)

    @contextmanager
    def edit_attributes(
        self, group: Location, *, image: ImageUrl
    ) -> Iterator[dict[str, Any]]:
        """Write through zarr: a single object is written in one step anyway."""
        store = open_remote_store(group, read_only=False)
        opened = zarr.open_group(store, mode="r+", use_consolidated=False)
        attributes = opened.attrs.asdict()
        before = copy.deepcopy(attributes)
        yield attributes
        if attributes != before:
            opened.attrs.put(attributes)

    def add_to_well(self, image: ImageUrl, acquisition: int) -> None:
        """Replace the well's list only if it is still the one that was read."""
        list_in_well(image, acquisition)

    def lock_image(self, image: ImageUrl) -> AbstractContextManager[None]:
        """Hold nothing: there are no locks."""
        return nullcontext()

    def find_interrupted(self, folder: Location) -> list[str]:
        """Find nothing: what is unfinished is overwritten by the next run."""
        return []

    def find_unclear(self, image: ImageUrl) -> list[str]:
        """Find nothing, as `find_interrupted`."""
        return []

    def lock_free_image(self, image: ImageUrl) -> AbstractContextManager[bool]:
        """Give True: there are no locks."""
        return nullcontext(True)

    def heal_image(self, image: ImageUrl) -> None:
        """Do nothing: the next run overwrites what an interrupted one left."""

    def replace_image(
        self,
        target: ImageUrl,
        *,
        input_image: str,
        validate: Callable[[Location], None],
    ) -> AbstractContextManager[Location]:
        """Build in the place of the target, which is marked until it is finished."""
        return build_image(target, input_image=input_image, validate=validate)

    def check_image_replaceable(self, image: ImageUrl) -> None:
        """Find nothing wrong: `can_replace_images` says that none can."""

    def choose_table_backend(self, table: Location, wanted: str) -> str:
        """Choose one whose rows lie under other keys than those of the stored table."""
        return choose_backend(table)

    def check_table_replaceable(self, image: ImageUrl, name: str) -> None:
        """Find nothing wrong: a store tells what it refuses only when it is written."""

    def make_own(self, folder: Location, *, image: ImageUrl) -> None:
        """Do nothing: there are no links."""

    @contextmanager
    def replace_folder(
        self, folder: Location, *, image: ImageUrl, validate: Callable[[Path], None]
    ) -> Iterator[Path]:
        """Build in a temporary folder, and write its files to the store at the end."""
        with self.building_locally(folder) as build:
            yield build
            validate(build)

    def remove_folder(self, folder: Location) -> None:
        """Delete all objects below it."""
        objects = ObjectFolder(folder)
        objects.delete(objects.list_keys())

    def replace_table(
        self, image: ImageUrl, name: str, *, validate: Callable[[Path], None]
    ) -> AbstractContextManager[Path]:
        """Build in a temporary folder; the root document makes the switch."""
        return replace_table(image.location / "tables" / name, validate=validate)
