"""Masks that are stored with an image: a label, or the objects of a masking table."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fractal_tasks.errors import InvalidDataError, InvalidInputError
from fractal_tasks.storage.pixels.chunks import read_pixels
from fractal_tasks.storage.plate.fingerprint import fingerprint_parts
from fractal_tasks.storage.plate.images import list_labels, list_tables
from fractal_tasks.storage.plate.levels import LABELS, check_pixels, spatial_shape
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.storage.plate.roi_tables import load_roi_table
from fractal_tasks.storage.plate.tables import read_table_types
from fractal_tasks.storage.upstream import get_label
from fractal_tasks.transforms.boxes import PixelBox

if TYPE_CHECKING:
    from ngio import Label

_MASKING = "masking_roi_table"

_SAME_SIZE = 1e-3
"""Part of a pixel size by which two may differ: they are stored with rounding."""


@dataclass(frozen=True)
class StoredMask:
    """Objects of a label: all of them, or those that a masking ROI table names."""

    image: OpenImage
    label: str
    ids: Collection[int] | None
    """None: all."""

    fingerprint: str
    """Changes when label or table are written again."""

    def read(
        self, box: PixelBox, near_um: tuple[float, ...]
    ) -> tuple[npt.NDArray[np.bool_], tuple[float, ...]]:
        """Read which pixels of a box of the image are in it.

        Args:
            box: In pixels of level 0 of the image.
            near_um: Pixel size, y and x last: the coarsest level that is not coarser
                is read, or the finest.

        Returns:
            The mask, axes ``(z, y, x)``, and the size of its pixels.

        Raises:
            InvalidDataError: A chunk is damaged.
        """
        level = self._choose_level(near_um)
        spacing_um = self.image.label_spacing_um(level)
        ends_um = np.multiply([box.start, box.stop], self.image.spacing_um)
        first, last = np.floor(ends_um / spacing_um + 0.5).astype(int)
        last = np.minimum(np.maximum(last, first + 1), spatial_shape(level))
        first = np.minimum(first, last - 1)
        array = level.zarr_array
        ndim = 3 if "z" in level.axes else 2
        where = self.image.where(f"label {self.label!r}")
        spans = [slice(int(a), int(b)) for a, b in zip(first, last, strict=True)]
        leading = (0,) * (array.ndim - ndim)
        found = read_pixels(array, (*leading, *spans[-ndim:]), where)
        found = found.reshape((1, *found.shape)[-3:])
        inside = found != 0 if self.ids is None else np.isin(found, list(self.ids))
        return inside, spacing_um

    def _choose_level(self, near_um: tuple[float, ...]) -> "Label":
        container = self.image.container
        finest = get_label(container, self.label)
        levels = [get_label(container, self.label, path) for path in finest.meta.paths]
        fine_enough = [
            level
            for level in levels
            if max(np.divide(self.image.label_spacing_um(level)[1:], near_um[-2:]))
            < 1 + _SAME_SIZE
        ]
        return fine_enough[-1] if fine_enough else finest


def find_mask(image: OpenImage, name: str) -> StoredMask | None:
    """Find a label, or else a masking ROI table, of this name; None if it has none.

    Raises:
        InvalidInputError: The table is one of another type, or of no label.
        InvalidDataError: The label is not of the image's size, or cannot be read.
    """
    labels = list_labels(image)
    if name in labels:
        _check_size(image, name)
        parts = fingerprint_parts(image, [f"labels/{name}"])
        return StoredMask(image, name, None, parts)
    if name not in list_tables(image):
        return None
    where = image.where(f"table {name!r}")
    found = read_table_types(image, [name])[name]
    if found != _MASKING:
        raise InvalidInputError(
            f"{where}: found a table of type {found!r}; needed as mask is one of type "
            f"{_MASKING!r}, or a label: {labels}. Choose one of these."
        )
    label = image.container.get_masking_roi_table(name).reference_label
    if label is None or label not in labels:
        raise InvalidInputError(
            f"{where}: its objects are those of the label {label!r}; found are the "
            f"labels {labels}. Give the name of one of these as mask."
        )
    _check_size(image, label)
    ids = [roi.label for roi in load_roi_table(image, name).rois.values()]
    return StoredMask(
        image,
        label,
        frozenset(int(one) for one in ids if one is not None),
        fingerprint_parts(image, [f"labels/{label}", f"tables/{name}"]),
    )


def _check_size(image: OpenImage, name: str) -> None:
    label = get_label(image.container, name)
    where = image.where(f"label {name!r}")
    check_pixels(label, image.label_unit_um(label), where, LABELS)
    spacing_um = np.array(image.label_spacing_um(label))
    found_um = np.multiply(spatial_shape(label), spacing_um)[1:]
    needed_um = np.multiply(image.shape, image.spacing_um)[1:]
    if (
        np.abs(found_um - needed_um) > np.maximum(spacing_um, image.spacing_um)[1:]
    ).any():
        raise InvalidDataError(
            f"{where}: found {found_um.round(3).tolist()} um (y, x); needed as mask is "
            f"the size of the image, {needed_um.round(3).tolist()} um. Choose another "
            "mask, or make the label again."
        )


def no_mask(name: str, images: Collection[OpenImage]) -> InvalidInputError:
    """Give the error for a mask that none of two images has."""
    there = "; ".join(
        f"{image.zarr_url} has the labels {list_labels(image)}, and the tables "
        f"{list_tables(image)}"
        for image in images
    )
    return InvalidInputError(
        f"mask={name!r} is neither a label nor a masking ROI table: {there}. Choose "
        "one of these, 'otsu', or 'none'."
    )
