"""Opening images of a plate, and checking that they are what a task needs."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fractal_tasks.errors import InvalidDataError, InvalidInputError
from fractal_tasks.storage.reading import reading
from fractal_tasks.storage.stores import exists, open_store
from fractal_tasks.storage.urls import ImageUrl, is_inner_path
from fractal_tasks.transforms.boxes import AXES, PixelBox, box_from_um

if TYPE_CHECKING:
    from ngio import Image, Label, OmeZarrContainer, Roi


MIN_PIXEL_UM, MAX_PIXEL_UM = 1e-6, 1e6
"""From a picometre to a metre: anything else is damaged metadata."""


def open_image(image: ImageUrl) -> "OmeZarrContainer":
    """Open an image of a plate for reading.

    Raises:
        InvalidDataError: There is no OME-Zarr image at the url.
    """
    from ngio import open_ome_zarr_container

    store = open_store(image.location)
    with reading(
        f"{image.zarr_url}: found no OME-Zarr image that can be opened",
        "Check the zarr_url, and convert the image again if it is damaged.",
    ):
        container = open_ome_zarr_container(store, mode="r", cache=True)
        paths = container.level_paths
        _check_inner_paths(image, "level", paths)
        # They are kept: whoever asks for one later does not read it again.
        for path in paths:
            _check_level(image, container.get_image(path=path))
    return container


def list_tables(container: "OmeZarrContainer", image: ImageUrl) -> list[str]:
    """List the tables of an image.

    Raises:
        InvalidDataError: The list cannot be read, or a name leads out of the image.
    """
    return _list_names(container, image, "tables")


def list_labels(container: "OmeZarrContainer", image: ImageUrl) -> list[str]:
    """List the labels of an image.

    Raises:
        InvalidDataError: The list cannot be read, or a name leads out of the image.
    """
    return _list_names(container, image, "labels")


def _list_names(container: "OmeZarrContainer", image: ImageUrl, kind: str) -> list[str]:
    with reading(
        f"{image.zarr_url}: the list of its {kind} cannot be read",
        f"Correct the attributes of its folder {kind!r}.",
    ):
        names = _read_names(container, image, kind)
    _check_inner_paths(image, kind.removesuffix("s"), names)
    return names


def _read_names(container: "OmeZarrContainer", image: ImageUrl, kind: str) -> list[str]:
    """Read a list of names from a folder of the image.

    ngio takes one that is damaged for one that is empty. What is in the folder would
    then be lost when the image is replaced.
    """
    from ngio.utils import NgioFileNotFoundError

    try:
        group = container._group_handler.get_handler(path=kind, create_mode=False)
    except NgioFileNotFoundError:
        if exists(image.location / kind):
            raise
        return []
    attributes = group.load_attrs()
    names = attributes.get("ome", attributes).get(kind, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"found {names!r}, which is no list of names")
    return list(dict.fromkeys(names))


def open_labels(
    container: "OmeZarrContainer", image: ImageUrl, names: Sequence[str]
) -> None:
    """Open all levels of labels, which are then known to be whole.

    Raises:
        InvalidDataError: One cannot be opened.
    """
    for name in names:
        with reading(
            f"{image.zarr_url}: label {name!r} cannot be opened",
            "Remove it from the image, or segment again.",
        ):
            paths = container.get_label(name).meta.paths
            _check_inner_paths(image, f"label {name!r}, level", paths)
            for path in paths:
                _check_level(image, container.get_label(name, path=path))


def _check_level(image: ImageUrl, level: "Image | Label") -> None:
    dtype = level.zarr_array.dtype
    if not np.issubdtype(dtype, np.integer) and not np.issubdtype(dtype, np.floating):
        raise InvalidDataError(
            f"{image.zarr_url}: level {level.path!r} has pixels of type {dtype}; "
            "needed are integers or real numbers. Convert the image again."
        )
    size_um = spacing_of(level)
    if not all(MIN_PIXEL_UM <= value <= MAX_PIXEL_UM for value in size_um):
        raise InvalidDataError(
            f"{image.zarr_url}: level {level.path!r} has pixels of {size_um} um (z, y, "
            f"x); needed are {MIN_PIXEL_UM} to {MAX_PIXEL_UM} um. Correct the scale in "
            "the metadata."
        )


def _check_inner_paths(image: ImageUrl, what: str, paths: Sequence[str]) -> None:
    """Refuse what an image's metadata name, but could not be inside the image."""
    for path in paths:
        if not is_inner_path(path):
            raise InvalidDataError(
                f"{image.zarr_url}: {what} {path!r} in the metadata; needed is a path "
                "inside the image, without '..', '.' or empty parts. Correct the "
                "metadata, and do not trust who made them."
            )


