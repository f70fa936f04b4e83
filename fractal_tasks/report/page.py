"""The page of a report: one file of HTML that needs no network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from bokeh.embed import components
from bokeh.resources import Resources
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fractal_tasks import __version__
from fractal_tasks.qc.usability import PlateVerdict, find_blame
from fractal_tasks.records.provenance import Record
from fractal_tasks.report.columns import make_roi_columns, make_well_columns
from fractal_tasks.report.distributions import colour_acquisitions, make_distributions
from fractal_tasks.report.history import describe_settings
from fractal_tasks.report.maps import (
    MEASURED_COLOUR,
    PALETTES,
    STATUS_COLOURS,
    Scale,
    list_scales,
    make_plate_map,
    make_well_layout,
)
from fractal_tasks.report.overlays import Drawn
from fractal_tasks.report.packing import (
    list_columns,
    list_names,
    pack_columns,
    pack_text,
)
from fractal_tasks.report.results import RoiResult
from fractal_tasks.report.roi_table import make_roi_table

_SHOWN_FLAGS = 50
"""More lines nobody reads; all are in the table."""


_TABLE_STYLE = """
.slick-row *, .slick-header-column { color: var(--ink) !important; }
.slick-row, .slick-header-column, .slick-viewport {
  background: var(--page) !important; }
.slick-row.odd { background: var(--card) !important; }
.slick-cell { border-color: var(--line) !important; }
"""
"""Of bokeh's table, in the colours of the page, light or dark."""


@dataclass(frozen=True)
class Content:
    """What a page tells."""

    title: str
    stage: str
    """How far the plate is, and what to run next; '' if it is registered."""

    rois: Sequence[RoiResult]
    verdict: PlateVerdict
    history: dict[str, Record] = field(default_factory=dict)
    inputs: Sequence[str] = ()
    """Urls of what was looked at."""

    failures: dict[str, str] = field(default_factory=dict)
    """What is wrong, by the url of each image that could not be read."""

    drawn: Drawn = field(default_factory=Drawn)


