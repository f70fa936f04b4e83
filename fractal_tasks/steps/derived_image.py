"""Write an image that is made from another one, with all that the other one holds."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.storage.files import files_of, open_group
from fractal_tasks.storage.library_errors import reading
from fractal_tasks.storage.pixels.block_source import BlockSource
from fractal_tasks.storage.pixels.pyramid import write_pyramid
from fractal_tasks.storage.plate.images import list_labels, list_tables
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.storage.plate.roi_tables import RECORD_KEY, own_columns_known
from fractal_tasks.storage.upstream import finished_writes, open_container
from fractal_tasks.storage.urls import ImageUrl, Location

if TYPE_CHECKING:
    import zarr
    from ngio import OmeZarrContainer

logger = logging.getLogger(__name__)

_HANDLED_FOLDERS = {"labels", "tables"}


def write_derived_image(
    source: OpenImage,
    target: ImageUrl,
    *,
    pixels: BlockSource,
    labels: Mapping[str, BlockSource],
    write_tables: Callable[[Location], None],
    record: Mapping[str, Any],
) -> None:
    """Write an image with the levels, channels and metadata of another one.

    It is built beside the target, checked, and put in its place in one step. What
    neither OME-Zarr nor Fractal knows is carried over unchanged.

    Args:
        source: What it is made from.
        target: `source` itself, to take its place, or another image of its well. The
            caller holds its lock.
        pixels: Level 0 of the new image.
        labels: Level 0 of each label of it, by name of the label in `source` that
            gives its levels and metadata, and can be opened. Labels that are left out
            are not written.
        write_tables: Gets the location of the build with pixels and labels, and
            writes its tables.
        record: What is stored in the attributes of the new image.

    Raises:
        InvalidDataError: A chunk, label or table of the source cannot be read, or what
            was written is not what was to be.
        PublishError: Writing failed; what was at the target is untouched.
    """
    with (
        files_of(target).replace_image(
            target,
            input_image=source.url.image_path,
            validate=lambda build: _validate(source, list(labels), build),
        ) as location,
        finished_writes(),
    ):
        build = _create_like(source, location, record)
        levels = [
            build.container.get_image(path=path).zarr_array
            for path in source.container.level_paths
        ]
        write_pyramid(levels, pixels, downsampling="mean")
        for name, label in labels.items():
            _write_label(source, build, name, label)
        write_tables(location)
        _copy_unlisted(source, build, "labels", list_labels(source))
        _copy_unlisted(source, build, "tables", list_tables(source))


def is_whole(source: OpenImage, target: ImageUrl, labels: Sequence[str]) -> bool:
    """Whether a derived image still has its levels, labels and tables.

    Chunks are not looked at: one that is not there holds the fill value.
    """
    try:
        with reading(f"{target.zarr_url}: cannot be read", "Make it again."):
            _validate(source, labels, target.location)
    except InvalidDataError:
        return False
    return True


@dataclass(frozen=True)
class _Build:
    """The derived image while it is written."""

    location: Location
    group: "zarr.Group"
    container: "OmeZarrContainer"


def _create_like(
    source: OpenImage, build: Location, record: Mapping[str, Any]
) -> _Build:
    """Create empty levels with the metadata of the source, and foreign folders."""
    import zarr

    old = open_group(source.url.location)
    store = files_of(build).open_store(build, read_only=False)
    # A group, as ngio itself would refuse a place where the marker of a build lies.
    group = zarr.create_group(store, zarr_format=old.metadata.zarr_format)
    source.container.derive_image(group)
    # With all attributes, also those ngio does not know: they hold for both.
    group.attrs.put({**old.attrs.asdict(), RECORD_KEY: dict(record)})
    container = open_container(group, "r+")
    known = {path.split("/")[0] for path in source.container.level_paths}
    files = files_of(source.url, build)
    for name in files_of(source.url).list_folders(source.url.location):
        if name not in known | _HANDLED_FOLDERS:
            logger.warning(
                "%s: folder %r is carried over unchanged", source.zarr_url, name
            )
            files.copy_folder(source.url.location / name, build / name)
    return _Build(build, group, container)


def _write_label(
    source: OpenImage, build: _Build, name: str, pixels: BlockSource
) -> None:
    import zarr

    old = source.container.get_label(name)
    paths = old.meta.paths
    build.container.derive_label(name, ref_image=old, dtype=str(old.zarr_array.dtype))
    attributes = open_group(source.url.location / "labels" / name).attrs.asdict()
    group = zarr.open_group(build.group.store, path=f"labels/{name}", mode="r+")
    group.attrs.put(attributes)
    levels = [build.container.get_label(name, path=path).zarr_array for path in paths]
    write_pyramid(levels, pixels, downsampling="nearest")


def _copy_unlisted(
    source: OpenImage, build: _Build, kind: str, listed: Sequence[str]
) -> None:
    """Carry over labels or tables that are there, but that no list names."""
    folder = source.url.location / kind
    if kind not in files_of(source.url).list_folders(source.url.location):
        return
    known = {name.split("/")[0] for name in listed}
    for name in files_of(source.url).list_folders(folder):
        target = build.location / kind / name
        if name not in known and not files_of(target).exists(target):
            logger.warning(
                "%s: %r is not listed in %r, and is carried over unchanged",
                source.zarr_url,
                name,
                kind,
            )
            build.group.require_group(kind)
            files_of(folder, target).copy_folder(folder / name, target)


def _validate(source: OpenImage, labels: Sequence[str], build: Location) -> None:
    """Reopen a derived image and compare it with what it was made from.

    Raises:
        InvalidDataError: Levels, shapes, data types or labels differ.
    """
    built = open_container(files_of(build).open_store(build))
    found = _describe(built, built.list_labels())
    needed = _describe(source.container, labels)
    if found != needed:
        raise InvalidDataError(
            f"{source.zarr_url}: the image made from it in {build.url} has {found}; "
            f"needed is {needed}. The image itself is untouched."
        )
    for name in built.list_tables():
        # Most of them, and so their damage, come from the image.
        with (
            reading(
                f"{source.zarr_url}: table {name!r} cannot be read",
                "Remove it from the image, or make it again.",
            ),
            own_columns_known(),
        ):
            built.get_table(name).set_table_data()


def _describe(
    container: "OmeZarrContainer", labels: Sequence[str]
) -> dict[str, list[tuple[tuple[int, ...], str]]]:
    """Give shape and type of every level, of the image and of its labels."""
    levels = [container.get_image(path=path) for path in container.level_paths]
    described = {
        "image": [(level.shape, str(level.zarr_array.dtype)) for level in levels]
    }
    for name in sorted(labels):
        paths = container.get_label(name).meta.paths
        described[f"label {name!r}"] = [
            (label.shape, str(label.zarr_array.dtype))
            for label in (container.get_label(name, path=path) for path in paths)
        ]
    return described
