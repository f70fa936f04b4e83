"""Where ROIs lie: micrometres of a table become pixels of an image, here and only here.

A ROI is a row of a ROI table, in micrometres from the first corner of its image. Stored
is it in the unit of its image, as ngio writes it, or in micrometres, as the columns are
named.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.storage.plate.roi_table_data import MICROMETRES
from fractal_tasks.transforms import Vector
from fractal_tasks.transforms.boxes import AXES, PixelBox, box_from_um

if TYPE_CHECKING:
    from ngio import Roi

MAX_LENGTH_UM = 1e9
"""A kilometre. Positions and movements are smaller, or nonsense."""


def is_length(value_um: float) -> bool:
    """Whether a position or distance is not NaN, infinite or out of this world."""
    return abs(value_um) < MAX_LENGTH_UM


def stored_unit_um(rois: Sequence["Roi"], image: OpenImage) -> Vector:
    """Find out in which unit ROIs are stored: in which they lie in their image.

    Units differ by a factor of 1000 at least, so that a ROI of one is smaller than a
    pixel, or larger than the image, in the other.

    Returns:
        How many micrometres one unit is (z, y, x).
    """
    if image.unit_um == MICROMETRES:
        return MICROMETRES
    if _lie_in(rois, image, MICROMETRES) and not _lie_in(rois, image, image.unit_um):
        return MICROMETRES
    return image.unit_um


def _lie_in(rois: Sequence["Roi"], image: OpenImage, unit_um: Vector) -> bool:
    """Whether ROIs have pixels, and none that the image has not, in its plane."""
    for roi in in_other_unit(rois, unit_um):
        box = box_from_um(*roi_extent_um(roi, image), image.spacing_um)
        start, stop = box.start[1:], box.stop[1:]
        if np.less_equal(stop, start).any() or np.greater(stop, image.shape[1:]).any():
            return False
    return True


def in_other_unit(rois: Sequence["Roi"], factors: Vector) -> list["Roi"]:
    """Multiply starts and lengths of ROIs (z, y, x); with factors of 1 nothing."""
    if factors == MICROMETRES:
        return list(rois)
    return [_scaled(roi, factors) for roi in rois]


def _scaled(roi: "Roi", factors: Vector) -> "Roi":
    for axis, factor in zip(AXES, factors, strict=True):
        part = roi.get(axis)
        if part is not None:
            start, length = (
                None if value is None else value * factor
                for value in (part.start, part.length)
            )
            roi = roi.update_slice(name=axis, new_slice=(start, length))
    return roi


def roi_to_pixels(roi: "Roi", image: OpenImage, where: str) -> PixelBox:
    """Round a ROI to whole level-0 pixels and check that the image holds it.

    A ROI without z, or an image without a z axis, gives all planes.

    Args:
        roi: The ROI.
        image: The image in which it lies.
        where: Names the ROI in errors.

    Raises:
        InvalidDataError: The box is empty or reaches out of the image.
    """
    start_um, length_um = roi_extent_um(roi, image)
    box = box_from_um(start_um, length_um, image.spacing_um)
    whole = PixelBox((0, 0, 0), image.shape)
    if box.is_empty or box.intersection(whole) != box:
        raise InvalidDataError(
            f"{where}: found a ROI of pixels {box.to_lists()} (z, y, x); needed is at "
            f"least one pixel, inside the image of {image.shape} pixels. Correct the "
            "ROI table, or choose another."
        )
    return box


def roi_extent_um(
    roi: "Roi", image: OpenImage
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Give start and length of a ROI in um (z, y, x); open ends reach to the border."""
    whole_um = np.multiply(image.shape, image.spacing_um)
    start_um, length_um = np.zeros(3), whole_um.copy()
    for index, axis in enumerate(AXES):
        part = roi.get(axis)
        if part is None or axis not in image.axes:
            continue
        start_um[index] = part.start or 0.0
        length_um[index] = (
            whole_um[index] - start_um[index] if part.length is None else part.length
        )
    return start_um, length_um
