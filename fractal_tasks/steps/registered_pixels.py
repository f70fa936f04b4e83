"""Which pixels of an image, and of its labels, go where when it is registered."""

import logging
from typing import TYPE_CHECKING

import numpy as np

from fractal_tasks.model import Placement
from fractal_tasks.records.plans import RegistrationPlan
from fractal_tasks.storage.pixels.copy_source import BoxCopy, CopySource
from fractal_tasks.storage.plate.levels import spacing_of, spatial_shape
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.transforms import Vector
from fractal_tasks.transforms.box_index import BoxIndex

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
    return CopySource(array, array, copies, fill_value=plan.fill_value)


def registered_label(image: OpenImage, name: str, plan: RegistrationPlan) -> CopySource:
    """Give level 0 of a registered label, at its own pixel size."""
    label = image.container.get_label(name)
    array = label.zarr_array
    copies = [
        copy
        for key, placement in plan.placements.items()
        if (copy := _label_copy(key.roi, placement, image.spacing_um, label))
    ]
    return CopySource(array, array, copies)


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
    roi: str, placement: Placement, image_spacing_um: Vector, label: "Label"
) -> BoxCopy | None:
    """Give the copy at the label's own pixel size: nearest neighbour.

    A label pixel belongs to the ROI its centre lies in. None if there is none.
    """
    ratio = np.divide(image_spacing_um, spacing_of(label))
    # Pixel i has its centre at i + 1/2: the first centre not before a border b is that
    # of pixel ceil(b - 1/2), and so is the first one not before the end.
    start = np.ceil(np.multiply(placement.destination.start, ratio) - 0.5)
    stop = np.ceil(np.multiply(placement.destination.stop, ratio) - 0.5)
    # The shift itself is rounded to the nearest whole pixel, halves up.
    shift = np.floor(np.multiply(placement.shift_px, ratio) + 0.5)
    shape = spatial_shape(label)
    start = np.maximum.reduce([start, shift, np.zeros(3)])
    stop = np.minimum.reduce([stop, shape + shift, np.array(shape, dtype=float)])
    if np.any(stop <= start):
        return None
    ndim = 3 if "z" in label.axes else 2
    source, destination = (
        tuple(slice(int(a), int(b)) for a, b in zip(first, last, strict=True))[-ndim:]
        for first, last in ((start - shift, stop - shift), (start, stop))
    )
    return BoxCopy(source, destination, roi)
