"""What is in an image of a plate, and whether it is what a task needs."""

import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fractal_tasks.errors import InvalidDataError, InvalidInputError
from fractal_tasks.model import DEFAULT_LEVEL_PATH
from fractal_tasks.storage.files import files_of
from fractal_tasks.storage.library_errors import reading
from fractal_tasks.storage.pixels.stored import METADATA_FILES
from fractal_tasks.storage.plate.levels import (
    LABELS,
    check_inner_paths,
    check_levels,
    check_pixels,
    spacing_of,
    spatial_shape,
)
from fractal_tasks.storage.plate.multiscale import Multiscale
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.storage.upstream import get_label, group_handler_of
from fractal_tasks.storage.urls import Location
from fractal_tasks.transforms.boxes import AXES

if TYPE_CHECKING:
    from ngio import Label

logger = logging.getLogger(__name__)

_DEFAULT_DOWNSAMPLING = 4
"""Of level "2" where each level has half the resolution of the one before."""


def list_tables(image: OpenImage) -> list[str]:
    """List the tables of an image.

    Raises:
        InvalidDataError: The list cannot be read, or a name leads out of the image.
    """
    return _list_names(image, "tables")


def list_labels(image: OpenImage) -> list[str]:
    """List the labels of an image.

    Raises:
        InvalidDataError: The list cannot be read, or a name leads out of the image.
    """
    return _list_names(image, "labels")


def _list_names(image: OpenImage, kind: str) -> list[str]:
    with reading(
        image.where(f"the list of its {kind} cannot be read"),
        f"Correct the attributes of its folder {kind!r}.",
    ):
        names = _read_names(image, kind)
    check_inner_paths(image.url, kind.removesuffix("s"), names)
    return names


def _read_names(image: OpenImage, kind: str) -> list[str]:
    """Read a list of names from a folder of the image.

    ngio takes one that is damaged for one that is empty. What is in the folder would
    then be lost when the image is replaced.
    """
    from ngio.utils import NgioFileNotFoundError

    try:
        group = group_handler_of(image.container).get_handler(
            path=kind, create_mode=False
        )
    except NgioFileNotFoundError:
        if _has_metadata(image.url.location / kind):
            raise
        return []
    attributes = group.load_attrs()
    names = attributes.get("ome", attributes).get(kind, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"found {names!r}, which is no list of names")
    return list(dict.fromkeys(names))


def _has_metadata(folder: Location) -> bool:
    """Whether a folder, or one in it, has metadata of zarr; else all is unknown."""
    files = files_of(folder)
    if not files.exists(folder):
        return False
    folders = [folder, *(folder / name for name in files.list_folders(folder))]
    return any(not METADATA_FILES.isdisjoint(files.list_files(one)) for one in folders)


def open_labels(image: OpenImage, names: Sequence[str]) -> None:
    """Open all levels of labels, which are then known to be whole.

    Raises:
        InvalidDataError: One cannot be opened.
    """
    for name in names:
        where = image.where(f"label {name!r}")
        with reading(
            image.where(f"label {name!r} cannot be opened"),
            "Remove its folder, and its name from the metadata of the folder 'labels', "
            "or segment again.",
        ):
            paths = get_label(image.container, name).meta.paths
            check_inner_paths(image.url, f"label {name!r}, level", paths)
            levels = [get_label(image.container, name, path) for path in paths]
            for label in levels:
                check_pixels(label, image.label_unit_um(label), where, LABELS)
            check_levels(levels, where)
            _check_covers_image(image, levels[0], where)


def _check_covers_image(image: OpenImage, label: "Label", where: str) -> None:
    """Refuse a label that is not one of the whole image, pixel by pixel.

    It would be moved as if its first pixel lay on that of the image.
    """
    others = [axis for axis in label.axes if axis not in {"t", *AXES}]
    if others:
        raise InvalidDataError(
            f"{where} has the axes {list(label.axes)}; needed are z, y and x. Write it "
            f"without {others}."
        )
    spacing_um = np.array(image.label_spacing_um(label))
    multiscale = Multiscale.of(group_handler_of(label).load_attrs())
    _, offset = next(iter(multiscale.levels().values()))
    origin_um = np.multiply(
        multiscale.in_space(offset, 0.0), image.label_unit_um(label)
    )
    # Without a translation it lies where its image does.
    if not origin_um.any():
        origin_um = np.array(image.grid.origin_um)
    start_um = origin_um - image.grid.origin_um
    missing_um = np.multiply(image.shape, image.spacing_um) - np.multiply(
        spatial_shape(label), spacing_um
    )
    # By less than its pixels it may differ: sizes are rounded, and centres told.
    axes = slice(None) if "z" in label.axes else slice(1, None)
    if (np.maximum(np.abs(start_um), np.abs(missing_um)) > spacing_um)[axes].any():
        raise InvalidDataError(
            f"{where} begins at {start_um.tolist()} um of the image and is smaller by "
            f"{missing_um.tolist()} um (z, y, x); needed is one of the whole image. "
            "Extend it, or correct its scale and translation."
        )


def find_level(image: OpenImage, level_path: str) -> int:
    """Give the index of a level among the levels, 0 for full resolution.

    Where the default is not there, it is the level with pixels most nearly four times
    as large as those of full resolution, which the default usually has.

    Raises:
        InvalidInputError: The image has no such level, and it is not the default.
    """
    levels = image.container.level_paths
    if level_path in levels:
        return levels.index(level_path)
    if level_path != DEFAULT_LEVEL_PATH:
        raise InvalidInputError(
            f"{image.where()}: level_path={level_path!r}; the image has the levels "
            f"{levels}. Choose one of these."
        )
    pixels_um = [
        math.sqrt(math.prod(spacing_of(level, image.unit_um)[1:]))
        for level in map(image.container.get_image, levels)
    ]
    wanted_um = _DEFAULT_DOWNSAMPLING * min(pixels_um)
    index = min(
        range(len(levels)), key=lambda one: abs(math.log(pixels_um[one] / wanted_um))
    )
    logger.info(
        "%s has the levels %s: level_path is %r", image.where(), levels, levels[index]
    )
    return index


def check_single_timepoint(image: OpenImage) -> None:
    """Refuse time series.

    Raises:
        InvalidDataError: The image has several timepoints.
    """
    level = image.level
    timepoints = dict(zip(level.axes, level.shape, strict=True)).get("t", 1)
    if timepoints > 1:
        raise InvalidDataError(
            f"{image.where()}: found {timepoints} timepoints; needed is one. Split "
            "the time series into one image per timepoint, and register these."
        )


def check_fill_value(image: OpenImage, fill_value: float) -> None:
    """Check that the pixels of an image can hold `fill_value`.

    Raises:
        InvalidInputError: They cannot.
    """
    dtype = image.level.zarr_array.dtype
    if not _can_hold(dtype, fill_value):
        raise InvalidInputError(
            f"{image.where()}: fill_value={fill_value} cannot be stored in pixels of "
            f"type {dtype}. Choose a value that can, e.g. 0."
        )


def _can_hold(dtype: np.dtype[Any], value: float) -> bool:
    if not np.issubdtype(dtype, np.integer):
        # As Python's float: numpy would cast the value to the dtype, with a warning.
        return not math.isfinite(value) or abs(value) <= float(np.finfo(dtype).max)
    limits = np.iinfo(dtype)
    return value.is_integer() and limits.min <= value <= limits.max