def check_level(container: "OmeZarrContainer", image: ImageUrl, level_path: str) -> int:
    """Give the index of `level_path` among the levels, 0 for full resolution.

    Raises:
        InvalidInputError: The image has no such level.
    """
    levels = container.level_paths
    if level_path not in levels:
        raise InvalidInputError(
            f"{image.zarr_url}: level_path={level_path!r}; the image has the levels "
            f"{levels}. Choose one of these."
        )
    return levels.index(level_path)


def find_channel(
    container: "OmeZarrContainer", image: ImageUrl, wavelength_id: str
) -> int:
    """Give the index of the channel with `wavelength_id`.

    Raises:
        InvalidInputError: There is not exactly one such channel.
    """
    found = container.wavelength_ids
    if found.count(wavelength_id) != 1:
        raise InvalidInputError(
            f"{image.zarr_url}: wavelength_id={wavelength_id!r}; the image has the "
            f"wavelengths {found}, and exactly one match is needed. Choose the channel "
            "of a stain that is in every acquisition, e.g. the nuclear stain."
        )
    return found.index(wavelength_id)


def check_single_timepoint(container: "OmeZarrContainer", image: ImageUrl) -> None:
    """Refuse time series.

    Raises:
        InvalidDataError: The image has several timepoints.
    """
    level = container.get_image()
    timepoints = dict(zip(level.axes, level.shape, strict=True)).get("t", 1)
    if timepoints > 1:
        raise InvalidDataError(
            f"{image.zarr_url}: found {timepoints} timepoints; needed is one. Split "
            "the time series into one image per timepoint, and register these."
        )


def check_fill_value(
    container: "OmeZarrContainer", image: ImageUrl, fill_value: float
) -> None:
    """Check that the pixels of an image can hold `fill_value`.

    Raises:
        InvalidInputError: They cannot.
    """
    dtype = container.get_image().zarr_array.dtype
    if not _can_hold(dtype, fill_value):
        raise InvalidInputError(
            f"{image.zarr_url}: fill_value={fill_value} cannot be stored in pixels of "
            f"type {dtype}. Choose a value that can, e.g. 0."
        )


def _can_hold(dtype: np.dtype[Any], value: float) -> bool:
    if not np.issubdtype(dtype, np.integer):
        return not math.isfinite(value) or abs(value) <= np.finfo(dtype).max
    limits = np.iinfo(dtype)
    return value.is_integer() and limits.min <= value <= limits.max


def spacing_of(level: "Image | Label") -> tuple[float, float, float]:
    """Give the pixel size of a level in um (z, y, x)."""
    size = level.pixel_size
    return size.z, size.y, size.x


def spatial_shape(level: "Image | Label") -> tuple[int, int, int]:
    """Give the number of pixels along z, y, x; 1 for an axis the image lacks."""
    sizes = dict(zip(level.axes, level.shape, strict=True))
    z, y, x = (sizes.get(axis, 1) for axis in AXES)
    return z, y, x


def roi_to_pixels(roi: "Roi", level: "Image", where: str) -> PixelBox:
    """Round a ROI to whole pixels of a level and check that the image holds it.

    A ROI without z, or an image without a z axis, gives all planes.

    Raises:
        InvalidDataError: The box is empty or reaches out of the image.
    """
    shape = spatial_shape(level)
    spacing_um = spacing_of(level)
    start, length = roi_extent_um(roi, level)
    box = box_from_um(start, length, spacing_um)
    whole = PixelBox((0, 0, 0), shape)
    if box.is_empty or box.intersection(whole) != box:
        raise InvalidDataError(
            f"{where}: found a ROI of pixels {box.to_lists()} (z, y, x); needed is at "
            f"least one pixel, inside the image of {shape} pixels. Correct the ROI "
            "table, or choose another."
        )
    return box


def roi_extent_um(
    roi: "Roi", level: "Image"
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Give start and length of a ROI in um (z, y, x); open ends reach to the border."""
    whole = np.array(spatial_shape(level)) * np.array(spacing_of(level))
    start, length = np.zeros(3), whole.copy()
    for index, axis in enumerate(AXES):
        part = roi.get(axis)
        if part is None or axis not in level.axes:
            continue
        start[index] = part.start or 0.0
        length[index] = (
            whole[index] - start[index] if part.length is None else part.length
        )
    return start, length
