"""What lies in an image and is no part of OME-Zarr or Fractal that is known.

Notes, thumbnails, the metadata of a vendor, labels that no list names: whoever put it
there would miss it in the image that is made from this one.
"""

import logging
from collections.abc import Collection, Sequence

from fractal_tasks.storage.files import files_of, open_group
from fractal_tasks.storage.plate.images import list_labels, list_tables
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.storage.urls import Location

logger = logging.getLogger(__name__)

_OF_ZARR = {".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json"}
_LISTS = {"labels", "ome", "tables"}
"""Attributes of the groups of labels and tables that are written anew."""


def carry_over_unknown(
    source: OpenImage, build: Location, labels: Sequence[str]
) -> None:
    """Copy what is in an image, and is not in the one that is made from it.

    Args:
        source: The image.
        build: The new image, with its labels and tables.
        labels: Names of the labels that are in it.
    """
    levels = source.container.level_paths
    _carry_over(source, build, "", {*levels, "labels", "tables"})
    folders = files_of(source.url).list_folders(source.url.location)
    if "labels" in folders:
        _carry_over(source, build, "labels", list_labels(source))
    for name in labels:
        paths = source.container.get_label(name).meta.paths
        _carry_over(source, build, f"labels/{name}", paths)
    if "tables" in folders:
        _carry_over(source, build, "tables", list_tables(source))


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
    others = [name for name in files.list_files(folder) if name not in _OF_ZARR]
    attributes = {
        key: value
        for key, value in open_group(folder).attrs.asdict().items()
        if key not in _LISTS
    }
    if inner and (names or others or attributes):
        store = files_of(build).open_store(build, read_only=False)
        group = zarr.open_group(store, mode="r+").require_group(inner)
        group.attrs.put({**attributes, **group.attrs.asdict()})
    copying = files_of(folder, target)
    for name in (*names, *others):
        if files_of(target).exists(target / name):
            continue
        logger.warning(
            "%s: %r is not known, and is carried over unchanged",
            source.zarr_url,
            f"{inner}/{name}".lstrip("/"),
        )
        copy = copying.copy_folder if name in names else copying.copy_file
        copy(folder / name, target / name)
