"""Download wells of a plate to a counterpart on this machine, so that it can go on.

Each group appears as a whole: the plate, its rows, its wells, then images one by one.
The plate lists a well once all its images are there.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fractal_tasks.errors import InvalidDataError, InvalidInputError
from fractal_tasks.storage.files import files_of, open_group
from fractal_tasks.storage.local.counterpart import (
    download_image,
    is_counterpart,
    make_parent,
    write_source,
)
from fractal_tasks.storage.local.locks import image_lock
from fractal_tasks.storage.local.publish import heal, replace_directory
from fractal_tasks.storage.plate.ome_metadata import read_ome_metadata
from fractal_tasks.storage.plate.wells import read_listed
from fractal_tasks.storage.urls import Location, parse_image_url


def download_wells(source: Location, target: Path, wells: Sequence[str]) -> None:
    """Download wells of a plate; what of them is there stays.

    Args:
        source: A plate in an object store or on a server.
        target: Its counterpart; it is made if it is missing.
        wells: Paths of wells in the plate, e.g. `"B/03"`.

    Raises:
        InvalidInputError: Something else is at the target.
        InvalidDataError: The source cannot be read.
        PublishError: The counterpart could not be written.
    """
    make_parent(target)
    with image_lock(target):  # of the rows and wells, too: they have none of their own
        is_counterpart(target, source)
        with _adding(target) as build:
            if build is not None:
                _copy_documents(source, build)
                _list_none(build)
                write_source(build, source)
        for well in wells:
            for path in (well.partition("/")[0], well):
                with _adding(target / path) as build:
                    if build is not None:
                        _copy_documents(_below(source, path), build)
            for name in _images_of(target / well):
                _add_image(_below(source, f"{well}/{name}"), target / well / name)
            _list_well(source, target, well)


@contextmanager
def _adding(target: Path) -> Iterator[Path | None]:
    """Give where to build a folder that is not there yet; None if it is."""
    heal(target)
    if target.exists():
        yield None
        return
    with replace_directory(target, image=target, validate=lambda _: None) as build:
        yield build


def _add_image(source: Location, target: Path) -> None:
    with image_lock(target):
        heal(target)
        if target.exists() or not is_there(source):
            return  # one that is missing is found out as in any other plate
        with replace_directory(target, image=target, validate=lambda _: None) as build:
            download_image(source, build)


def is_there(folder: Location) -> bool:
    """Whether there is a group at a location."""
    try:
        read_ome_metadata(folder)
    except InvalidInputError:
        return False
    return True


def _copy_documents(source: Location, target: Path) -> None:
    """Copy the metadata of a group; a row may have none."""
    # fsspec is imported for remote urls only.
    from fractal_tasks.storage.remote.folder import ObjectFolder
    from fractal_tasks.storage.remote.walk import download_documents

    target.mkdir()
    download_documents(ObjectFolder(source), target)


def _images_of(well: Path) -> list[str]:
    try:
        return list(read_listed(Location(str(well))))
    except InvalidDataError:
        return []  # found out as in any other plate


def _list_none(plate: Path) -> None:
    group = open_group(Location(str(plate)), "r+")
    attributes: dict[str, Any] = group.attrs.asdict()
    attributes.get("ome", attributes)["plate"]["wells"] = []
    group.attrs.put(attributes)


def _list_well(source: Location, target: Path, well: str) -> None:
    """List a well in the plate, in the order of the source."""
    entries = read_ome_metadata(source)["plate"]["wells"]
    plate = Location(str(target))
    image = parse_image_url(plate.url)
    with files_of(plate).edit_attributes(plate, image=image) as attributes:
        metadata = attributes.get("ome", attributes)["plate"]
        listed = {entry["path"] for entry in metadata["wells"]} | {well}
        metadata["wells"] = [entry for entry in entries if entry["path"] in listed]


def _below(folder: Location, path: str) -> Location:
    return Location(f"{folder.url}/{path}", folder.storage_options)
