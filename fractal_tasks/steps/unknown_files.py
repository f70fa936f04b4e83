"""What lies in an image and is no part of OME-Zarr or Fractal that is known.

Notes, thumbnails, the metadata of a vendor, labels that no list names: whoever put it
there would miss it in the image that is made from this one.
"""

import logging
import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.storage.files import files_of, open_group
from fractal_tasks.storage.pixels.stored import METADATA_FILES, list_unknown
from fractal_tasks.storage.plate.images import list_labels, list_tables
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.storage.upstream import get_label
from fractal_tasks.storage.urls import Location
from fractal_tasks.transforms.warp import FOLDER

if TYPE_CHECKING:
    from ngio import Image, Label

logger = logging.getLogger(__name__)

_LISTS = {"labels", "ome", "tables"}
"""Attributes of the groups of labels and tables that are written anew."""

_KEY = re.compile(r"(c[/.])?[0-9]+([/.][0-9]+)*")
"""What chunks may be called, in any version."""

_GROUPS = ("", "labels/", "tables/")
"""Groups of which the metadata are written anew."""


def carry_over_unknown(
    source: OpenImage, build: Location, labels: Sequence[str]
) -> None:
    """Copy what is in an image, and is not in the one that is made from it.

    Args:
        source: The image.
        build: The new image, with its labels and tables.
        labels: Names of the labels that are in it.
    """
    paths = source.container.level_paths
    _carry_over(source, build, "", {*paths, "labels", "tables"})
    for path in paths:
        array = source.container.get_image(path=path).zarr_array
        _carry_over_files(source, build, path, list_unknown(array))
    folders = files_of(source.url).list_folders(source.url.location)
    if "labels" in folders:
        _carry_over(source, build, "labels", list_labels(source))
    for name in labels:
        paths = get_label(source.container, name).meta.paths
        _carry_over(source, build, f"labels/{name}", paths)
        for path in paths:
            array = get_label(source.container, name, path).zarr_array
            _carry_over_files(
                source, build, f"labels/{name}/{path}", list_unknown(array)
            )
    if "tables" in folders:
        _carry_over(source, build, "tables", list_tables(source))


def list_rewritten(source: OpenImage, labels: Sequence[str]) -> list[str]:
    """Give files and folders that are written anew, not carried over, as paths in it.

    Args:
        source: The image.
        labels: Names of the labels that are in the image that is made from it.
    """
    return [
        *source.container.level_paths,
        *(f"{inner}{name}" for inner in _GROUPS for name in METADATA_FILES),
        *(f"labels/{name}" for name in labels),
        *(f"tables/{name}" for name in list_tables(source)),
    ]


def check_keys(source: OpenImage, labels: Sequence[str]) -> None:
    """Refuse files that would be chunks among those of another OME-Zarr version.

    Args:
        source: The image.
        labels: Names of the labels that are to be in the other one.

    Raises:
        InvalidInputError: There are some.
    """
    levels: list[Image | Label] = [
        source.container.get_image(path=one) for one in source.container.level_paths
    ]
    for name in labels:
        paths = get_label(source.container, name).meta.paths
        levels += [get_label(source.container, name, path) for path in paths]
    for level in levels:
        for key in list_unknown(level.zarr_array):
            if _KEY.fullmatch(key):
                raise InvalidInputError(
                    f"{source.zarr_url}: found {level.zarr_array.path}/{key}, "
                    "which is no chunk here, and would be one in another OME-Zarr "
                    "version. Remove it, or leave output_format.ngff_version out."
                )


def _carry_over(
    source: OpenImage, build: Location, inner: str, known: Collection[str]
) -> None:
    """Copy files and folders of a folder of the image, but for those that are known."""
    import zarr

    folder, target = source.url.location, build
    if inner:
        folder, target = folder / inner, build / inner
    files = files_of(folder)
    tops = {name.split("/")[0] for name in known}
    names = [name for name in files.list_folders(folder) if name not in tops]
    others = [name for name in files.list_files(folder) if name not in METADATA_FILES]
    attributes = {
        key: value
        for key, value in _read_attributes(folder).items()
        if key not in _LISTS
    }
    if inner and (names or others or attributes):
        store = files_of(build).open_store(build, read_only=False)
        group = zarr.open_group(store, mode="r+").require_group(inner)
        group.attrs.put({**attributes, **group.attrs.asdict()})
    # Links stay what they are, and may lead back to where they lie.
    links = [name for name in names if files.is_link(folder / name)]
    for name in names:
        if name not in links and not files_of(target).exists(target / name):
            _report(source, f"{inner}/{name}")
            files_of(folder, target).copy_folder(folder / name, target / name)
    _carry_over_files(source, build, inner, [*links, *others])


def _read_attributes(folder: Location) -> dict[str, Any]:
    """Read the attributes of a group; a folder that is none has no attributes."""
    from zarr.errors import GroupNotFoundError

    try:
        return open_group(folder).attrs.asdict()
    except GroupNotFoundError:
        return {}


def _carry_over_files(
    source: OpenImage, build: Location, inner: str, names: Sequence[str]
) -> None:
    """Copy files of a folder of the image, or of folders in it."""
    for name in names:
        path = f"{inner}/{name}".lstrip("/")
        if not files_of(build).exists(build / path):
            _report(source, path)
            files_of(source.url, build).copy_file(
                source.url.location / path, build / path
            )


def _report(source: OpenImage, path: str) -> None:
    if path.lstrip("/") == FOLDER:  # that of the transforms in its tables
        return
    logger.warning(
        "%s: %r is not known, and is carried over unchanged",
        source.zarr_url,
        path.lstrip("/"),
    )
