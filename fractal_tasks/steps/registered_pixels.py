"""Which pixels of an image, and of its labels, go where when it is registered."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fractal_tasks.model import Placement, RowKey
from fractal_tasks.model.settings import Interpolation, InterpolationChoice
from fractal_tasks.records.plans import RegistrationPlan
from fractal_tasks.storage.pixels.box_source import BoxSource
from fractal_tasks.storage.pixels.boxes import BoxCopy, BoxPull
from fractal_tasks.storage.pixels.interpolate import IndexMap
from fractal_tasks.storage.plate.levels import spatial_shape
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.storage.upstream import get_label
from fractal_tasks.transforms import Affine, FloatArray, Translation
from fractal_tasks.transforms.box_index import BoxIndex
from fractal_tasks.transforms.boxes import PixelBox, as_triple

if TYPE_CHECKING:
    from ngio import Label

    from fractal_tasks.storage.pixels.grid import ZarrArray

logger = logging.getLogger(__name__)


def registered_pixels(
    image: OpenImage, plan: RegistrationPlan, interpolation: InterpolationChoice
) -> BoxSource:
    """Give level 0 of the registered image: kept regions, moved or interpolated."""
    how: Interpolation = "linear" if interpolation == "auto" else interpolation
    return _put_together(image.level.zarr_array, image, plan, how)


def _put_together(
    array: "ZarrArray", image: OpenImage, plan: RegistrationPlan, how: Interpolation
) -> BoxSource:
    """Give level 0 of what is made of an array with the pixels of an image."""
    ndim = 3 if "z" in image.level.axes else 2
    boxes: list[BoxCopy | BoxPull] = []
    for key, one in _in_order(plan):
        source, destination = one.source.slices(ndim), one.destination.slices(ndim)
        if one.is_copied:
            boxes.append(BoxCopy(source, destination, key.roi))
        else:
            pull = _index_map(one, image, plan, 1.0, ndim)
            boxes.append(BoxPull(source, destination, pull, how, key.roi))
    shape = (*array.shape[: array.ndim - ndim], *plan.registered_grid.shape[-ndim:])
    return BoxSource(array, shape, boxes, fill_value=plan.fill_value)


def seen_pixels(image: OpenImage, plan: RegistrationPlan) -> BoxSource:
    """Give level 0 of a label that is 1 where pixels come from the acquisition."""
    import zarr

    level = image.level
    axes = [index for index, axis in enumerate(level.axes) if axis != "c"]
    array = zarr.create_array(
        {},
        shape=[level.shape[index] for index in axes],
        chunks=tuple(level.zarr_array.chunks[index] for index in axes),
        dtype="uint8",
        fill_value=1,  # and nothing is stored
    )
    return _put_together(array, image, replace(plan, fill_value=0.0), "nearest")


def _in_order(plan: RegistrationPlan) -> list[tuple[RowKey, Placement]]:
    """Give placements as they are to be written: where ROIs overlap, the later counts.

    What a ROI of the reference covers comes from that one, as far as it is seen.
    """
    cores = ((key, one.within_core()) for key, one in plan.placements.items())
    return [
        *plan.placements.items(),
        *((key, core) for key, core in cores if core is not None),
    ]


def registered_label(image: OpenImage, name: str, plan: RegistrationPlan) -> BoxSource:
    """Give level 0 of a registered label, at its own pixel size."""
    label = get_label(image.container, name)
    array = label.zarr_array
    spacing_um = image.label_spacing_um(label)
    ratio = np.divide(image.spacing_um, spacing_um)
    # As much larger or smaller as the image.
    grown = np.rint(np.subtract(plan.registered_grid.shape, image.shape) * ratio)
    old_shape = spatial_shape(label)
    shape = as_triple(np.maximum(old_shape + grown, 1))
    ndim = 3 if "z" in label.axes else 2
    boxes: list[BoxCopy | BoxPull] = []
    for key, one in _in_order(plan):
        if one.is_copied:
            copy = _label_copy(key.roi, one, ratio, label, shape, ndim)
            boxes += [] if copy is None else [copy]
            continue
        source, destination = (
            _label_box(box, ratio, size).slices(ndim)
            for box, size in ((one.source, old_shape), (one.destination, shape))
        )
        pull = _index_map(one, image, plan, 1 / ratio, ndim)
        boxes.append(BoxPull(source, destination, pull, "nearest", key.roi))
    return BoxSource(array, (*array.shape[:-ndim], *shape[-ndim:]), boxes)


def _index_map(
    placement: Placement,
    image: OpenImage,
    plan: RegistrationPlan,
    size_px: float | FloatArray,
    ndim: int,
) -> IndexMap:
    """Give where pixels of the registered image, or of a label of it, come from.

    Args:
        placement: Of the ROI.
        image: The acquisition.
        plan: What it is registered to.
        size_px: Size of a pixel, in pixels of the image.
        ndim: Number of its spatial axes.
    """
    old_um = np.multiply(image.spacing_um, size_px)
    new_um = np.multiply(plan.registered_grid.spacing_um, size_px)
    # Planes stay beside a single one: nothing is known of their depth.
    keeps_planes = image.grid.is_flat or plan.reference_grid.is_flat

    def pull(indices: FloatArray) -> FloatArray:
        points = np.zeros((len(indices), 3))
        points[:, 3 - ndim :] = indices
        pulled: FloatArray = (
            placement.transform.pull_points((points + 0.5) * new_um) / old_um - 0.5
        )
        if keeps_planes:
            pulled[:, 0] = points[:, 0]
        return pulled[:, 3 - ndim :]

    def pull_grid(axes: Sequence[FloatArray]) -> FloatArray:
        along = [*(np.zeros(1),) * (3 - ndim), *axes]
        centres_um = [
            (axis + 0.5) * size for axis, size in zip(along, new_um, strict=True)
        ]
        pulled = placement.transform.pull_grid(centres_um)
        pulled /= np.reshape(old_um, (3, 1, 1, 1))
        pulled -= 0.5
        if keeps_planes:
            pulled[0] = along[0][:, None, None]
        return pulled[0 if ndim == 3 else 1 :].reshape(ndim, *map(len, axes))

    is_affine = isinstance(placement.transform, Affine | Translation)
    return IndexMap(pull, None if is_affine else pull_grid)


def _first_centres(border_px: tuple[int, int, int], ratio: FloatArray) -> FloatArray:
    """Give the first pixels of a label whose centres are not before a border.

    Pixel i has its centre at i + 1/2: of a border b that is pixel ceil(b - 1/2), and so
    is the end.
    """
    centres: FloatArray = np.ceil(np.multiply(border_px, ratio) - 0.5)
    return centres


def _label_box(
    box: PixelBox, ratio: FloatArray, shape: tuple[int, int, int]
) -> PixelBox:
    """Give the pixels of a label whose centres lie in a box of the image."""
    start, stop = _first_centres(box.start, ratio), _first_centres(box.stop, ratio)
    return PixelBox(
        as_triple(np.maximum(start, 0)), as_triple(np.clip(stop, start, shape))
    )


def warn_of_overlaps(image: OpenImage, plan: RegistrationPlan) -> None:
    """Say which kept regions overlap, as pixels there can only come from one."""
    keys = list(plan.placements)
    destinations = [
        (one.within_core() or one).destination for one in plan.placements.values()
    ]
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
    start = _first_centres(placement.destination.start, ratio)
    stop = _first_centres(placement.destination.stop, ratio)
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
