"""Estimate how each ROI of an acquisition moved against the reference, and store it."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.model import CalculateSettings, RowKey
from fractal_tasks.records.columns import STATUS_COLUMN, present_columns
from fractal_tasks.records.provenance import Record, fingerprint_rois
from fractal_tasks.records.rows import (
    RoiRecord,
    displacements_of_rows,
    without_record,
)
from fractal_tasks.registration.base import RegistrationMethod
from fractal_tasks.registration.estimate import Estimate
from fractal_tasks.registration.fixed_pattern import FixedPattern, find_fixed_pattern
from fractal_tasks.steps.channel_choice import choose_channels
from fractal_tasks.steps.estimate_log import log_estimate, log_summary
from fractal_tasks.steps.estimates import Estimation
from fractal_tasks.steps.roi_pairs import RoiPair, open_pairs
from fractal_tasks.steps.sides import Side, open_sides
from fractal_tasks.storage.files import files_of
from fractal_tasks.storage.plate.fingerprint import fingerprint_pixels
from fractal_tasks.storage.plate.roi_tables import (
    check_table_replaceable,
    replace_roi_table,
)
from fractal_tasks.storage.plate.tables import remove_unused_displacements
from fractal_tasks.storage.plate.wells import read_acquisition
from fractal_tasks.storage.plate.work import working_on
from fractal_tasks.storage.urls import ImageUrl
from fractal_tasks.transforms import PixelSizes

if TYPE_CHECKING:
    from ngio import Roi

logger = logging.getLogger(__name__)


def measure_rois(
    url: ImageUrl,
    reference: ImageUrl,
    method: RegistrationMethod,
    settings: CalculateSettings,
    *,
    channels: Mapping[str, str] = MappingProxyType({}),
    rerun: bool = False,
) -> None:
    """Estimate the transform of each ROI, and store it in the acquisition's ROI table.

    Args:
        url: The acquisition.
        reference: What it is compared with.
        method: How; `settings.method` says the same.
        settings: What is compared.
        channels: Channel of each acquisition (by id, as text) that has another one than
            `settings.wavelength_id`, or of an image in no plate (by its name); a
            reference in another plate never has.
        rerun: Whether to measure again what was measured in the same way already.

    Raises:
        InvalidInputError: An argument does not fit the images.
        InvalidDataError: Images or ROI tables are not as needed.
        PublishError: The ROI table could not be replaced; the old one is untouched.
    """
    files_of(url).check_writable(url)
    name = _name(url)
    with working_on(url):
        chosen = choose_channels(reference, url, channels, settings.wavelength_id)
        fixed, moving = open_sides(reference, url, settings, chosen)
        check_table_replaceable(url, settings.input_roi_table)
        imported = {} if rerun else _find_imported(moving)
        pairs = [
            pair
            for pair in open_pairs(fixed, moving, method, settings)
            if pair.key not in imported
        ]
        if not pairs:  # all were imported
            return
        record = Record.of("calculate_registration", _inputs(fixed, moving), settings)
        if not rerun and _is_measured(moving, pairs, record):
            logger.info(
                "%s: its %d ROIs were measured from the same images in the same way: "
                "nothing to do",
                url.zarr_url,
                len(pairs),
            )
            return
        pattern = _find_pattern(pairs)
        keys = frozenset(pair.key for pair in pairs)
        estimation = Estimation(url, reference, chosen, method, settings, keys, pattern)
        records = []
        for pair, estimate in zip(pairs, estimation.run(pairs), strict=True):
            records.append(_make_record(pair, estimate, settings))
            log_estimate(records[-1], name)
        replace_roi_table(
            url,
            settings.input_roi_table,
            rois=_write_rows(moving, [*imported.values(), *records]),
            meta=moving.table.meta,
            record=record.to_json(),
            unit_um=moving.table.unit_um,
            missing_unit=moving.image.missing_unit,
            displacements=displacements_of_rows([*imported.values(), *records]),
        )
        remove_unused_displacements(url)
    log_summary(url, name, records)


def _name(url: ImageUrl) -> str:
    """Give what the log calls an image: by its acquisition, if it is of one."""
    acquisition = read_acquisition(url)
    return url.image_path if acquisition is None else f"acquisition {acquisition}"


def _write_rows(side: Side, records: Sequence[RoiRecord]) -> list["Roi"]:
    """Give all rows of a table; those without a record lose that of an earlier run."""
    found = {record.key.roi: record for record in records}
    return [
        found[name].to_roi(roi) if name in found else without_record(roi)
        for name, roi in side.table.rois.items()
    ]


def _find_imported(side: Side) -> dict[RowKey, RoiRecord]:
    """Find the rows that come from elsewhere, and say that they stay."""
    records = [
        RoiRecord.from_roi(roi, side.image, side.image.where(name))
        for name, roi in side.table.rois.items()
        if present_columns(roi).get(STATUS_COLUMN) == "imported"
    ]
    if records:
        logger.info(
            "%s: the transforms of %s were imported and stay; with rerun they are "
            "measured",
            side.image.zarr_url,
            ", ".join(str(record.key) for record in records),
        )
    return {record.key: record for record in records}


def _inputs(fixed: Side, moving: Side) -> dict[str, str]:
    return {
        "reference_image": fixed.image.url.seen_from(moving.image.url),
        "reference_channel": _list(fixed.channels),
        "channel": _list(moving.channels),
        "reference_pixels": fingerprint_pixels(fixed.image),
        "reference_rois": fingerprint_rois(fixed.table),
        "pixels": fingerprint_pixels(moving.image),
        "rois": fingerprint_rois(moving.table),
        **{
            name: side.mask.fingerprint
            for name, side in (("reference_mask", fixed), ("mask", moving))
            if side.mask is not None
        },
    }


def _list(channels: Sequence[int]) -> str:
    return ",".join(map(str, channels))


def _is_measured(side: Side, pairs: Sequence[RoiPair], record: Record) -> bool:
    """Whether the table is what this step would write, as far as rows can be lost."""
    stored = Record.read(side.table.record)
    if stored is None or not stored.is_of(record):
        return False
    rows = {pair.key.roi: side.table.rois[pair.key.roi] for pair in pairs}
    try:
        return all(
            RoiRecord.from_roi(roi, side.image, side.image.where(name)).candidates
            for name, roi in rows.items()
        )
    except InvalidDataError:
        # All later steps say of such a row: measure again.
        return False


def _find_pattern(pairs: Sequence[RoiPair]) -> FixedPattern | None:
    """Find what the camera shows in all ROIs, and say how much it is."""
    pattern = find_fixed_pattern(
        [pair.fixed.start_patch for pair in pairs],
        [pair.moving.start_patch for pair in pairs],
    )
    if pattern is not None and pattern.mask.any():
        logger.info(
            "%.2f %% of the camera shows the same in all ROIs (hot pixels, dust) and "
            "is left out",
            100 * pattern.mask.mean(),
        )
    return pattern


def _make_record(
    pair: RoiPair, estimate: Estimate, settings: CalculateSettings
) -> RoiRecord:
    """Turn transforms between ROI corners into ones between the images."""
    is_flat = pair.is_planar(settings)
    corners_um = [
        roi.find_corner_um(is_flat=is_flat) for roi in (pair.moving, pair.fixed)
    ]
    side = pair.moving.side
    return RoiRecord.of(
        side.table.rois[pair.key.roi],
        side.image,
        tuple(
            replace(candidate, transform=candidate.transform.in_frames(*corners_um))
            for candidate in estimate.candidates
        ),
        PixelSizes(side.image.spacing_um, pair.fixed.side.image.spacing_um),
        status="measured",
    )
