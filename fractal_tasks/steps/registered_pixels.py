"""Which pixels of an image, and of its labels, go where when it is registered."""

import logging
from typing import TYPE_CHECKING

import numpy as np

from fractal_tasks.model import Placement
from fractal_tasks.records.plans import RegistrationPlan
from fractal_tasks.storage.pixels.copy_source import BoxCopy, CopySource
from fractal_tasks.storage.plate.levels import spatial_shape
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.storage.upstream import get_label
from fractal_tasks.transforms import FloatArray
from fractal_tasks.transforms.box_index import BoxIndex
from fractal_tasks.transforms.boxes import as_triple

if TYPE_CHECKING:
    from ngio import Label

logger = logging.getLogger(__name__)


def registered_pixels(image: OpenImage, plan: RegistrationPlan) -> CopySource:
    """Give level 0 of the registered image: kept regions, moved by whole pixels."""
    ndim = 3 if "z" in image.level.axes else 2
    array = image.level.zarr_array
    copies = [
        BoxCopy(one.source.slices(ndim), one.destination.slices(ndim), key.roi)
        for key, one in plan.placements.items()
    ]
    shape = image.grid.registered_to(plan.reference_grid).shape
    leading = array.shape[: array.ndim - ndim]
    return CopySource(
        array, (*leading, *shape[-ndim:]), copies, fill_value=plan.fill_value
    )


def registered_label(image: OpenImage, name: str, plan: RegistrationPlan) -> CopySource:
    """Give level 0 of a registered label, at its own pixel size."""
    label = get_label(image.container, name)
    array = label.zarr_array
    ratio = np.divide(image.spacing_um, image.label_spacing_um(label))
    registered = image.grid.registered_to(plan.reference_grid)
    # As much larger or smaller as the image.
    grown = np.rint(np.subtract(registered.shape, image.shape) * ratio)
    shape = as_triple(np.maximum(spatial_shape(label) + grown, 1))
    ndim = 3 if "z" in label.axes else 2
    copies = [
        copy
        for key, placement in plan.placements.items()
        if (copy := _label_copy(key.roi, placement, ratio, label, shape, ndim))
    ]
    return CopySource(array, (*array.shape[:-ndim], *shape[-ndim:]), copies)


def warn_of_overlaps(image: OpenImage, plan: RegistrationPlan) -> None:
    """Say which kept regions overlap, as pixels there can only come from one."""
    keys = list(plan.placements)
    destinations = [one.destination for one in plan.placements.values()]
    overlapping = [
        f"{keys[one].roi!r} and {keys[other].roi!r}"
        for one, other in BoxIndex(destinations).find_overlapping_pairs()
    ]
    if overlapping:
        logger.warning(
            "%s: ROIs overlap; where they do, the later one is kept: %s",
            image.zarr_url,
            ", ".join(overlapping),
        )


def _label_copy(
    roi: str,
    placement: Placement,
    ratio: FloatArray,
    label: "Label",
    shape: tuple[int, int, int],
    ndim: int,
) -> BoxCopy | None:
    """Give the copy at the label's own pixel size: nearest neighbour.

    A label pixel belongs to the ROI its centre lies in.

    Args:
        roi: Names the ROI in errors.
        placement: Where its pixels go in the image.
        ratio: Size of a pixel of the image, in pixels of the label (z, y, x).
        label: As it is.
        shape: Its pixels after registration (z, y, x).
        ndim: Number of its spatial axes.

    Returns:
        None if there is no pixel to copy.
    """
    # Pixel i has its centre at i + 1/2: the first centre not before a border b is that
    # of pixel ceil(b - 1/2), and so is the first one not before the end.
    start = np.ceil(np.multiply(placement.destination.start, ratio) - 0.5)
    stop = np.ceil(np.multiply(placement.destination.stop, ratio) - 0.5)
    # The shift itself is rounded to the nearest whole pixel, halves up.
    shift = np.floor(np.multiply(placement.shift_px, ratio) + 0.5)
    start = np.maximum.reduce([start, shift, np.zeros(3)])
    stop = np.minimum.reduce(
        [stop, spatial_shape(label) + shift, np.array(shape, dtype=float)]
    )
    if np.any(stop <= start):
        return None
    source, destination = (
        tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))[-ndim:]
        for first, last in ((start - shift, stop - shift), (start, stop))
    )
    return BoxCopy(source, destination, roi)
