"""The ROIs of an image: those of a table, or what stands for the default one.

Only converters made for Fractal write `FOV_ROI_table`. Where it is missing, the ROIs of
the reference lie at the same places, and without any the whole image is one ROI.
"""

import logging
from typing import TYPE_CHECKING

import numpy as np

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.model import DEFAULT_ROI_TABLE
from fractal_tasks.storage.files import files_of
from fractal_tasks.storage.plate.images import list_tables
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.storage.plate.roi_table_data import RoiTableData
from fractal_tasks.storage.plate.roi_tables import plain_meta, read_roi_table
from fractal_tasks.transforms.boxes import AXES

if TYPE_CHECKING:
    from ngio import Roi

logger = logging.getLogger(__name__)

WHOLE_IMAGE = "image"
"""Name of the ROI that is the whole image."""

_BACKEND = "anndata"
"""In which Fractal's converters store ROI tables."""


def find_roi_table(
    image: OpenImage, name: str, reference: OpenImage | None = None
) -> RoiTableData:
    """Read a ROI table; if it is the default one and missing, give what stands for it.

    Args:
        image: Whose ROIs they are.
        name: Name of the table.
        reference: What the image is registered to; None if it is that itself.

    Raises:
        InvalidDataError: The table is missing and not the default one, or damaged.
    """
    if name != DEFAULT_ROI_TABLE or name in list_tables(image):
        return read_roi_table(image, name)
    _check_not_lost(image, name)
    if reference is not None and name in list_tables(reference):
        rois = [_plain(roi) for roi in read_roi_table(reference, name).rois.values()]
        what = "the ROIs of the reference are used"
    else:
        rois = [_whole(image)]
        what = "the whole image is one ROI"
    logger.info("%s has no table %r: %s", image.where(), name, what)
    return RoiTableData(
        name, {str(roi.name): roi for roi in rois}, plain_meta(_BACKEND)
    )


def _check_not_lost(image: OpenImage, name: str) -> None:
    """Refuse a table that is there, and is only not listed."""
    folder = image.url.location / "tables" / name
    if files_of(folder).exists(folder):
        raise InvalidDataError(
            f"{folder.url} is there, but the attributes of its folder 'tables' do not "
            f"list it: they have {list_tables(image)}. Add it to the list, or move it "
            "away."
        )


def _plain(roi: "Roi") -> "Roi":
    """Give name and place of a ROI, without what other columns say of it."""
    from ngio import Roi

    return Roi(name=roi.name, slices=roi.slices)


def _whole(image: OpenImage) -> "Roi":
    from ngio import Roi

    lengths_um = np.multiply(image.shape, image.spacing_um).tolist()
    slices = {
        axis: (0.0, length_um) for axis, length_um in zip(AXES, lengths_um, strict=True)
    }
    return Roi.from_values(name=WHOLE_IMAGE, slices=slices)
