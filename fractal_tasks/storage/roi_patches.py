"""ROIs of an image as patches that are read on demand."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fractal_tasks.storage.images import spacing_of, spatial_shape
from fractal_tasks.storage.pixels import read_pixels
from fractal_tasks.transforms.boxes import PixelBox

if TYPE_CHECKING:
    import zarr
    from ngio import Image, OmeZarrContainer


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
