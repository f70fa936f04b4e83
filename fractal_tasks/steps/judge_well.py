"""Judge the estimates of a well together, and write the registered ROI tables."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.model import (
    ConsensusSettings,
    Outcome,
    Placement,
    PlateEvidence,
    RowKey,
    Verdict,
    View,
    find_outcomes,
    place_views,
)
from fractal_tasks.records.plans import check_translation
from fractal_tasks.records.provenance import Record, fingerprint, fingerprint_rows
from fractal_tasks.records.registered_rows import read_registered_rows
from fractal_tasks.records.stored_plan import ConsensusRecord, snapshot_roi_tables
from fractal_tasks.records.well_rows import WellRows, read_well_rows
from fractal_tasks.steps.registered_tables import (
    RegisteredAcquisition,
    write_registered_tables,
)
from fractal_tasks.steps.well_checks import check_well
from fractal_tasks.steps.well_verdicts import Verdicts, find_verdicts
from fractal_tasks.storage.files import files_of
from fractal_tasks.storage.plate.images import list_tables
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.storage.plate.roi_tables import (
    RoiTableData,
    read_roi_table,
)
from fractal_tasks.storage.plate.wells import read_acquisition_of_each
from fractal_tasks.storage.plate.work import working_on
from fractal_tasks.storage.urls import ImageUrl
from fractal_tasks.transforms import Translation

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
            not believed, and that must not be.
        MissingStepError: *Calculate* has not run.
        PublishError: A table could not be replaced; the old one is untouched.
    """
    for url in urls:
        files_of(url).check_writable(url)
    acquisitions = read_acquisition_of_each(urls)
    with working_on(*urls):
        well = read_well_rows(acquisitions, settings.input_roi_table)
        check_well(well, settings)
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
        well, found = find_verdicts(well, plate, settings)
        _check_applicable(well, found)
        well, verdicts, placements = _place(well, found, settings)
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
) -> tuple[WellRows, list[dict[RowKey, Verdict]], list[dict[RowKey, Placement]]]:
    """Place every row in every acquisition.

    Returns:
        The rows that all acquisitions see, and for each acquisition the verdicts that
        are used in the end, and the placements.
    """
    used: list[dict[RowKey, Verdict]] = [{} for _ in well.acquisitions]
    placements: list[dict[RowKey, Placement]] = [{} for _ in well.acquisitions]
    unseen: dict[RowKey, str] = {}
    for key in well.reference.keys:
        own = [of_acquisition[key] for of_acquisition in verdicts]
        views = _view(well, key, own)
        placed = place_views(views[0], views[1:], settings.keep)
        gone = [one.destination.is_empty for one in placed]
        if any(gone):
            own = [
                _stay(verdict) if away and verdict.status == "unresolved" else verdict
                for away, verdict in zip(gone, own, strict=True)
            ]
            views = _view(well, key, own)
            placed = place_views(views[0], views[1:], settings.keep)
        if any(placement.destination.is_empty for placement in placed):
            unseen[key] = _describe_shifts(well, views)
            continue
        logger.info(
            "%s: rounding to whole pixels leaves at most %.2f px",
            key,
            max(view.residual_px for view in views),
        )
        for index, (verdict, placement) in enumerate(zip(own, placed, strict=True)):
            used[index][key] = verdict
            placements[index][key] = placement
    return _without_unseen(well, unseen), used, placements


def _view(well: WellRows, key: RowKey, verdicts: Sequence[Verdict]) -> list[View]:
    """Give how each acquisition sees a row.

    Where a ROI is not known to be, it must not cost the others any pixels.
    """
    return [
        View(
            rows.boxes[key],
            rows.image.spacing_um,
            verdict.candidate.transform,
            is_sure=verdict.status != "unresolved",
        )
        for rows, verdict in zip(well.acquisitions, verdicts, strict=True)
    ]


def _stay(verdict: Verdict) -> Verdict:
    """Leave a ROI where it is that would be moved out of what is kept."""
    return replace(
        verdict,
        candidate=replace(verdict.candidate, transform=Translation((0.0, 0.0, 0.0))),
        reason=f"{verdict.reason}; left where it is, as nothing that is kept is there",
    )


def _describe_shifts(well: WellRows, views: Sequence[View]) -> str:
    return "; ".join(
        f"acquisition {rows.acquisition}: {view.displacement_um} um"
        for rows, view in zip(well.acquisitions, views, strict=True)
    )


def _without_unseen(well: WellRows, unseen: Mapping[RowKey, str]) -> WellRows:
    """Leave out the ROIs of which no pixel is seen by all acquisitions.

    Args:
        well: The rows.
        unseen: These ROIs, each with the translations that say so.
    """
    for key, shifts in unseen.items():
        logger.warning(
            "Well %s, %s: excluded from all acquisitions, which have no region of it "
            "in common. Translations (z, y, x): %s",
            well.well_url,
            key,
            shifts,
        )
    left = well.without(unseen)
    if not left.reference.keys:
        key, shifts = next(iter(unseen.items()))
        raise InvalidDataError(
            f"Well {well.well_url}: found no ROI of which all acquisitions see a "
            f"pixel; needed is at least one. Translations (z, y, x) of {key}: "
            f"{shifts}. Look at these acquisitions, leave the wrong one out, or raise "
            "min_confidence."
        )
    return left
