"""What the wells of a plate say about each other, from what *calculate* stored."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.model import PlateEvidence, WellMovement
from fractal_tasks.qc.plate import (
    Place,
    centre_of_well,
    place_from_names,
    predict_movement,
)
from fractal_tasks.records.rows import RoiRecord
from fractal_tasks.storage.plate.groups import RegistrationGroup
from fractal_tasks.storage.plate.images import list_tables
from fractal_tasks.storage.plate.open_image import open_image
from fractal_tasks.storage.plate.roi_tables import read_roi_table
from fractal_tasks.storage.plate.wells import is_in_plate, read_acquisition
from fractal_tasks.storage.urls import ImageUrl
from fractal_tasks.transforms import Vector

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AcquisitionCentre:
    """How one acquisition of a well moved."""

    image: ImageUrl
    acquisition: int
    translation_um: Vector

    @property
    def position(self) -> Place:
        """Row and column of the well."""
        return _position(self.image)


def read_centres(
    groups: Sequence[RegistrationGroup], input_roi_table: str
) -> list[AcquisitionCentre]:
    """Read how each acquisition of each well moved, in plates of several wells."""
    wells = Counter(group.home.plate_url for group in groups)
    images = [
        image
        for group in groups
        if wells[group.home.plate_url] > 1
        for image in group.others
        if is_in_plate(image)
    ]
    centres = []
    for image in images:
        try:
            translation_um = _read_centre(image, input_roi_table)
        except InvalidDataError as error:
            # The unit of this well will stop with it; other wells go on.
            logger.warning("Nothing is learnt about the plate from: %s", error)
            continue
        acquisition = read_acquisition(image)
        if translation_um is not None and acquisition is not None:
            centres.append(AcquisitionCentre(image, acquisition, translation_um))
    return centres


def _read_centre(url: ImageUrl, input_roi_table: str) -> Vector | None:
    image = open_image(url)
    if input_roi_table not in list_tables(image):
        return None
    records = [
        RoiRecord.from_roi(roi, image, f"ROI {name!r} ({url.zarr_url})")
        for name, roi in read_roi_table(image, input_roi_table).rois.items()
    ]
    measured = [record for record in records if record.candidates]
    return centre_of_well(
        [record.displacement_um for record in measured],
        [record.candidates[0].confidence for record in measured],
    )


def find_plate_evidence(
    well: ImageUrl, centres: Sequence[AcquisitionCentre], input_roi_table: str
) -> PlateEvidence | None:
    """Say what the other wells of the plate suggest for a well; None for nothing.

    Args:
        well: An image of the well.
        centres: How acquisitions of all wells moved.
        input_roi_table: The ROI table that says so.
    """
    others: dict[int, dict[str, tuple[Place, Vector]]] = {}
    for centre in centres:
        image = centre.image
        if image.plate_url == well.plate_url and image.well_url != well.well_url:
            of_acquisition = others.setdefault(centre.acquisition, {})
            of_acquisition[image.well_url] = (centre.position, centre.translation_um)
    predicted = {
        acquisition: predict_movement(
            _position(well), list(others[acquisition].values())
        )
        for acquisition in sorted(others)
    }
    movements: dict[int, WellMovement] = {
        acquisition: movement
        for acquisition, movement in predicted.items()
        if movement is not None
    }
    if not movements:
        return None
    return PlateEvidence(input_roi_table=input_roi_table, movements=movements)


def _position(image: ImageUrl) -> Place:
    return place_from_names(image.row, image.column)
