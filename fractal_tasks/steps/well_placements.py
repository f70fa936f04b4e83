"""Where the pixels of each row of a well come from and go to."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.model import (
    Canvas,
    ConsensusSettings,
    Placement,
    RowKey,
    Verdict,
    View,
    find_canvas,
    place_views,
)
from fractal_tasks.records.well_rows import AcquisitionRows, WellRows
from fractal_tasks.steps.well_verdicts import Verdicts
from fractal_tasks.transforms import Translation

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PlacedWell:
    """What becomes of the rows of a well."""

    well: WellRows
    """With the rows that are placed."""

    verdicts: Sequence[Mapping[RowKey, Verdict]]
    """Those that are used in the end, of each acquisition, reference first."""

    placements: Sequence[Mapping[RowKey, Placement]]
    """Of each acquisition, reference first."""

    canvas: Canvas
    """What they are placed on."""


def place_rows(
    well: WellRows, verdicts: Sequence[Verdicts], settings: ConsensusSettings
) -> PlacedWell:
    """Place every row in every acquisition.

    Args:
        well: The rows.
        verdicts: On the rows of each acquisition, reference first.
        settings: What is kept.

    Returns:
        The rows that all acquisitions see, and what was decided about them.

    Raises:
        InvalidDataError: There is no such row.
    """
    used: list[dict[RowKey, Verdict]] = [{} for _ in well.acquisitions]
    placements: list[dict[RowKey, Placement]] = [{} for _ in well.acquisitions]
    unseen: dict[RowKey, str] = {}
    # Those that have a row: the reference, and what is paired with it.
    own_of = {
        key: {index: of[key] for index, of in enumerate(verdicts) if key in of}
        for key in well.reference.keys
    }
    views_of = {key: _view(well, key, own, settings) for key, own in own_of.items()}
    canvas = find_canvas(
        ((views[0], views[1:]) for views in views_of.values()),
        settings.keep,
        Canvas.of(well.reference.image.grid, settings.output_grid),
    )
    for key, own in own_of.items():
        views = views_of[key]
        placed = place_views(views[0], views[1:], settings.keep, canvas)
        gone = [one.destination.is_empty for one in placed]
        if any(gone):
            own = {
                index: _stay(one) if away and one.status == "unresolved" else one
                for away, (index, one) in zip(gone, own.items(), strict=True)
            }
            views = _view(well, key, own, settings)
            placed = place_views(views[0], views[1:], settings.keep, canvas)
        if any(placement.destination.is_empty for placement in placed):
            seen = [well.acquisitions[index] for index in own]
            unseen[key] = _describe_shifts(seen, views)
            continue
        logger.info(
            "%s: rounding to whole pixels leaves at most %.2f px",
            key,
            max(view.on(canvas).residual_px for view in views),
        )
        for (index, verdict), placement in zip(own.items(), placed, strict=True):
            used[index][key] = verdict
            placements[index][key] = placement
    return PlacedWell(_without_unseen(well, unseen), used, placements, canvas)


def _view(
    well: WellRows,
    key: RowKey,
    verdicts: Mapping[int, Verdict],
    settings: ConsensusSettings,
) -> list[View]:
    """Give how each acquisition sees a row that it has a verdict on, by its index.

    Where a ROI is not known to be, it must not cost the others any pixels, and gains
    nothing from parts of one.
    """
    views = []
    for index, verdict in verdicts.items():
        rows, is_sure = well.acquisitions[index], verdict.status != "unresolved"
        views.append(
            View(
                rows.boxes[key],
                rows.image.grid,
                verdict.candidate.transform,
                is_sure=is_sure,
                subpixel=settings.subpixel and is_sure,
            )
        )
    return views


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
