"""Pairs that nothing but an order tells: they count only if the images confirm them."""

import logging
from collections.abc import Collection
from dataclasses import replace

from fractal_tasks.model import RowKey
from fractal_tasks.records.well_rows import AcquisitionRows, WellRows
from fractal_tasks.storage.urls import ImageUrl

logger = logging.getLogger(__name__)


def leave_out_unsure(
    well: WellRows, unsure_images: Collection[ImageUrl], min_confidence: float
) -> WellRows:
    """Leave out what was paired by order, unless its own estimate is believed.

    Args:
        well: The rows that *calculate* wrote.
        unsure_images: Images that were themselves paired by order: they stay if one of
            their rows is believed. A row of an unsure pair of ROIs has to be itself.
        min_confidence: From this on an estimate is believed. One without a confidence
            was put there by somebody, who knows.

    Returns:
        The well; acquisitions of which no row is left are not in it.

    Raises:
        MissingStepError: *Calculate* has not run.
    """
    kept = [
        shorter
        for rows in well.others
        if (shorter := _keep_believed(rows, unsure_images, min_confidence)).keys
    ]
    return replace(well, others=tuple(kept))


def _keep_believed(
    rows: AcquisitionRows, unsure_images: Collection[ImageUrl], min_confidence: float
) -> AcquisitionRows:
    is_unsure = rows.image.url in unsure_images
    if not is_unsure and not rows.unsure:
        return rows
    own = {key: one.best.confidence for key, one in rows.read_measurements().items()}
    believed = {
        key for key, value in own.items() if (value is None) or value >= min_confidence
    }
    lost = set(rows.unsure) - believed
    if is_unsure and not believed:
        lost = set(rows.keys)
    if lost:
        _warn(rows, lost, own, min_confidence)
    return rows.without(lost)


def _warn(
    rows: AcquisitionRows,
    lost: Collection[RowKey],
    confidences: dict[RowKey, float | None],
    min_confidence: float,
) -> None:
    highest = max((confidences[key] or 0.0) for key in lost)
    logger.warning(
        "Acquisition %d (%s): %s paired with the reference by order alone, and with a "
        "confidence of at most %.2f, below min_confidence=%s, nothing says that they "
        "show the same: left unregistered",
        rows.acquisition,
        rows.image.zarr_url,
        f"the ROIs {sorted(key.roi for key in lost)} are",
        highest,
        min_confidence,
    )
