"""Judge the estimates of a well together, and write the registered ROI tables."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import astuple, replace

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.model import (
    ConsensusSettings,
    Outcome,
    Placement,
    PlateEvidence,
    RowKey,
    Verdict,
    View,
    find_outcome,
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
    write_unregistered_table,
)
from fractal_tasks.steps.unsure_pairs import leave_out_unsure
from fractal_tasks.steps.well_checks import check_well
from fractal_tasks.steps.well_verdicts import Verdicts, find_verdicts
from fractal_tasks.storage.files import files_of
from fractal_tasks.storage.plate.images import list_tables
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.storage.plate.roi_tables import RoiTableData, read_roi_table
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
    unsure: Collection[ImageUrl] = (),
    rerun: bool = False,
) -> dict[ImageUrl, Outcome]:
    """Judge a well, and write a registered ROI table into each of its acquisitions.

    Args:
        urls: The images of the well, reference first; that may be of another plate,
            and is then only read.
        plate: What the other wells of its plate say.
        settings: How it is judged, and what is kept.
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
    written = [url for url in urls if url.well_url == urls[-1].well_url]
    for url in written:
        files_of(url).check_writable(url)
    acquisitions = read_acquisition_of_each(urls)
    with working_on(*written):
        well = read_well_rows(acquisitions, settings.input_roi_table)
        check_well(well, settings)
        reference_tables = snapshot_roi_tables(
            well.reference.image, skip=settings.registered_roi_table
        )
        record = _make_record(well, reference_tables, plate, unsure, settings)
        if not rerun and _is_judged(well, record, settings.registered_roi_table):
            logger.info(
                "Well %s: its %d acquisitions were judged from the same estimates in "
                "the same way: nothing to do",
                well.well_url,
                len(well.written),
            )
            return _read_outcomes(well, settings.registered_roi_table)
        sure = leave_out_unsure(well, unsure, settings.min_confidence)
        registered = _judge(sure, plate, settings) if sure.others else []
        write_registered_tables(registered, reference_tables, record)
        return _find_outcomes(registered) | _write_others(well, registered, record)


def _judge(
    well: WellRows, plate: PlateEvidence | None, settings: ConsensusSettings
) -> list[RegisteredAcquisition]:
    """Say of each row what is used, and where its pixels go."""
    well, found = find_verdicts(well, plate, settings)
    _check_applicable(well, found)
    well, verdicts, placements = _place(well, found, settings)
    return [
        RegisteredAcquisition(rows, own_verdicts, own_placements)
        for rows, own_verdicts, own_placements in zip(
            well.acquisitions, verdicts, placements, strict=True
        )
    ]


def _find_outcomes(
    registered: Sequence[RegisteredAcquisition],
) -> dict[ImageUrl, Outcome]:
    """Say what became of the images of the well, without a reference elsewhere."""
    found = find_outcomes(
        {
            one.rows.image.url: [verdict.status for verdict in one.verdicts.values()]
            for one in registered
        }
    )
    wells = {one.rows.image.url.well_url for one in registered[1:]}
    return {url: outcome for url, outcome in found.items() if url.well_url in wells}


def _write_others(
    well: WellRows, registered: Sequence[RegisteredAcquisition], record: Record
) -> dict[ImageUrl, Outcome]:
    """Note in the images that are not registered to anything that they are not."""
    done = {one.rows.image.url for one in registered}
    others = [rows for rows in well.written if rows.image.url not in done]
    for rows in others:
        write_unregistered_table(rows, well.reference, record)
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
        f"image {rows.image.url.seen_from(home)}": fingerprint(
            [fingerprint_rows(rows.table), astuple(rows.image.grid)]
        )
        for rows in well.acquisitions
    }
    inputs["reference_image"] = well.reference.image.url.seen_from(home)
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


def _read_outcomes(well: WellRows, registered_table: str) -> dict[ImageUrl, Outcome]:
    """Give what `judge_well` returned when it wrote the tables that are there."""
    found: dict[ImageUrl, Outcome] = {}
    for rows in well.written:
        table = read_roi_table(rows.image, registered_table)
        stored = ConsensusRecord.read(table.record)
        verdicts = read_registered_rows(rows.image, registered_table)
        is_placed = stored is not None and stored.placements
        statuses = [row.status for row in verdicts] if is_placed else []
        found[rows.image.url] = find_outcome(statuses)
    return found


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
        # Those that have this row: the reference, and what is paired with it.
        members = [index for index, of in enumerate(verdicts) if key in of]
        seen = [well.acquisitions[index] for index in members]
        own = [verdicts[index][key] for index in members]
        views = _view(seen, key, own)
        placed = place_views(views[0], views[1:], settings.keep)
        gone = [one.destination.is_empty for one in placed]
        if any(gone):
            own = [
                _stay(verdict) if away and verdict.status == "unresolved" else verdict
                for away, verdict in zip(gone, own, strict=True)
            ]
            views = _view(seen, key, own)
            placed = place_views(views[0], views[1:], settings.keep)
        if any(placement.destination.is_empty for placement in placed):
            unseen[key] = _describe_shifts(seen, views)
            continue
        logger.info(
            "%s: rounding to whole pixels leaves at most %.2f px",
            key,
            max(view.residual_px for view in views),
        )
        for index, verdict, placement in zip(members, own, placed, strict=True):
            used[index][key] = verdict
            placements[index][key] = placement
    return _without_unseen(well, unseen), used, placements


def _view(
    seen: Sequence[AcquisitionRows], key: RowKey, verdicts: Sequence[Verdict]
) -> list[View]:
    """Give how each acquisition sees a row.

    Where a ROI is not known to be, it must not cost the others any pixels.
    """
    return [
        View(
            rows.boxes[key],
            rows.image.grid,
            verdict.candidate.transform,
            is_sure=verdict.status != "unresolved",
        )
        for rows, verdict in zip(seen, verdicts, strict=True)
    ]


def _stay(verdict: Verdict) -> Verdict:
    """Leave a ROI where it is that would be moved out of what is kept."""
    return replace(
        verdict,
        candidate=replace(verdict.candidate, transform=Translation((0.0, 0.0, 0.0))),
        reason=f"{verdict.reason}; left where it is, as nothing that is kept is there",
    )


def _describe_shifts(seen: Sequence[AcquisitionRows], views: Sequence[View]) -> str:
    return "; ".join(
        f"acquisition {rows.acquisition}: {view.displacement_um} um"
        for rows, view in zip(seen, views, strict=True)
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
