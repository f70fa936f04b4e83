"""Pixels of an image at places given in micrometres, for pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

from fractal_tasks.storage.library_errors import reading
from fractal_tasks.storage.plate.levels import spacing_of
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.storage.upstream import get_label
from fractal_tasks.transforms import FloatArray, Vector

Picture = npt.NDArray[np.float32]
"""Shape ``(y, x)``; NaN where the image has no pixels."""


@dataclass(frozen=True)
class Frame:
    """The pixels of a picture, and where they lie in the reference."""

    start_um: tuple[float, float]
    """Corner of the first pixel (y, x)."""

    pixel_um: float
    size_px: tuple[int, int]
    z_um: float
    """The middle of what is shown."""

    depth_um: float
    """Of a stack, the brightest of all planes within is shown."""

    @property
    def width_um(self) -> float:
        """Of the picture."""
        return self.size_px[1] * self.pixel_um

    def points_um(self) -> FloatArray:
        """Give the centres of its pixels, shape ``(n, 3)``, those along x in a row."""
        y, x = (
            start + (np.arange(size) + 0.5) * self.pixel_um
            for start, size in zip(self.start_um, self.size_px, strict=True)
        )
        grid = np.stack(np.meshgrid(self.z_um, y, x, indexing="ij"), axis=-1)
        return grid.reshape(-1, 3)


@dataclass(frozen=True)
class _Level:
    """A level of an image or a label."""

    path: str
    array: Any
    axes: tuple[str, ...]
    spacing_um: Vector


def sample(
    image: OpenImage,
    channel: int,
    points_um: FloatArray,
    frame: Frame,
) -> Picture:
    """Give a picture of what an image has at places, interpolated in its plane.

    Only the part of a level that holds them is read: the coarsest one of which the
    pixels are no larger than those of the picture.

    Args:
        image: Any image.
        channel: Index of the channel.
        points_um: Where in the image, one for each pixel of the picture; NaN for none.
        frame: The pixels of the picture.

    Raises:
        InvalidDataError: The pixels cannot be read.
    """
    levels = [
        _Level(path, one.zarr_array, tuple(one.axes), spacing_of(one, image.unit_um))
        for path in image.container.level_paths
        for one in [image.container.get_image(path=path)]
    ]
    where = image.where("pixels")
    return _sample(_choose(levels, frame), channel, points_um, frame, where, order=1)


def sample_label(
    image: OpenImage, label: str, points_um: FloatArray, frame: Frame
) -> Picture:
    """Give the ids that a label has at places; see `sample`."""
    paths = get_label(image.container, label).meta.paths
    levels = [
        _Level(path, one.zarr_array, tuple(one.axes), image.label_spacing_um(one))
        for path in paths
        for one in [get_label(image.container, label, path)]
    ]
    where = image.where(f"label {label!r}")
    return _sample(_choose(levels, frame), 0, points_um, frame, where, order=0)


def _choose(levels: Sequence[_Level], frame: Frame) -> _Level:
    fine_enough = [
        level for level in levels if max(level.spacing_um[1:]) <= frame.pixel_um * 1.01
    ]
    return fine_enough[-1] if fine_enough else levels[0]


def _sample(
    level: _Level,
    channel: int,
    points_um: FloatArray,
    frame: Frame,
    where: str,
    *,
    order: int,
) -> Picture:
    places = points_um / np.array(level.spacing_um) - 0.5
    known = places[np.isfinite(places).all(axis=1)]
    sizes = dict(zip(level.axes, level.array.shape, strict=True))
    spatial = np.array([sizes["y"], sizes["x"]])
    nothing = np.full(frame.size_px, np.nan, np.float32)
    if not known.size:
        return nothing
    start = np.clip(np.floor(known[:, 1:].min(axis=0)), 0, spatial).astype(int)
    stop = np.clip(np.ceil(known[:, 1:].max(axis=0)) + 1, 0, spatial).astype(int)
    if (stop <= start).any():
        return nothing
    middle = float(np.median(known[:, 0]))
    planes = _choose_planes(middle, frame.depth_um / level.spacing_um[0], sizes)
    index: dict[str, int | slice] = {
        "t": 0,
        "c": channel,
        "z": planes,
        "y": slice(start[0], stop[0]),
        "x": slice(start[1], stop[1]),
    }
    with reading(
        f"{where} of level {level.path!r} cannot be read", "Copy the image again."
    ):
        pixels = np.asarray(level.array[tuple(index[axis] for axis in level.axes)])
    if "z" in level.axes:
        pixels = pixels.max(axis=0)
    found = scipy.ndimage.map_coordinates(
        pixels.astype(np.float32),
        np.nan_to_num(places[:, 1:] - start, nan=-9.0).T,
        order=order,
        mode="constant",
        cval=np.nan,
        prefilter=False,
    )
    return np.asarray(found, np.float32).reshape(frame.size_px)


def _choose_planes(middle: float, depth: float, sizes: dict[str, int]) -> slice:
    """Give the planes, at least one, about a place counted from the first one."""
    count = sizes.get("z", 1)
    first = int(np.clip(round(middle - (depth - 1) / 2), 0, count - 1))
    last = int(np.clip(round(middle + (depth - 1) / 2), first, count - 1))
    return slice(first, last + 1)
