"""Tables of measurements as another zarr format has them, with all that is in them.

Groups and arrays are written anew, whatever backend they are of; other files, as the
rows of a table of csv or parquet, are copied.
"""

import warnings
from typing import TYPE_CHECKING, Any

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.storage.files import files_of, open_group
from fractal_tasks.storage.pixels.stored import METADATA_FILES
from fractal_tasks.storage.plate.formats import ZarrFormat
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.storage.urls import Location

if TYPE_CHECKING:
    import zarr

_IN_BOTH = "biufcT"
"""Kinds of values, as numpy names them, that both zarr formats store."""


def check_convertible(image: OpenImage, name: str) -> None:
    """Find out whether a table can be stored in another zarr format.

    Raises:
        InvalidInputError: It has values that cannot.
    """
    table = open_group(image.url.location / "tables" / name)
    for path, member in _members(table, max_depth=None).items():
        kind = getattr(member, "dtype", None)
        if kind is not None and kind.kind not in _IN_BOTH:
            raise InvalidInputError(
                f"{image.where(f'table {name!r}')}: {path!r} has values of type "
                f"{kind}; what both OME-Zarr versions store are numbers, truth values "
                "and text. Leave output_format.ngff_version out, or remove the "
                "table from the image."
            )


def convert_table(source: Location, target: Location, zarr_format: ZarrFormat) -> None:
    """Write what is in a group of a table into a new group of another zarr format.

    Args:
        source: A table, or a group in it, of which `check_convertible` said nothing.
        target: On this machine, where nothing is yet.
        zarr_format: That of the new group.
    """
    import zarr

    group = open_group(source)
    new = zarr.create_group(
        target.path, zarr_format=zarr_format, attributes=group.attrs.asdict()
    )
    members = _members(group, max_depth=0)
    for name, member in members.items():
        if isinstance(member, zarr.Array):
            _write_array(new, name, member)
        else:
            convert_table(source / name, target / name, zarr_format)
    files = files_of(source)
    for name in set(files.list_folders(source)) - set(members):
        files_of(source, target).copy_folder(source / name, target / name)
    for name in set(files.list_files(source)) - METADATA_FILES:
        files_of(source, target).copy_file(source / name, target / name)


def _members(
    group: "zarr.Group", max_depth: int | None
) -> dict[str, "zarr.Array[Any] | zarr.Group"]:
    with warnings.catch_warnings():
        # Of tables of csv and parquet the rows are a file beside the metadata.
        warnings.filterwarnings("ignore", message="Object at .* is not recognized")
        return dict(group.members(max_depth=max_depth))


def _write_array(group: "zarr.Group", name: str, array: "zarr.Array[Any]") -> None:
    new: zarr.Array[Any] = group.create_array(
        name,
        shape=array.shape,
        chunks=array.chunks,
        dtype=array.metadata.dtype,
        attributes=array.attrs.asdict(),
    )
    new[...] = array[...]
