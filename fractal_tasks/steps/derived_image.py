"""Write an image that is made from another one, with all that the other one holds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.model import USUAL_LENGTH_UNIT, Grid
from fractal_tasks.model.output_format import OutputFormat
from fractal_tasks.steps.unknown_files import carry_over_unknown
from fractal_tasks.storage.files import files_of, open_group
from fractal_tasks.storage.library_errors import reading
from fractal_tasks.storage.pixels.block_source import BlockSource
from fractal_tasks.storage.pixels.pyramid import write_pyramid
from fractal_tasks.storage.plate.formats import (
    array_options,
    in_format,
    zarr_format_of,
)
from fractal_tasks.storage.plate.multiscale import with_origins, with_unit
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.storage.plate.roi_table_data import RECORD_KEY
from fractal_tasks.storage.plate.roi_tables import own_columns_known
from fractal_tasks.storage.upstream import finished_writes, get_label, open_container
from fractal_tasks.storage.urls import ImageUrl, Location
from fractal_tasks.transforms import Vector

if TYPE_CHECKING:
    import zarr
    from ngio import Image, Label, OmeZarrContainer


_MASK_TYPE = "uint8"

_AS_SOURCE = OutputFormat()


def write_derived_image(
    source: OpenImage,
    target: ImageUrl,
    *,
    pixels: BlockSource,
    labels: Mapping[str, BlockSource],
    masks: Mapping[str, BlockSource] = MappingProxyType({}),
    grid: Grid | None = None,
    output_format: OutputFormat = _AS_SOURCE,
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
        pixels: Level 0 of the new image; it may be larger or smaller.
        labels: Level 0 of each label of it, by name of the label in `source` that
            gives its levels and metadata, and can be opened. Labels that are left out
            are not written.
        masks: Level 0 of further labels, by names that no label of `source` has, of the
            pixels of the new image: 8-bit integers.
        grid: Where the pixels of the new image lie, and how large they are. Left out,
            they are those of the source.
        output_format: How it is stored; `check_format` has been asked.
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
            validate=lambda build: _validate(source, pixels, labels, masks, build),
        ) as location,
        finished_writes(),
        # Threads write side by side: more would only wait for each other.
        threadpool_limits(1, "blas"),
    ):
        build = _create_like(source, location, pixels, grid, record, output_format)
        levels = [
            build.container.get_image(path=path).zarr_array
            for path in source.container.level_paths
        ]
        write_pyramid(levels, pixels, downsampling="mean")
        for name, label in labels.items():
            _write_label(source, build, name, label, grid, output_format)
        for name, mask in masks.items():
            _write_mask(source, build, name, mask, grid)
        write_tables(location)
        carry_over_unknown(source, location, list(labels))


def is_whole(
    source: OpenImage,
    target: ImageUrl,
    pixels: BlockSource,
    labels: Mapping[str, BlockSource],
    masks: Mapping[str, BlockSource],
) -> bool:
    """Whether a derived image still has its levels, labels and tables.

    Chunks are not looked at: one that is not there holds the fill value.
    """
    try:
        with reading(f"{target.zarr_url}: cannot be read", "Make it again."):
            _validate(source, pixels, labels, masks, target.location)
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
    source: OpenImage,
    build: Location,
    pixels: BlockSource,
    grid: Grid | None,
    record: Mapping[str, Any],
    output_format: OutputFormat,
) -> _Build:
    """Create empty levels with the metadata of the source."""
    import zarr

    old = open_group(source.url.location)
    store = files_of(build).open_store(build, read_only=False)
    # A group, as ngio itself would refuse a place where the marker of a build lies.
    zarr_format = zarr_format_of(source.level, output_format)
    group = zarr.create_group(store, zarr_format=zarr_format)
    shape = _new_shape(source.level, pixels)
    options = array_options(source.level, output_format, source.where())
    source.container.derive_image(group, shape=shape, **options)
    # With all attributes, also those ngio does not know: they hold for both.
    attributes = {**old.attrs.asdict(), RECORD_KEY: dict(record)}
    if grid is not None:
        attributes = _on_grid(attributes, grid, source, source.unit_um)
    if _has_given_unit(source):
        attributes = with_unit(attributes, source.missing_unit)
    group.attrs.put(in_format(attributes, zarr_format))
    container = open_container(group, "r+")
    return _Build(build, group, container)


def _on_grid(
    attributes: Mapping[str, Any], grid: Grid, source: OpenImage, unit_um: Vector
) -> dict[str, Any]:
    """Give the attributes of the image, or of a label, with the pixels of a grid.

    Args:
        attributes: As they are in the source.
        grid: The pixels of the new image.
        source: The image that it is made from.
        unit_um: How many micrometres one unit in the attributes is.
    """
    z, y, x = np.divide(grid.spacing_um, source.spacing_um).tolist()
    return with_origins(attributes, grid.origin_of, unit_um, (z, y, x))


def _has_given_unit(source: OpenImage) -> bool:
    """Whether a unit was given for the image; not only that micrometres are assumed."""
    return not source.multiscale.has_unit and source.missing_unit != USUAL_LENGTH_UNIT


def _new_shape(level: "Image | Label", pixels: BlockSource) -> Sequence[int] | None:
    """Give the shape for ngio; None for that of the source, with all its levels.

    Levels of another shape ngio computes, which may round in another way.
    """
    return None if pixels.shape == level.shape else pixels.shape


def _write_label(
    source: OpenImage,
    build: _Build,
    name: str,
    pixels: BlockSource,
    grid: Grid | None,
    output_format: OutputFormat,
) -> None:
    import zarr

    old = get_label(source.container, name)
    paths = old.meta.paths
    options = array_options(old, output_format, source.where(f"label {name!r}"))
    options = {"dtype": str(old.zarr_array.dtype), **options}
    build.container.derive_label(
        name, ref_image=old, shape=_new_shape(old, pixels), **options
    )
    attributes = open_group(source.url.location / "labels" / name).attrs.asdict()
    if grid is not None:
        attributes = _on_grid(attributes, grid, source, source.label_unit_um(old))
    if _has_given_unit(source):
        attributes = with_unit(attributes, source.missing_unit)
    group = zarr.open_group(build.group.store, path=f"labels/{name}", mode="r+")
    group.attrs.put(in_format(attributes, zarr_format_of(old, output_format)))
    levels = [get_label(build.container, name, path).zarr_array for path in paths]
    write_pyramid(levels, pixels, downsampling="nearest")


def _write_mask(
    source: OpenImage,
    build: _Build,
    name: str,
    pixels: BlockSource,
    grid: Grid | None,
) -> None:
    import zarr

    label = build.container.derive_label(name, shape=pixels.shape, dtype=_MASK_TYPE)
    group = zarr.open_group(build.group.store, path=f"labels/{name}", mode="r+")
    if grid is not None:
        # Its pixels have the size of the image's already.
        moved = with_origins(group.attrs.asdict(), grid.origin_of, source.unit_um)
        group.attrs.put(moved)
    levels = [
        get_label(build.container, name, path).zarr_array for path in label.meta.paths
    ]
    write_pyramid(levels, pixels, downsampling="nearest")


def _validate(
    source: OpenImage,
    pixels: BlockSource,
    labels: Mapping[str, BlockSource],
    masks: Mapping[str, BlockSource],
    build: Location,
) -> None:
    """Reopen a derived image and compare it with what it was made from.

    Raises:
        InvalidDataError: Levels, shape, data types or labels differ.
    """
    built = open_container(files_of(build).open_store(build))
    found = _describe(built, built.list_labels())
    needed = _describe(source.container, list(labels))
    shapes = {"image": pixels.shape} | {
        f"label {name!r}": label.shape for name, label in labels.items()
    }
    for name, shape in shapes.items():
        needed[name] = (shape, needed[name][1])
    paths = source.container.level_paths
    for name, mask in masks.items():
        needed[f"label {name!r}"] = (mask.shape, dict.fromkeys(paths, _MASK_TYPE))
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
) -> dict[str, tuple[tuple[int, ...], dict[str, str]]]:
    """Give the shape and the type of every level, of the image and of its labels."""
    described = {"image": _describe_levels(container.get_image, container.level_paths)}
    for name in sorted(labels):
        paths = get_label(container, name).meta.paths
        described[f"label {name!r}"] = _describe_levels(
            partial(get_label, container, name), paths
        )
    return described


def _describe_levels(
    open_level: Callable[..., "Image | Label"], paths: Sequence[str]
) -> tuple[tuple[int, ...], dict[str, str]]:
    levels = {path: open_level(path=path) for path in paths}
    # Whatever the order of the bytes.
    types = {path: level.zarr_array.dtype.name for path, level in levels.items()}
    return levels[paths[0]].shape, types
