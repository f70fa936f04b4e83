"""The map of a plate, and the layout of a well."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from bokeh.events import Tap
from bokeh.models import (
    ColorBar,
    CustomJS,
    HoverTool,
    LinearColorMapper,
    Select,
    TapTool,
)
from bokeh.palettes import RdBu11, Viridis256
from bokeh.plotting import figure
from bokeh.transform import factor_cmap

from fractal_tasks.report.columns import Columns
from fractal_tasks.report.sources import Sources

GREY = "#8a8f98"
"""Of what is not known: no colour of a scale."""

STATUS_COLOURS = {
    "measured": "#0072b2",
    "chosen": "#56b4e9",
    "imported": "#009e73",
    "imputed": "#e69f00",
    "unresolved": "#d55e00",
    "reference": GREY,
    "estimated": GREY,
}
"""Colours of Okabe and Ito, which all eyes can tell apart."""


_MANY = 24
"""Rows or columns; with more, dots and names are small: a plate of 1536 wells."""


@dataclass(frozen=True)
class _Quantity:
    """What wells can be coloured by."""

    name: str
    label: str
    scale: Literal["from zero", "part", "about zero"] = "from zero"

    def limits(self, wells: Columns) -> tuple[float, float]:
        """Give the ends of its scale: the same for all acquisitions."""
        if self.scale == "part":
            return 0.0, 1.0
        known = np.abs(wells[self.name][np.isfinite(wells[self.name])])
        most = float(known.max()) if known.size and known.max() > 0 else 1.0
        return (-most if self.scale == "about zero" else 0.0), most


_QUANTITIES = (
    _Quantity("shift", "Shift, median (µm)"),
    _Quantity("confidence", "Confidence, lowest", "part"),
    _Quantity("error_px", "Standard error, largest (px)"),
    _Quantity("gain", "Gain in similarity, median", "about zero"),
    _Quantity("turn_deg", "Rotation, median (°)", "about zero"),
    _Quantity("imputed", "Part of imputed ROIs", "part"),
    _Quantity("lost", "Part of unresolved ROIs", "part"),
    _Quantity("kept", "Area kept, mean", "part"),
)

_COLOUR = """
const [name, low, high, palette] = scales[choice.value];
mapper.palette = palette;
mapper.low = low;
mapper.high = high;
wells.glyph.fill_color = {...wells.glyph.fill_color, field: name};
bar.title = choice.value;
for (const arrow of arrows) arrow.visible = name == "shift";
"""
_OPEN = """
const chosen = source.selected.indices;
if (chosen.length) {
  well.value = source.data.well[chosen[0]];
  document.getElementById("well").scrollIntoView({behavior: "smooth"});
}
"""


def make_plate_map(sources: Sources) -> tuple[Any, Any]:
    """Draw wells coloured by what is chosen; a click opens one.

    Returns:
        The choice of what they are coloured by, and the map.
    """
    wells = sources.wells.data
    scales = {one.label: _scale(one, wells) for one in _QUANTITIES}
    first = _QUANTITIES[0]
    low, high = first.limits(wells)
    mapper = LinearColorMapper(
        palette=list(Viridis256), low=low, high=high, nan_color=GREY
    )
    plot = _make_figure("plate_map", height=400, tools="tap,save")
    squares = plot.rect(
        "column",
        "row",
        0.9,
        0.9,
        source=sources.wells,
        view=sources.map_view,
        fill_color={"field": first.name, "transform": mapper},
        line_color=None,
        nonselection_fill_alpha=1,
        selection_line_color="#d55e00",
        selection_line_width=3,
    )
    arrows = _draw_arrows(
        plot,
        sources.wells,
        sources.map_view,
        ("column", "row", "to_column", "to_row"),
        dot=5 if len(set(wells["column"])) <= _MANY else 2,
    )
    plot.add_tools(
        HoverTool(
            renderers=[squares],
            tooltips=[
                ("Well", "@well"),
                ("ROIs", "@rois{0}, @unresolved{0} unresolved"),
                ("Shift y, x", "@shift_y{0.0}, @shift_x{0.0} µm"),
                ("Confidence, lowest", "@confidence{0.00}"),
                ("Standard error, largest", "@error_px{0.00} px"),
                ("Gain in similarity", "@gain{0.00}"),
                ("Rotation", "@turn_deg{0.000}°"),
                ("Imputed", "@imputed{0%}"),
                ("Area kept", "@kept{0.0%}"),
            ],
        )
    )
    _label(plot.yaxis, wells["row"], wells["row_name"])
    _label(plot.xaxis, wells["column"], wells["column_name"])
    bar = ColorBar(color_mapper=mapper, title=first.label, width=14)
    plot.add_layout(bar, "right")
    choice = Select(
        options=[one.label for one in _QUANTITIES],
        value=first.label,
        title="Wells coloured by",
        name="quantity",
    )
    args = {"choice": choice, "scales": scales, "mapper": mapper, "bar": bar}
    shown = {"wells": squares, "arrows": arrows}
    choice.js_on_change("value", CustomJS(args={**args, **shown}, code=_COLOUR))
    opened = CustomJS(args={"source": sources.wells, "well": sources.well}, code=_OPEN)
    plot.select_one(TapTool).renderers = [squares]
    plot.js_on_event(Tap, opened)
    return choice, plot


def make_well_layout(sources: Sources) -> Any:  # noqa: ANN401 - bokeh has no types
    """Draw what is kept of the ROIs of a well where they lie, and how they moved."""
    plot = _make_figure("well_layout", height=400, tools="pan,wheel_zoom,reset,save")
    fields = plot.rect(
        "x",
        "y",
        "width",
        "height",
        source=sources.rois,
        view=sources.field_view,
        fill_color=factor_cmap(
            "status", list(STATUS_COLOURS.values()), list(STATUS_COLOURS)
        ),
        fill_alpha=0.25,
        line_color=factor_cmap(
            "status", list(STATUS_COLOURS.values()), list(STATUS_COLOURS)
        ),
    )
    _draw_arrows(plot, sources.rois, sources.field_view, ("x", "y", "to_x", "to_y"))
    plot.add_tools(
        HoverTool(
            renderers=[fields],
            tooltips=[
                ("ROI", "@roi"),
                ("Status", "@status"),
                ("Why", "@reason"),
                ("Shift y, x", "@shift_y{0.00}, @shift_x{0.00} µm"),
                ("Arrow", "@times{0.[000]} times as long"),
                ("Confidence", "@confidence{0.00}"),
                ("Standard error", "@error_px{0.00} px"),
                ("Left by rotation, warp", "@left_px{0.0} px"),
                ("Kept", "@kept{0.0%}"),
            ],
        )
    )
    plot.xaxis.axis_label, plot.yaxis.axis_label = "x (µm)", "y (µm)"
    return plot


def _make_figure(name: str, height: int, tools: str) -> Any:  # noqa: ANN401
    plot = figure(
        name=name,
        height=height,
        sizing_mode="stretch_width",
        match_aspect=True,
        tools=tools,
        toolbar_location="above",
    )
    plot.toolbar.logo = None
    # As images have it: y grows downwards.
    plot.y_range.flipped = True
    plot.grid.visible = False
    plot.outline_line_color = None
    return plot


def _draw_arrows(
    plot: Any,  # noqa: ANN401 - bokeh has no types
    source: Any,  # noqa: ANN401
    view: Any,  # noqa: ANN401
    ends: tuple[str, str, str, str],
    dot: int = 5,
) -> list[Any]:
    """Draw lines with a dot where they come from; bokeh's arrows take no view."""
    x, y, to_x, to_y = ends
    data = {"source": source, "view": view}
    # Seen on all colours of the scale.
    return [
        plot.segment(x, y, to_x, to_y, color="#ffffff", line_width=dot - 1, **data),
        plot.segment(x, y, to_x, to_y, color="#20242b", line_width=1.5, **data),
        plot.scatter(
            x, y, size=dot, fill_color="#ffffff", line_color="#20242b", **data
        ),
    ]


def _scale(one: _Quantity, wells: Columns) -> tuple[str, float, float, list[str]]:
    palette = list(RdBu11) if one.scale == "about zero" else list(Viridis256)
    return one.name, *one.limits(wells), palette


def _label(axis: Any, places: Sequence[float], names: Sequence[str]) -> None:  # noqa: ANN401
    """Write the names of rows or columns where these are."""
    by_place = {float(p): name for p, name in zip(places, names, strict=True)}
    axis.ticker = sorted(by_place)
    axis.major_label_overrides = by_place
    axis.major_label_text_font_size = "11px" if len(by_place) <= _MANY else "7px"
    axis.major_tick_line_color = None
    axis.axis_line_color = None
