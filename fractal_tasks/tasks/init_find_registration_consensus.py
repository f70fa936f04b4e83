"""List the images of each well that have to agree on a common region."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import validate_call

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.qc.candidates import Vector
from fractal_tasks.qc.plate import (
    Place,
    centre_of_well,
    place_from_names,
    place_well,
)
from fractal_tasks.storage.estimates import read_confidence
from fractal_tasks.storage.images import list_tables, open_image
from fractal_tasks.storage.roi_columns import read_translation
from fractal_tasks.storage.roi_tables import read_roi_table
from fractal_tasks.storage.urls import ImageUrl, parse_storage_options
from fractal_tasks.storage.wells import (
    RegistrationGroup,
    group_images,
    read_acquisition,
)
from fractal_tasks.task_io import (
    TASK_CONFIG,
    InitArgsRegistrationConsensus,
    PlateEvidence,
    StorageOptionsText,
    WellPlacement,
)

logger = logging.getLogger(__name__)


@validate_call(config=TASK_CONFIG)
def init_find_registration_consensus(
    *,
    zarr_urls: list[str],
    zarr_dir: str,
    reference_acquisition: int = 0,
    input_roi_table: str = "FOV_ROI_table",
    storage_options: StorageOptionsText = None,
) -> dict[str, list[dict[str, Any]]]:
    """Find the images of all acquisitions of every well, and how the plate moved.

    Args:
        zarr_urls: Urls of the images to process (set by the Fractal server).
        zarr_dir: Folder of the dataset (set by the Fractal server; not used).
        reference_acquisition: Acquisition that all others are registered to, e.g. `0`.
            The same as for "Calculate Registration (image-based)".
        input_roi_table: The ROI table that was registered, e.g. `FOV_ROI_table`. It
            says how the other wells of a plate moved, for a well in which no estimate
            can be believed.
        storage_options: How to reach a plate in an object store, as a JSON object, e.g.
            `{"anon": true}` for public data. Not needed if the environment says it.
            Do not put secrets here: a server stores and shows arguments.

    Returns:
        The parallelization list: one unit per well, at the url of its reference.

    Raises:
        InvalidInputError: A url is not that of an image in a plate.
        InvalidDataError: A well lacks the reference acquisition, or it is ambiguous.
    """
    logger.info(
        "init_find_registration_consensus: %d images, reference_acquisition=%d, "
        "input_roi_table=%r",
        len(zarr_urls),
        reference_acquisition,
        input_roi_table,
    )
    groups = group_images(
        zarr_urls, reference_acquisition, parse_storage_options(storage_options)
    )
    centres = _read_centres(groups, input_roi_table)
    units = [
        {
            "zarr_url": group.reference.zarr_url,
            "init_args": InitArgsRegistrationConsensus(
                zarr_url_list=[
                    image.zarr_url for image in (group.reference, *group.others)
                ],
                plate=_plate_evidence(group.reference, centres, input_roi_table),
            ).model_dump(exclude_none=True),
        }
        for group in groups
    ]
    logger.info(
        "%d wells; %d acquisitions of wells say how their plate moved",
        len(units),
        len(centres),
    )
    return {"parallelization_list": units}


@dataclass(frozen=True)
class _Centre:
    """How one acquisition of a well moved."""

    image: ImageUrl
    acquisition: int
    translation_um: Vector


def _read_centres(
    groups: Sequence[RegistrationGroup], input_roi_table: str
) -> list[_Centre]:
    """Read how each acquisition of each well moved, in plates of several wells."""
    plates = [group.reference.plate_url for group in groups]
    images = [
        image
        for group in groups
        if plates.count(group.reference.plate_url) > 1
        for image in group.others
    ]
    centres = []
    for image in images:
        try:
            translation_um = _read_centre(image, input_roi_table)
        except InvalidDataError as error:
            # The unit of this well will stop with it; other wells go on.
            logger.warning("Nothing is learnt about the plate from: %s", error)
            continue
        if translation_um is not None:
            centres.append(_Centre(image, read_acquisition(image), translation_um))
    return centres


def _read_centre(image: ImageUrl, input_roi_table: str) -> Vector | None:
    container = open_image(image)
    if input_roi_table not in list_tables(container, image):
        return None
    rois = read_roi_table(container, image, input_roi_table).rois
    translations_um, confidences = [], []
    for name, roi in rois.items():
        where = f"ROI {name!r} ({image.zarr_url})"
        translation_um = read_translation(roi, where)
        if translation_um is not None:
            translations_um.append(translation_um)
            confidences.append(read_confidence(roi, where))
    return centre_of_well(translations_um, confidences)


def _plate_evidence(
    well: ImageUrl, centres: Sequence[_Centre], input_roi_table: str
) -> PlateEvidence | None:
    """Say what the other wells of the plate suggest for a well."""
    others: dict[int, dict[str, tuple[Place, Vector]]] = {}
    for centre in centres:
        image = centre.image
        if image.plate_url == well.plate_url and image.well_url != well.well_url:
            of_acquisition = others.setdefault(centre.acquisition, {})
            of_acquisition[image.well_url] = (_place(image), centre.translation_um)
    if not others:
        return None
    placements = {
        acquisition: place_well(_place(well), list(others[acquisition].values()))
        for acquisition in sorted(others)
    }
    return PlateEvidence(
        input_roi_table=input_roi_table,
        placements={
            acquisition: WellPlacement(**vars(placement))
            for acquisition, placement in placements.items()
        },
    )


def _place(image: ImageUrl) -> Place:
    return place_from_names(image.row, image.column)


if __name__ == "__main__":
    from fractal_task_tools.task_wrapper import run_fractal_task

    run_fractal_task(task_function=init_find_registration_consensus)
