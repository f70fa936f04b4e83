"""Opening images of a plate, and ROIs of them as patches that are read on demand."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fractal_tasks.errors import InvalidDataError, InvalidInputError
from fractal_tasks.storage.pixels import read_pixels
from fractal_tasks.storage.urls import ImageUrl
from fractal_tasks.transforms.boxes import AXES, PixelBox, box_from_um

if TYPE_CHECKING:
    import zarr
    from ngio import Image, Label, OmeZarrContainer, Roi


def open_image(image: ImageUrl) -> "OmeZarrContainer":
    """Open an image of a plate for reading.

    Raises:
        InvalidDataError: There is no OME-Zarr image at the url.
    """
    from ngio import open_ome_zarr_container
    from ngio.utils import NgioError

    try:
        return open_ome_zarr_container(image.zarr_url, mode="r", cache=True)
    except (NgioError, OSError, KeyError, ValueError) as error:
        raise InvalidDataError(
            f"{image.zarr_url}: found no OME-Zarr image that can be opened ({error}). "
            "Check the zarr_url, and convert the image again if it is damaged."
        ) from error


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
        return True
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


@dataclass(frozen=True)
class RoiPatch:
    """A ROI of one channel at one level; reads its pixels from disk on demand.

    Fulfils `fractal_tasks.registration.patch.Patch`.
    """

    array: "zarr.Array[Any]"
    leading: tuple[int, ...]
    """Index of every axis before the spatial ones (timepoint, channel)."""

    origin: tuple[int, ...]
    """First pixel of the ROI along the spatial axes of the array."""

    shape: tuple[int, ...]
    spacing_um: tuple[float, ...]
    where: str = ""
    """Names the ROI in errors."""

    def read(self, box: tuple[slice, ...]) -> npt.NDArray[np.float32]:
        """Read the pixels of `box` as float32.

        Raises:
            InvalidDataError: A chunk is damaged or cannot be read.
        """
        slices = tuple(
            slice(first + part.start, first + part.stop)
            for first, part in zip(self.origin, box, strict=True)
        )
        pixels = read_pixels(self.array, self.leading + slices, self.where)
        return pixels.astype(np.float32, copy=False)


def channel_pyramid(container: "OmeZarrContainer", channel: int) -> list[RoiPatch]:
    """Give the whole image of one channel as patches of all levels, finest first."""
    return [
        _whole_level(container.get_image(path=path), channel)
        for path in container.level_paths
    ]


def _whole_level(level: "Image", channel: int) -> RoiPatch:
    ndim = 3 if "z" in level.axes else 2
    index = {"t": 0, "c": channel}
    return RoiPatch(
        array=level.zarr_array,
        leading=tuple(index[axis] for axis in level.axes if axis in index),
        origin=(0,) * ndim,
        shape=spatial_shape(level)[-ndim:],
        spacing_um=spacing_of(level)[-ndim:],
    )


def roi_pyramid(
    levels: Sequence[RoiPatch], roi_px: PixelBox, where: str
) -> list[RoiPatch]:
    """Give a ROI as patches of all levels, finest first.

    Args:
        levels: The whole image, from `channel_pyramid`.
        roi_px: The ROI in pixels of level 0.
        where: Names the ROI in errors.
    """
    ndim = len(levels[0].shape)
    start_um = np.multiply(roi_px.start[-ndim:], levels[0].spacing_um)
    length_um = np.multiply(roi_px.shape[-ndim:], levels[0].spacing_um)
    patches = []
    for level in levels:
        start, length = (
            np.floor(np.divide(values, level.spacing_um) + 0.5).astype(int)
            for values in (start_um, length_um)
        )
        shape = np.minimum(length, np.subtract(level.shape, start))
        if shape.min() <= 0:
            break
        origin, size = tuple(start.tolist()), tuple(shape.tolist())
        patches.append(replace(level, origin=origin, shape=size, where=where))
    return patches
