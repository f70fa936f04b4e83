"""Judge the estimates of a well together, and write the registered ROI tables."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import astuple

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.model import (
    ConsensusSettings,
    Outcome,
    PlateEvidence,
    find_outcome,
    find_outcomes,
)
from fractal_tasks.records.judgement import (
    find_differences,
    find_pending,
    judged_otherwise,
    name_input,
    not_judged,
    read_applied_judgement,
)
from fractal_tasks.records.provenance import Record, fingerprint, fingerprint_rows
from fractal_tasks.records.registered_rows import read_registered_rows
from fractal_tasks.records.stored_plan import ConsensusRecord, snapshot_roi_tables
from fractal_tasks.records.well_rows import WellRows, read_well_rows
from fractal_tasks.steps.registered_tables import (
    RegisteredAcquisition,
    RegisteredWell,
    write_registered_tables,
    write_unregistered_table,
)
from fractal_tasks.steps.unsure_pairs import leave_out_unsure
from fractal_tasks.steps.well_checks import check_well
from fractal_tasks.steps.well_placements import place_rows
from fractal_tasks.steps.well_verdicts import find_verdicts
from fractal_tasks.storage.files import files_of
from fractal_tasks.storage.plate.images import list_tables
from fractal_tasks.storage.plate.open_image import OpenImage, open_image
from fractal_tasks.storage.plate.roi_table_data import RoiTableData
from fractal_tasks.storage.plate.roi_tables import read_roi_table
from fractal_tasks.storage.plate.wells import read_acquisition_of_each
from fractal_tasks.storage.plate.work import working_on
from fractal_tasks.storage.urls import ImageUrl

logger = logging.getLogger(__name__)


def judge_well(
    urls: Sequence[ImageUrl],
    plate: PlateEvidence | None,
    settings: ConsensusSettings,
    *,
    is_reference_kept: bool = False,
    unsure: Collection[ImageUrl] = (),
    rerun: bool = False,
) -> dict[ImageUrl, Outcome]:
    """Judge a well, and write a registered ROI table into each of its acquisitions.

    Args:
        urls: The images of the well, reference first.
        plate: What the other wells of its plate say.
        settings: How it is judged, and what is kept.
        is_reference_kept: Whether the reference is only read; it may be anywhere then.
        unsure: Images that are paired with the reference by order alone.
        rerun: Whether to judge again what was judged in the same way already.

    Returns:
        What became of each image of the well.

    Raises:
        InvalidInputError: An argument does not fit the images.
        InvalidDataError: No ROIs belong together, there is no common region, or
            estimates are not believed, and that must not be.
        MissingStepError: *Calculate* has not run.
        PublishError: A table could not be replaced; the old one is untouched.
    """
    written = urls[1:] if is_reference_kept else urls
    for url in written:
        files_of(url).check_writable(url)
    acquisitions = read_acquisition_of_each(urls)
    with working_on(*written):
        pending = find_pending(written, settings.registered_roi_table)
        if pending:
            return _keep_judgement(written, pending, settings)
        well = read_well_rows(
            acquisitions,
            settings.input_roi_table,
            is_reference_kept=is_reference_kept,
        )
        check_well(well, settings)
        reference_tables = snapshot_roi_tables(
            well.reference.image, skip=settings.registered_roi_table
        )
        # Of an image without a table it is made, and describes the registered ones.
        reference_tables.setdefault(well.reference.table.name, well.reference.table)
        record = _make_record(well, reference_tables, plate, unsure, settings)
        if not rerun and _is_judged(well, record, settings.registered_roi_table):
            logger.info(
                "Well %s: its %d acquisitions were judged from the same estimates in "
                "the same way: nothing to do",
                well.well_url,
                len(well.written),
            )
            images = [rows.image for rows in well.written]
            return _read_outcomes(images, settings.registered_roi_table)
        sure = leave_out_unsure(well, unsure, settings.min_confidence)
        placed = _judge(sure, plate, settings) if sure.others else None
        registered = placed.acquisitions if placed else ()
        if placed:
            write_registered_tables(well, placed, reference_tables, record)
        outcomes = _find_outcomes(registered) | _write_others(well, registered, record)
        return {url: outcomes[url] for url in written}


def _judge(
    well: WellRows, plate: PlateEvidence | None, settings: ConsensusSettings
) -> RegisteredWell | None:
    """Say of each row what is used, and where its pixels go.

    Returns:
        None if the reference would be alone.
    """
    well, found = find_verdicts(well, plate, settings)
    placed = place_rows(well, found, settings)
    registered = tuple(
        RegisteredAcquisition(rows, own_verdicts, own_placements, placed.canvas)
        for rows, own_verdicts, own_placements in zip(
            placed.well.acquisitions, placed.verdicts, placed.placements, strict=True
        )
        if rows.keys
    )
    return RegisteredWell(registered, placed.canvas) if len(registered) > 1 else None


def _find_outcomes(
    registered: Sequence[RegisteredAcquisition],
) -> dict[ImageUrl, Outcome]:
    """Say what became of images."""
    return find_outcomes(
        {
            one.rows.image.url: [verdict.status for verdict in one.verdicts.values()]
            for one in registered
        }
    )


def _write_others(
    well: WellRows, registered: Sequence[RegisteredAcquisition], record: Record
) -> dict[ImageUrl, Outcome]:
    """Note in the images that are not registered to anything that they are not."""
    done = {one.rows.image.url for one in registered}
    others = [rows for rows in well.written if rows.image.url not in done]
    for rows in others:
        write_unregistered_table(rows, well, record)
    return dict.fromkeys((rows.image.url for rows in others), "none")


def _make_record(
    well: WellRows,
    reference_tables: Mapping[str, RoiTableData],
    plate: PlateEvidence | None,
    unsure: Collection[ImageUrl],
    settings: ConsensusSettings,
) -> Record:
    """Say what the result depends on; fingerprints are of content, not of files."""
    home = well.acquisitions[-1].image.url
    inputs = {
        name_input(rows.image.url, home): fingerprint(
            [fingerprint_rows(rows.table), astuple(rows.image.grid)]
        )
        for rows in well.acquisitions
    }
    inputs["reference_image"] = well.reference_path
    inputs["unsure"] = fingerprint(sorted(url.seen_from(home) for url in unsure))
    inputs["reference_tables"] = fingerprint(
        [name, fingerprint_rows(table)] for name, table in reference_tables.items()
    )
    inputs["plate"] = fingerprint([plate and plate.model_dump(mode="json")])
    return Record.of("find_registration_consensus", inputs, settings)


def _is_judged(well: WellRows, record: Record, registered_table: str) -> bool:
    """Whether all acquisitions have the tables that this step would write."""
    return all(
        _has_record(rows.image, registered_table, record) for rows in well.written
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


def _keep_judgement(
    urls: Sequence[ImageUrl],
    pending: Mapping[ImageUrl, Record],
    settings: ConsensusSettings,
) -> dict[ImageUrl, Outcome]:
    """Let a judgement stand by which images of the well were replaced already.

    Raises:
        InvalidDataError: It was made in another way, or without one of the images.
    """
    for url in urls:
        if url in pending:
            differences = find_differences(pending[url], settings.model_dump())
            if differences:
                raise judged_otherwise(url, differences)
        elif read_applied_judgement(url) is None:
            raise not_judged(url)
    logger.info(
        "Well %s: %d of its images were judged, and others are registered by the same "
        "judgement already: it stands",
        urls[0].well_url,
        len(pending),
    )
    images = [open_image(url) for url in urls]
    return _read_outcomes(images, settings.registered_roi_table)


def _read_outcomes(
    images: Sequence[OpenImage], registered_table: str
) -> dict[ImageUrl, Outcome]:
    """Give what `judge_well` returned when it wrote the tables that are there."""
    found: dict[ImageUrl, Outcome] = {}
    for image in images:
        stored = ConsensusRecord.read(read_roi_table(image, registered_table).record)
        verdicts = read_registered_rows(image, registered_table)
        # A registered image has the table without the plan.
        is_placed = stored is None or stored.placements
        statuses = [row.status for row in verdicts] if is_placed else []
        found[image.url] = find_outcome(statuses)
    return found
