"""Judge the estimates of a well together, and write the registered ROI tables."""

import logging
from collections.abc import Mapping, Sequence

from fractal_tasks.errors import InvalidDataError, InvalidInputError
from fractal_tasks.model import (
    ConsensusSettings,
    Outcome,
    Placement,
    PlateEvidence,
    RowKey,
    View,
    find_outcomes,
    place_views,
)
from fractal_tasks.records.plans import check_translation
from fractal_tasks.records.provenance import Record, fingerprint, fingerprint_rows
from fractal_tasks.records.registered_rows import read_registered_rows
from fractal_tasks.records.stored_plan import ConsensusRecord, snapshot_roi_tables
from fractal_tasks.records.well_rows import AcquisitionRows, WellRows, read_well_rows
from fractal_tasks.steps.registered_tables import (
    RegisteredAcquisition,
    write_registered_tables,
)
from fractal_tasks.steps.well_verdicts import Verdicts, find_verdicts
from fractal_tasks.storage.files import files_of
from fractal_tasks.storage.plate.images import check_fill_value, list_tables
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.storage.plate.roi_tables import (
    RoiTableData,
    check_table_replaceable,
    read_roi_table,
    read_table_types,
)
from fractal_tasks.storage.plate.wells import read_acquisition_of_each
from fractal_tasks.storage.plate.work import working_on
from fractal_tasks.storage.urls import ImageUrl

logger = logging.getLogger(__name__)


def judge_well(
    urls: Sequence[ImageUrl],
    plate: PlateEvidence | None,
    settings: ConsensusSettings,
    *,
    rerun: bool = False,
) -> dict[ImageUrl, Outcome]:
    """Judge a well, and write a registered ROI table into each of its acquisitions.

    Args:
        urls: The images of the well, reference first.
        plate: What the other wells of its plate say.
        settings: How it is judged, and what is kept.
        rerun: Whether to judge again what was judged in the same way already.

    Returns:
        What became of each image.

    Raises:
        InvalidInputError: An argument does not fit the images.
        InvalidDataError: ROI tables differ, there is no common region, or estimates are
            not believed and cannot be replaced, or must not be.
        MissingStepError: *Calculate* has not run.
        PublishError: A table could not be replaced; the old one is untouched.
    """
    for url in urls:
        files_of(url).check_writable(url)
    acquisitions = read_acquisition_of_each(urls)
    with working_on(*urls):
        well = read_well_rows(acquisitions, settings.input_roi_table)
        _check_well(well, settings)
        reference_tables = snapshot_roi_tables(
            well.reference.image, skip=settings.registered_roi_table
        )
        record = _make_record(well, reference_tables, plate, settings)
        if not rerun and _is_judged(well, record, settings.registered_roi_table):
            logger.info(
                "Well %s: its %d acquisitions were judged from the same estimates in "
                "the same way: nothing to do",
                well.well_url,
                len(well.acquisitions),
            )
            return _read_outcomes(well, settings.registered_roi_table)
        well, verdicts = find_verdicts(well, plate, settings)
        _check_applicable(well, verdicts)
        placements = _place(well, verdicts, settings)
        write_registered_tables(
            [
                RegisteredAcquisition(rows, own_verdicts, own_placements)
                for rows, own_verdicts, own_placements in zip(
                    well.acquisitions, verdicts, placements, strict=True
                )
            ],
            reference_tables,
            record,
        )
    return find_outcomes(
        {
            rows.image.url: [verdict.status for verdict in own.values()]
            for rows, own in zip(well.acquisitions, verdicts, strict=True)
        }
    )


def check_one_well(images: Sequence[ImageUrl]) -> None:
    """Refuse images of several wells.

    Raises:
        InvalidInputError: They are.
    """
    wells = sorted({image.well_url for image in images})
    if len(wells) > 1:
        raise InvalidInputError(
            f"init_args.zarr_url_list: found images of the wells {wells}; needed are "
            "images of one. Run 'Find Registration Consensus' with its init task."
        )


def _check_well(well: WellRows, settings: ConsensusSettings) -> None:
    """Refuse what no table could be written for, before anything is judged.

    Raises:
        InvalidInputError: A table of another kind has the name of the registered one.
        InvalidDataError: An acquisition was compared with another reference, or a ROI
            lies out of its image.
        PublishError: A folder is not writable, or on another file system.
    """
    for rows in well.acquisitions:
        check_table_replaceable(rows.image.url, settings.registered_roi_table)
        _ = rows.boxes
        _check_not_foreign(rows, settings.registered_roi_table)
    for rows in well.others:
        _check_same_reference(rows, well.reference.image.url)
    if settings.keep == "reference":
        for rows in well.acquisitions:
            check_fill_value(rows.image, settings.fill_value)


