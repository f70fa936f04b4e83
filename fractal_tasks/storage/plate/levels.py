"""The resolution levels of images and labels: size, spacing, and pixels we can use."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.storage.urls import ImageUrl, is_inner_path
from fractal_tasks.transforms import Vector
from fractal_tasks.transforms.boxes import AXES

if TYPE_CHECKING:
    from ngio import Image, Label

MIN_PIXEL_UM, MAX_PIXEL_UM = 1e-6, 1e6
"""From a picometre to a metre: anything else is damaged metadata."""

PIXELS, LABELS = "iuf", "iufb"
"""Kinds of numbers, as numpy names them: a label may be a mask."""

_KINDS = {"i": "integers", "f": "real numbers", "b": "truth values"}


def spacing_of(level: "Image | Label", unit_um: Vector) -> Vector:
    """Give the pixel size of a level in um (z, y, x).

    Args:
        level: Any level of an image or label.
        unit_um: How many micrometres one unit in its metadata is.
    """
    size = level.pixel_size
    z, y, x = np.multiply((size.z, size.y, size.x), unit_um).tolist()
    return z, y, x


def spatial_shape(level: "Image | Label") -> tuple[int, int, int]:
    """Give the number of pixels along z, y, x; 1 for an axis the image lacks."""
    sizes = dict(zip(level.axes, level.shape, strict=True))
    z, y, x = (sizes.get(axis, 1) for axis in AXES)
    return z, y, x


def check_pixels(
    level: "Image | Label",
    unit_um: Vector,
    where: str,
    kinds: str = PIXELS,
) -> None:
    """Check the order of the axes, and that pixels are numbers and of possible size.

    Args:
        level: Any level of an image or label.
        unit_um: How many micrometres one unit in its metadata is.
        where: Names image or label in errors.
        kinds: What the pixels may be, `PIXELS` or `LABELS`.

    Raises:
        InvalidDataError: They are not.
    """
    spatial = [axis for axis in AXES if axis in level.axes]
    if spatial[-2:] != ["y", "x"] or list(level.axes[-len(spatial) :]) != spatial:
        raise InvalidDataError(
            f"{where}: found the axes {', '.join(level.axes)}; needed are y and x, or "
            "z, y and x, in this order and after all others. Convert the image again, "
            "with its axes in this order."
        )
    dtype = level.zarr_array.dtype
    if dtype.kind not in kinds:
        names = " or ".join(_KINDS[kind] for kind in kinds if kind in _KINDS)
        raise InvalidDataError(
            f"{where}: level {level.path!r} has pixels of type {dtype}; needed are "
            f"{names}. Convert it to one of these."
        )
    size_um = spacing_of(level, unit_um)
    if not all(MIN_PIXEL_UM <= value <= MAX_PIXEL_UM for value in size_um):
        raise InvalidDataError(
            f"{where}: level {level.path!r} has pixels of {size_um} um (z, y, "
            f"x); needed are {MIN_PIXEL_UM} to {MAX_PIXEL_UM} um. Correct the scale in "
            "the metadata."
        )


def check_levels(levels: Sequence["Image | Label"], where: str) -> None:
    """Check that each level has fewer pixels than the one before it, as ngio needs it.

    Args:
        levels: All of an image or label, finest first.
        where: Names image or label in errors.

    Raises:
        InvalidDataError: One has not: it is not made from the other.
    """
    for finer, coarser in itertools.pairwise(levels):
        is_larger = any(np.greater(coarser.shape, finer.shape))
        if is_larger or coarser.shape == finer.shape:
            raise InvalidDataError(
                f"{where}: level {coarser.path!r} has {coarser.shape} pixels, level "
                f"{finer.path!r} has {finer.shape}; needed are fewer, and no more "
                "along any axis. Make the pyramid again, or correct the paths in the "
                "metadata."
            )


def check_inner_paths(url: ImageUrl, what: str, paths: Sequence[str]) -> None:
    """Refuse what an image's metadata name, but could not be inside the image.

    Args:
        url: The image.
        what: What the paths are in errors, e.g. `"level"`.
        paths: Relative to the image, or to a folder in it.

    Raises:
        InvalidDataError: One leads elsewhere: what is written there would be, too.
    """
    for path in paths:
        if not is_inner_path(path):
            raise InvalidDataError(
                f"{url.zarr_url}: {what} {path!r} in the metadata; needed is a path "
                "inside the image, without '..', '.' or empty parts. Correct the "
                "metadata, and do not trust who made them."
            )
