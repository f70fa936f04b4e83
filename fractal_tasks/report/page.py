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
from fractal_tasks.report.distributions import make_distributions
from fractal_tasks.report.history import describe_settings
from fractal_tasks.report.maps import make_plate_map, make_well_layout
from fractal_tasks.report.overlays import Overlay
from fractal_tasks.report.results import RoiResult
from fractal_tasks.report.roi_table import make_roi_table
from fractal_tasks.report.sources import Sources

_SHOWN_FLAGS = 100
"""More nobody reads; all are in the table."""


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

    overlays: Sequence[Overlay] = ()


def render_page(content: Content) -> str:
    """Write the page; all names are escaped."""
    charts: dict[str, Any] = {}
    script = library = ""
    moved = [one for one in content.rois if one.status != "reference"]
    if moved:
        charts, script = _draw(make_roi_columns(content.rois))
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
        flags=content.verdict.look_at[:_SHOWN_FLAGS],
        more_flags=max(0, len(content.verdict.look_at) - _SHOWN_FLAGS),
        charts=charts,
        script=Markup(script),
        library=Markup(library),
        settings={k: describe_settings(v) for k, v in content.history.items()},
        version=__version__,
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


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
