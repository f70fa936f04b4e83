"""Building the registered image: pixels, labels and tables, from its own image only."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.storage.blockwise import BoxCopy, write_registered
from fractal_tasks.storage.images import (
    list_labels,
    list_tables,
    spacing_of,
    spatial_shape,
)
from fractal_tasks.storage.moved_tables import write_registered_tables
from fractal_tasks.storage.plans import RegistrationPlan, RoiMove
from fractal_tasks.storage.publish import replace_directory
from fractal_tasks.storage.reading import reading
from fractal_tasks.storage.roi_tables import RECORD_KEY, own_columns_known
from fractal_tasks.storage.stores import (
    copy_folder,
    exists,
    list_folders,
    open_group,
    open_store,
)
from fractal_tasks.storage.urls import ImageUrl, Location

if TYPE_CHECKING:
    from ngio import Image, Label, OmeZarrContainer

logger = logging.getLogger(__name__)

_HANDLED_FOLDERS = {"labels", "tables"}


@dataclass(frozen=True)
class SourceImage:
    """The image to be registered, and what of it is registered."""

    url: ImageUrl
    container: "OmeZarrContainer"
    labels: tuple[str, ...]
    """Names of the labels that are registered along."""


def build_registered_image(
    source: SourceImage,
    build: Location,
    plan: RegistrationPlan,
    record: dict[str, Any],
) -> None:
    """Write the registered version of an image into the new folder `build`.

    Args:
        source: The image as it is.
        build: Where there is no zarr group yet.
        plan: Which pixels go where.
        record: What is stored in the attributes of the new image.
    """
    image = source.container
    old_group = open_group(source.url.location)
    # A group, as ngio itself would refuse a place where the marker of a build lies.
    group = zarr.create_group(
        open_store(build, read_only=False), zarr_format=old_group.metadata.zarr_format
    )
    target = image.derive_image(group)
    # With all attributes, also those ngio does not know: they hold for both.
    group.attrs.put({**old_group.attrs.asdict(), RECORD_KEY: record})
    _copy_foreign_folders(source, build)
    _warn_overlaps(source.url, plan)
    write_registered(
        image.get_image().zarr_array,
        [target.get_image(path=path).zarr_array for path in image.level_paths],
        _copies(image.get_image(), plan),
        downsampling="mean",
        fill_value=plan.fill_value,
    )
    for name in source.labels:
        _write_label(source, target, group, name, plan)
    write_registered_tables(source.container, source.url, build, plan, source.labels)
    for kind, listed in (
        ("labels", list_labels(image, source.url)),
        ("tables", list_tables(image, source.url)),
    ):
        _copy_unlisted(source.url, group, build, kind, listed)


def _copy_foreign_folders(source: SourceImage, build: Location) -> None:
    """Carry over folders of the image that neither NGFF nor Fractal know."""
    known = {path.split("/")[0] for path in source.container.level_paths}
    for name in list_folders(source.url.location):
        if name not in known | _HANDLED_FOLDERS:
            logger.warning(
                "%s: folder %r is carried over unchanged", source.url.zarr_url, name
            )
            copy_folder(source.url.location / name, build / name)


def _copy_unlisted(
    url: ImageUrl, group: zarr.Group, build: Location, kind: str, listed: Sequence[str]
) -> None:
    """Carry over labels or tables that are there, but that no list names."""
    if kind not in list_folders(url.location):
        return
    known = {name.split("/")[0] for name in listed}
    for name in list_folders(url.location / kind):
        target = build / kind / name
        if name not in known and not exists(target):
            logger.warning(
                "%s: %r is not listed in %r, and is carried over unchanged",
                url.zarr_url,
                name,
                kind,
            )
            group.require_group(kind)
            copy_folder(url.location / kind / name, target)


def _warn_overlaps(url: ImageUrl, plan: RegistrationPlan) -> None:
    moves = list(plan.moves.items())
    overlapping = [
        f"{name!r} and {other!r}"
        for index, (name, move) in enumerate(moves)
        for other, other_move in moves[index + 1 :]
        if not move.destination.intersection(other_move.destination).is_empty
    ]
    if overlapping:
        logger.warning(
            "%s: ROIs overlap; where they do, the later one is kept: %s",
            url.zarr_url,
            ", ".join(overlapping),
        )


def _copies(level: "Image | Label", plan: RegistrationPlan) -> list[BoxCopy]:
    ndim = 3 if "z" in level.axes else 2
    return [
        BoxCopy(move.source.slices(ndim), move.destination.slices(ndim), name)
        for name, move in plan.moves.items()
    ]


def _write_label(
    source: SourceImage,
    target: "OmeZarrContainer",
    group: zarr.Group,
    name: str,
    plan: RegistrationPlan,
) -> None:
    old = source.container.get_label(name)
    paths = old.meta.paths
    target.derive_label(name, ref_image=old, dtype=str(old.zarr_array.dtype))
    attributes = open_group(source.url.location / "labels" / name).attrs.asdict()
    zarr.open_group(group.store, path=f"labels/{name}", mode="r+").attrs.put(attributes)
    new = [target.get_label(name, path=path).zarr_array for path in paths]
    image_spacing_um = spacing_of(source.container.get_image())
    write_registered(
        old.zarr_array,
        new,
        [
            copy
            for roi, move in plan.moves.items()
            if (copy := _label_copy(roi, move, image_spacing_um, old)) is not None
        ],
        downsampling="nearest",
    )


def _label_copy(
    roi: str,
    move: RoiMove,
    image_spacing_um: tuple[float, float, float],
    label: "Label",
) -> BoxCopy | None:
    """Give the copy at the label's own pixel size: nearest neighbour.

    A label pixel belongs to the ROI its centre lies in. None if there is none.
    """
    ratio = np.divide(image_spacing_um, spacing_of(label))
    start = np.ceil(np.multiply(move.destination.start, ratio) - 0.5)
    stop = np.ceil(np.multiply(move.destination.stop, ratio) - 0.5)
    shift = np.floor(np.multiply(move.shift_px, ratio) + 0.5)
    shape = spatial_shape(label)
    start = np.maximum.reduce([start, shift, np.zeros(3)])
    stop = np.minimum.reduce([stop, shape + shift, np.array(shape, dtype=float)])
    if np.any(stop <= start):
        return None
    ndim = 3 if "z" in label.axes else 2
    boxes = [
        tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))[-ndim:]
        for first, last in ((start - shift, stop - shift), (start, stop))
    ]
    return BoxCopy(source=boxes[0], destination=boxes[1], roi=roi)


@contextmanager
def replace_image(
    target: ImageUrl, *, input_image: str, validate: Callable[[Location], None]
) -> Iterator[Location]:
    """Give a location to build an image; put it in the place of the target at the end.

    In an object store that is the target itself.

    Args:
        target: The image to replace or to add.
        input_image: Path in the well of the image that it is made from.
        validate: Reopens the build and raises if it is not what it should be.
    """
    if target.is_remote:
        from fractal_tasks.storage.remote_images import build_image

        with build_image(target, input_image=input_image, validate=validate) as build:
            yield build
        return
    with replace_directory(
        target.path,
        image=target.path,
        validate=lambda folder: validate(Location(str(folder))),
    ) as folder:
        yield Location(str(folder))


def validate_registered_image(source: SourceImage, build: Location) -> None:
    """Reopen a registered image and compare it with what it was made from.

    Raises:
        InvalidDataError: Levels, shapes, data types or labels differ.
    """
    from ngio import open_ome_zarr_container

    built = open_ome_zarr_container(open_store(build), mode="r", cache=True)
    found = _describe(built, tuple(built.list_labels()))
    needed = _describe(source.container, source.labels)
    if found != needed:
        raise InvalidDataError(
            f"{source.url.zarr_url}: the registered image in {build.url} has {found}; "
            f"needed is {needed}. The image itself is untouched."
        )
    for name in built.list_tables():
        # Most of them, and so their damage, come from the image.
        with (
            reading(
                f"{source.url.zarr_url}: table {name!r} cannot be read",
                "Remove it from the image, or make it again.",
            ),
            own_columns_known(),
        ):
            built.get_table(name).set_table_data()


def _describe(
    container: "OmeZarrContainer", labels: Sequence[str]
) -> dict[str, list[tuple[tuple[int, ...], str]]]:
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