def render_page(content: Content) -> str:
    """Write the page; all names are escaped."""
    flags = _group_flags(content.verdict)
    moved = [one for one in content.rois if one.status != "reference"]
    environment = Environment(
        loader=PackageLoader("fractal_tasks.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
    )
    return environment.get_template("page.html.j2").render(
        content=content,
        numbers=_count(moved),
        flags=flags[:_SHOWN_FLAGS],
        more_flags=len(flags[_SHOWN_FLAGS:]),
        status_colours={
            name: colour
            for name, colour in STATUS_COLOURS.items()
            if name in {one.status or "estimated" for one in moved}
        },
        measured_colour=MEASURED_COLOUR,
        missing=_describe_missing(content.rois),
        drawn=_draw(content.rois) if moved else None,
        settings={k: describe_settings(v) for k, v in content.history.items()},
        version=__version__,
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _group_flags(verdict: PlateVerdict) -> list[tuple[str, list[str], str]]:
    """Put ROIs of an image together that are worth a look for the same reason."""
    groups: dict[tuple[str, str], list[str]] = {}
    for flag in verdict.look_at:
        groups.setdefault((flag.place, flag.reason), []).append(flag.roi)
    return [(place, rois, reason) for (place, reason), rois in groups.items()]


@dataclass(frozen=True)
class _Drawn:
    """Charts, their data and what draws them."""

    scales: dict[str, Scale]
    wells: list[str]
    acquisitions: list[int]
    chosen: tuple[str, int]
    """Well and acquisition that are shown first: the worst."""

    colours: dict[int, str]
    """Of acquisitions."""

    statuses: list[str]
    saved: list[str]
    """Columns of the table that is saved."""

    has_measured: bool
    """Whether some ROIs have an estimate that is not used."""

    places: dict[str, Markup]
    """Where charts go, by their names."""

    library: Markup
    map_script: Markup
    packed: dict[str, str]
    """What is drawn after the map."""

    palettes: dict[str, list[str]] = field(default_factory=lambda: PALETTES)


def _draw(rois: Sequence[RoiResult]) -> _Drawn:
    columns, listed = make_roi_columns(rois), list_columns(rois)
    wells = make_well_columns(columns)
    scales = list_scales(wells)
    worst = int(np.lexsort(np.nan_to_num([wells["error_px"], wells["lost"]]))[-1])
    chosen = wells["well"][worst], int(wells["acquisition"][worst])
    plate_map = make_plate_map(wells, scales, chosen[1])
    table = make_roi_table([one for one in listed if not one.startswith("drawn_")])
    table.stylesheets = [_TABLE_STYLE]
    distributions = make_distributions(columns)
    map_script, map_places = components({"plate_map": plate_map})
    script, places = components(
        {
            "well_layout": make_well_layout(has_z=any(one.has_z for one in rois)),
            "roi_table": table,
            **{f"distribution_{i}": plot for i, plot in enumerate(distributions)},
        },
        wrap_script=False,
    )
    # What is drawn later needs more of the bundle.
    later = Resources(mode="inline", components=["bokeh-widgets", "bokeh-tables"])
    return _Drawn(
        scales=scales,
        wells=list(dict.fromkeys(wells["well"])),
        acquisitions=sorted({int(number) for number in wells["acquisition"]}),
        chosen=chosen,
        colours=colour_acquisitions(columns),
        statuses=[one for one in STATUS_COLOURS if one in set(columns["status"])],
        saved=list_names(rois),
        has_measured=any(one.measured_um is not None for one in rois),
        places={name: Markup(div) for name, div in (map_places | places).items()},
        # The bundle of bokeh's own wheel: no name of a plate is in it.
        library=Markup(Resources(mode="inline", components=["bokeh"]).render_js()),
        map_script=Markup(map_script),
        packed={
            "packed-rois": pack_columns(listed),
            "packed-library": pack_text("\n".join(later.js_raw)),
            "packed-charts": pack_text(script),
        },
    )


def _describe_missing(rois: Sequence[RoiResult]) -> str:
    """Say what tables without verdicts do not tell; '' if they tell it."""
    if any(one.status for one in rois):
        return ""
    known: dict[str, Callable[[RoiResult], float | None]] = {
        "confidence": lambda one: one.confidence,
        "standard error": lambda one: one.error_um,
        "similarity before and after": lambda one: one.evidence.get("similarity_after"),
        "the part of each ROI that is kept": lambda one: one.kept,
    }
    missing = [
        name for name, read in known.items() if all(read(one) is None for one in rois)
    ]
    return f"What the tables do not say: {', '.join(missing)}." if missing else ""


def _count(moved: Sequence[RoiResult]) -> list[tuple[str, str]]:
    """Give the numbers below the verdict, with their names."""
    statuses = [one.status for one in moved]
    rows = [("ROIs", f"{len(moved)}")]
    if any(statuses):
        measured = statuses.count("measured") + statuses.count("imported")
        rows += [
            ("measured", f"{measured}"),
            ("chosen", f"{statuses.count('chosen')}"),
            ("imputed", f"{statuses.count('imputed')}"),
            ("unresolved", f"{statuses.count('unresolved')}"),
        ]
    # Where a ROI was left for want of better is no movement.
    known = (one.shift_um for one in moved if one.status != "unresolved")
    shifts = [float(np.linalg.norm(shift)) for shift in known if shift]
    rows += _spread("shift", "µm", shifts, 1)
    rows += _spread("standard error", "px", [one.error_px for one in moved], 2)
    left = [one.left_px for one in moved if one.left_px is not None]
    if left:
        rows.append(("left by rotation and warp, at most", f"{max(left):.1f} px"))
    kept = [one.kept for one in moved if one.kept is not None]
    if kept:
        rows.append(("area lost", f"{1 - np.mean(kept):.1%}"))
        blamed = find_blame(moved)
        if blamed is not None:
            rows.append(("most of it since it moved far", f"acquisition {blamed}"))
    return rows


def _spread(
    name: str, unit: str, values: Sequence[float | None], digits: int
) -> list[tuple[str, str]]:
    known = [value for value in values if value is not None]
    if not known:
        return []
    return [
        (f"{name}, {words}", f"{value:,.{0 if value >= 1000 else digits}f} {unit}")
        for words, value in zip(
            ("median", "95% below"), np.percentile(known, (50, 95)), strict=True
        )
    ]
