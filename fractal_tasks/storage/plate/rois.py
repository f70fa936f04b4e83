"""Where ROIs lie: micrometres of a table become pixels of an image, here and only here.

A ROI is a row of a ROI table, in micrometres from the first corner of its image.
"""

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.transforms.boxes import AXES, PixelBox, box_from_um

if TYPE_CHECKING:
    from ngio import Roi

MAX_LENGTH_UM = 1e9
"""A kilometre. Positions and movements are smaller, or nonsense."""


def is_length(value_um: float) -> bool:
    """Whether a position or distance is not NaN, infinite or out of this world."""
    return abs(value_um) < MAX_LENGTH_UM


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
    axes = image.level.axes
    whole_um = np.multiply(image.shape, image.spacing_um)
    start_um, length_um = np.zeros(3), whole_um.copy()
    for index, axis in enumerate(AXES):
        part = roi.get(axis)
        if part is None or axis not in axes:
            continue
        start_um[index] = part.start or 0.0
        length_um[index] = (
            whole_um[index] - start_um[index] if part.length is None else part.length
        )
    return start_um, length_um
