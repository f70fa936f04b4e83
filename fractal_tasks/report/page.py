"""The page of a report: one file of HTML that needs no network."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from bokeh.embed import components
from bokeh.resources import Resources
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fractal_tasks import __version__
from fractal_tasks.qc.usability import PlateVerdict, find_blame
from fractal_tasks.records.provenance import Record
from fractal_tasks.report.columns import Columns, make_roi_columns, make_well_columns
from fractal_tasks.report.distributions import colour_acquisitions, make_distributions
from fractal_tasks.report.history import describe_settings
from fractal_tasks.report.maps import STATUS_COLOURS, make_plate_map, make_well_layout
from fractal_tasks.report.overlays import Drawn
from fractal_tasks.report.results import RoiResult
from fractal_tasks.report.roi_table import make_roi_table
from fractal_tasks.report.sources import Sources

_SHOWN_FLAGS = 50
"""More lines nobody reads; all are in the table."""


_STYLE = """
.bk-input, .bk-btn { background-color: var(--page) !important;
  color: var(--ink) !important; border-color: var(--line) !important; }
.bk-btn.bk-active { font-weight: 700; background-color: var(--line) !important; }
label { color: var(--dim); }
.slick-row, .slick-header-column { color: var(--ink) !important; }
.slick-row, .slick-header-column, .slick-viewport {
  background: var(--page) !important; }
.slick-row.odd { background: var(--card) !important; }
.slick-cell { border-color: var(--line) !important; }
"""
"""Of bokeh's controls and table, in the colours of the page, light or dark."""


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
    charts: dict[str, Any] = {}
    colours: dict[int, str] = {}
    script = library = ""
    flags = _group_flags(content.verdict)
    moved = [one for one in content.rois if one.status != "reference"]
    if moved:
        columns = make_roi_columns(content.rois)
        charts, script = _draw(columns)
        colours = colour_acquisitions(columns)
        parts = ["bokeh", "bokeh-widgets", "bokeh-tables"]
        # The bundle of bokeh's own wheel: no name of a plate is in it.
        library = Resources(mode="inline", components=parts).render_js()
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
            if name in {one.status or "estimated" for one in content.rois}
        },
        acquisition_colours=colours,
        charts=charts,
        script=Markup(script),
        library=Markup(library),
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


def _draw(rois: Columns) -> tuple[dict[str, Any], str]:
    """Give the places of all charts in the page, and the script that fills them."""
    sources = Sources.of(rois, make_well_columns(rois))
    quantity, plate_map = make_plate_map(sources)
    text, status, save, table = make_roi_table(sources)
    models = {
        "acquisitions": sources.acquisitions,
        "quantity": quantity,
        "plate_map": plate_map,
        "well": sources.well,
        "well_layout": make_well_layout(sources),
        "filter_text": text,
        "filter_status": status,
        "save_csv": save,
        "roi_table": table,
    }
    distributions = make_distributions(rois)
    models |= {f"distribution_{i}": plot for i, plot in enumerate(distributions)}
    for model in models.values():
        model.stylesheets = [_STYLE]
    script, divs = components(models)
    charts = {name: Markup(div) for name, div in divs.items()}
    return charts, script


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
    shifts = [float(np.linalg.norm(one.shift_um)) for one in moved if one.shift_um]
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
    middle, high = np.percentile(known, (50, 95))
    return [
        (f"{name}, median", f"{middle:.{digits}f} {unit}"),
        (f"{name}, 95% below", f"{high:.{digits}f} {unit}"),
    ]
