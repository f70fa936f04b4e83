"""Bounding boxes of the objects of a label image, for masking ROI tables.

ngio's own way takes memory for every id up to the largest, which 64-bit ids exceed.
"""

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from fractal_tasks.storage.pixels.grid import (
    Box,
    Pixels,
    full_box,
    split_box,
    to_slices,
)
from fractal_tasks.storage.pixels.stored import stored_cells
from fractal_tasks.transforms import Vector
from fractal_tasks.transforms.boxes import AXES

if TYPE_CHECKING:
    from ngio import Label, Roi

_MAX_DIRECT_ID = 1_000_000
"""Up to this id, memory for every id is cheaper than sorting the pixels."""


def build_masking_rois(label: "Label", spacing_um: Vector) -> list["Roi"]:
    """Give a ROI around every object of a label, in ascending order of the ids.

    Reads one chunk after the other.

    Args:
        label: The label at level 0.
        spacing_um: Its pixel size (z, y, x).
    """
    from ngio import Roi

    axes = [axis for axis in label.axes if axis in AXES]
    steps = dict(zip(AXES, spacing_um, strict=True))
    return [
        Roi.from_values(
            name=str(object_id),
            label=object_id,
            slices={
                axis: (side.start * steps[axis], len(side) * steps[axis])
                for axis, side in zip(axes, box, strict=True)
            },
        )
        for object_id, box in _find_boxes(label).items()
    ]


def _find_boxes(label: "Label") -> dict[int, Box]:
    array = label.zarr_array
    spatial = [label.axes.index(axis) for axis in label.axes if axis in AXES]
    boxes: dict[int, Box] = {}
    # What is not stored is background.
    stored = [full_box(array.shape)] if array.fill_value else stored_cells(array)
    cells = itertools.chain.from_iterable(
        split_box(cell, array.chunks) for cell in stored
    )
    for cell in cells:
        block = np.asarray(array[to_slices(cell)])
        for object_id, part in _find_parts(block):
            found = tuple(
                range(
                    cell[axis].start + part[axis].start,
                    cell[axis].start + part[axis].stop,
                )
                for axis in spatial
            )
            boxes[object_id] = _union(boxes.get(object_id, found), found)
    return dict(sorted(boxes.items()))


def _find_parts(block: Pixels) -> Iterator[tuple[int, tuple[slice, ...]]]:
    """Give id and bounding box of every object in a block, background excluded."""
    from scipy.ndimage import find_objects

    if int(block.max(initial=0)) <= _MAX_DIRECT_ID:
        ids = itertools.count(1)
        objects = find_objects(block.astype(np.int32, copy=False))
    else:
        present, positions = np.unique(block, return_inverse=True)
        ids = iter(present.tolist())
        objects = find_objects(positions.reshape(block.shape) + 1)
    return (
        (object_id, part)
        for object_id, part in zip(ids, objects, strict=False)
        if part is not None and object_id != 0
    )


def _union(box: Box, other: Box) -> Box:
    return tuple(
        range(min(a.start, b.start), max(a.stop, b.stop))
        for a, b in zip(box, other, strict=True)
    )
