"""Pixels of an image at places given in micrometres, for pictures."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import map_coordinates

from fractal_tasks.storage.library_errors import reading
from fractal_tasks.storage.plate.levels import spacing_of
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.transforms import FloatArray

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
    """The plane that is shown."""

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
        points_um: Where in the image, one for each pixel of the picture.
        frame: The pixels of the picture.

    Raises:
        InvalidDataError: The pixels cannot be read.
    """
    path = image.container.level_paths[0]
    spacing = np.array(image.spacing_um)
    for other in image.container.level_paths[1:]:
        coarser = spacing_of(image.container.get_image(path=other), image.unit_um)
        if max(coarser[1:]) <= frame.pixel_um * 1.01:
            path, spacing = other, np.array(coarser)
    array = image.container.get_image(path=path).zarr_array
    places = points_um / spacing - 0.5
    sizes = dict(zip(image.axes, array.shape, strict=True))
    depth = sizes.get("z", 1)
    plane = int(np.clip(round(float(np.median(places[:, 0]))), 0, depth - 1))
    spatial = np.array([sizes["y"], sizes["x"]])
    start = np.clip(np.floor(places[:, 1:].min(axis=0)), 0, spatial).astype(int)
    stop = np.clip(np.ceil(places[:, 1:].max(axis=0)) + 1, 0, spatial).astype(int)
    if (stop <= start).any():
        return np.full(frame.size_px, np.nan, np.float32)
    index: dict[str, int | slice] = {
        "t": 0,
        "c": channel,
        "z": plane,
        "y": slice(start[0], stop[0]),
        "x": slice(start[1], stop[1]),
    }
    with reading(
        image.where(f"pixels of level {path!r} cannot be read"), "Copy the image again."
    ):
        pixels = np.asarray(array[tuple(index[axis] for axis in image.axes)])
    found = map_coordinates(
        pixels.astype(np.float32),
        (places[:, 1:] - start).T,
        order=1,
        mode="constant",
        cval=np.nan,
        prefilter=False,
    )
    return np.asarray(found, np.float32).reshape(frame.size_px)