def _check_not_foreign(rows: AcquisitionRows, name: str) -> None:
    """Refuse to replace a table that cannot be an older version of the new one."""
    if name not in list_tables(rows.image) or _is_replaceable(rows, name):
        return
    raise InvalidInputError(
        f"{rows.image.zarr_url}: registered_roi_table={name!r}, but the image has a "
        f"table of this name that is no registered table of {rows.table.name!r}, and "
        "would be lost. Choose another name, or remove it."
    )


def _is_replaceable(rows: AcquisitionRows, name: str) -> bool:
    """Whether a table is ours, or another package's of the same ROIs, or damaged."""
    try:
        if read_table_types(rows.image, [name])[name] != "roi_table":
            return False
        table = read_roi_table(rows.image, name)
    except InvalidDataError:  # it is made anew
        return True
    return table.record is not None or set(table.rois) <= set(rows.table.rois)


def _check_same_reference(rows: AcquisitionRows, reference: ImageUrl) -> None:
    """Refuse estimates against another image than the reference."""
    stored = Record.read(rows.table.record)
    compared = reference.image_path
    if stored is not None:
        compared = stored.inputs.get("reference_image", compared)
    if compared != reference.image_path:
        raise InvalidDataError(
            f"Acquisition {rows.acquisition} ({rows.image.zarr_url}): found estimates "
            f"against image {compared!r} of the well; needed are those against "
            f"{reference.image_path!r}. Run 'Calculate Registration (image-based)' "
            "again, with the same reference_acquisition for all tasks."
        )


def _make_record(
    well: WellRows,
    reference_tables: Mapping[str, RoiTableData],
    plate: PlateEvidence | None,
    settings: ConsensusSettings,
) -> Record:
    """Say what the result depends on; fingerprints are of content, not of files."""
    inputs = {
        f"image {rows.image.url.image_path}": fingerprint(
            [fingerprint_rows(rows.table), rows.image.shape, rows.image.spacing_um]
        )
        for rows in well.acquisitions
    }
    inputs["reference_image"] = well.reference.image.url.image_path
    inputs["reference_tables"] = fingerprint(
        [name, fingerprint_rows(table)] for name, table in reference_tables.items()
    )
    inputs["plate"] = fingerprint([plate and plate.model_dump(mode="json")])
    return Record.of("find_registration_consensus", inputs, settings)


def _is_judged(well: WellRows, record: Record, registered_table: str) -> bool:
    """Whether all acquisitions have the tables that this step would write."""
    return all(
        _has_record(rows.image, registered_table, record) for rows in well.acquisitions
    )


def _has_record(image: OpenImage, registered_table: str, record: Record) -> bool:
    if registered_table not in list_tables(image):
        return False
    try:
        table = read_roi_table(image, registered_table)
    except InvalidDataError:  # what is damaged is made anew
        return False
    stored = ConsensusRecord.read(table.record)
    return stored is not None and stored.is_of(record)


def _read_outcomes(well: WellRows, registered_table: str) -> dict[ImageUrl, Outcome]:
    """Give what `judge_well` returned when it wrote the tables that are there."""
    return find_outcomes(
        {
            image.url: [
                row.status for row in read_registered_rows(image, registered_table)
            ]
            for image in (rows.image for rows in well.acquisitions)
        }
    )


def _check_applicable(well: WellRows, verdicts: Sequence[Verdicts]) -> None:
    """Refuse what *apply* could not do, before anything is written."""
    for rows, own in zip(well.acquisitions, verdicts, strict=True):
        for key, verdict in own.items():
            check_translation(verdict.candidate.transform, rows.where(key))


def _place(
    well: WellRows, verdicts: Sequence[Verdicts], settings: ConsensusSettings
) -> list[dict[RowKey, Placement]]:
    """Place every row in every acquisition."""
    placements: list[dict[RowKey, Placement]] = [{} for _ in well.acquisitions]
    for key in well.reference.keys:
        views = [
            View(rows.boxes[key], rows.image.spacing_um, own[key].candidate.transform)
            for rows, own in zip(well.acquisitions, verdicts, strict=True)
        ]
        logger.info(
            "%s: rounding to whole pixels leaves at most %.2f px",
            key,
            max(view.residual_px for view in views),
        )
        placed = place_views(views[0], views[1:], settings.keep)
        if any(placement.destination.is_empty for placement in placed):
            raise _no_common_region(well, key, views)
        for own_placements, placement in zip(placements, placed, strict=True):
            own_placements[key] = placement
    return placements


def _no_common_region(
    well: WellRows, key: RowKey, views: Sequence[View]
) -> InvalidDataError:
    shifts = "; ".join(
        f"acquisition {rows.acquisition}: {view.displacement_um} um"
        for rows, view in zip(well.acquisitions, views, strict=True)
    )
    return InvalidDataError(
        f"Well {well.well_url}, {key}: the acquisitions have no "
        f"region in common. Translations (z, y, x): {shifts}. Look at these "
        "acquisitions, leave the wrong one out, or raise min_confidence."
    )
