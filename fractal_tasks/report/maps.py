"""The map of a plate, and the layout of a well.

What is chosen is drawn by `page.js`, which finds these models by their names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from bokeh.events import Tap
from bokeh.models import (
    BasicTickFormatter,
    CDSView,
    ColorBar,
    ColumnDataSource,
    CustomJS,
    CustomJSHover,
    HoverTool,
    IndexFilter,
    LinearColorMapper,
    TapTool,
)
from bokeh.palettes import RdBu11, Viridis256
from bokeh.plotting import figure
from bokeh.transform import factor_cmap

from fractal_tasks.report.columns import Columns, ends_of_scale

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

MEASURED_COLOUR = "#cc79a7"
"""Of what was measured and is not used."""

PALETTES = {"sequential": list(Viridis256), "diverging": list(RdBu11)}

_MANY = 24
"""Rows or columns; with more, dots and names are small: a plate of 1536 wells."""


@dataclass(frozen=True)
class _Quantity:
    """What wells can be coloured by."""

    name: str
    label: str
    scale: Literal["from zero", "part", "about zero"] = "from zero"


_QUANTITIES = (
    _Quantity("shift", "Shift, median (µm)"),
    _Quantity("shift_z", "Shift in z, median (µm)", "about zero"),
    _Quantity("confidence", "Confidence, lowest", "part"),
    _Quantity("error_px", "Standard error, largest (px)"),
    _Quantity("error_z", "Standard error in z, largest (µm)"),
    _Quantity("gain", "Gain in similarity, median", "about zero"),
    _Quantity("turn_deg", "Rotation, median (°)", "about zero"),
    _Quantity("imputed", "Part of imputed ROIs", "part"),
    _Quantity("lost", "Part of unresolved ROIs", "part"),
    _Quantity("kept", "Area kept, mean", "part"),
)

Scale = tuple[str, float, float, str]
"""Title, both ends, and the name of the palette."""


def list_scales(wells: Columns) -> dict[str, Scale]:
    """Give what wells can be coloured by: what is known of some of them.

    A scale is the same for all acquisitions.
    """
    return {
        one.name: (
            one.label,
            *ends_of_scale(wells[one.name], one.scale),
            "diverging" if one.scale == "about zero" else "sequential",
        )
        for one in _QUANTITIES
        if np.isfinite(wells[one.name]).any()
    }


def make_plate_map(wells: Columns, scales: dict[str, Scale], acquisition: int) -> Any:  # noqa: ANN401 - bokeh has no types
    """Draw wells coloured by the first of `scales`; a click opens one."""
    source = ColumnDataSource(wells, name="wells")
    shown = IndexFilter(
        indices=np.flatnonzero(wells["acquisition"] == acquisition).tolist(),
        name="on_map",
    )
    data = {"source": source, "view": CDSView(filter=shown)}
    name, (label, low, high, palette) = next(iter(scales.items()))
    mapper = LinearColorMapper(
        palette=PALETTES[palette], low=low, high=high, nan_color=GREY, name="mapper"
    )
    plot = _make_figure("plate_map", tools="tap,save")
    squares = plot.rect(
        "column",
        "row",
        0.9,
        0.9,
        fill_color={"field": name, "transform": mapper},
        line_color=None,
        nonselection_fill_alpha=1,
        selection_line_color="#d55e00",
        selection_line_width=3,
        name="squares",
        **data,
    )
    is_large = len(set(wells["column"])) > _MANY
    _draw_arrows(plot, ("column", "row", "to_column", "to_row"), data, is_large)
    plot.add_tools(_make_hover(squares, _describe_well(scales)))
    _label(plot.yaxis, wells["row"], wells["row_name"])
    _label(plot.xaxis, wells["column"], wells["column_name"])
    bar = ColorBar(
        color_mapper=mapper,
        title=label,
        height=12,
        name="bar",
        background_fill_color=None,
        formatter=BasicTickFormatter(use_scientific=False),
    )
    plot.add_layout(bar, "below")
    plot.select_one(TapTool).renderers = [squares]
    plot.js_on_event(Tap, CustomJS(code="openTapped()"))
    return plot


def _describe_well(scales: dict[str, Scale]) -> list[tuple[str, str]]:
    lines = {
        "shift": ("Shift y, x", "@shift_y{1}, @shift_x{1} µm"),
        "shift_z": ("Shift z", "@shift_z{2} µm"),
        "confidence": ("Confidence, lowest", "@confidence{2}"),
        "error_px": ("Standard error, largest", "@error_px{2} px"),
        "error_z": ("Standard error in z, largest", "@error_z{2} µm"),
        "gain": ("Gain in similarity", "@gain{2}"),
        "turn_deg": ("Rotation", "@turn_deg{3}°"),
        "imputed": ("Imputed", "@imputed{0%}"),
        "kept": ("Area kept", "@kept{1%}"),
    }
    return [
        ("Well", "@well"),
        ("ROIs", "@rois{0}, @unresolved{0} unresolved"),
        *(line for name, line in lines.items() if name in scales),
    ]


def make_well_layout(*, has_z: bool) -> Any:  # noqa: ANN401 - bokeh has no types
    """Draw what is kept of the ROIs of a well, and how they moved: still without any.

    Args:
        has_z: Whether there are stacks.
    """
    plot = _make_figure("well_layout", tools="pan,wheel_zoom,reset,save")
    colours = factor_cmap("status", list(STATUS_COLOURS.values()), list(STATUS_COLOURS))
    fields = _empty("fields", "x", "y", "top", "width", "height", "status", "name")
    rects = plot.rect(
        "x",
        "y",
        "width",
        "height",
        source=fields,
        fill_color=colours,
        fill_alpha=0.25,
        line_color=colours,
    )
    bends = _empty("bends", "xs", "ys")
    plot.multi_line("xs", "ys", source=bends, color=GREY, line_width=1)
    ends = ("x", "y", "to_x", "to_y")
    plot.segment(
        *ends,
        source=_empty("measured", *ends),
        color=MEASURED_COLOUR,
        line_width=2.5,
        line_dash=[5, 3],
    )
    _draw_arrows(plot, ends, {"source": _empty("used", *ends)})
    plot.text(
        "x",
        "top",
        text="name",
        source=fields,
        text_font_size="10px",
        text_align="center",
        y_offset=4,
        text_baseline="top",
    )
    along_z = [
        ("Shift z", "@shift_z_um{2} µm"),
        ("Standard error z", "@error_z_um{2} µm"),
    ]
    tooltips = [
        ("ROI", "@roi"),
        ("Status", "@status"),
        ("Why", "@reason"),
        ("Used shift y, x", "@shift_y_um{2}, @shift_x_um{2} µm"),
        ("Measured y, x", "@measured_y{2}, @measured_x{2} µm"),
        *(along_z if has_z else []),
        ("Confidence", "@confidence{2}"),
        ("Standard error", "@error_px{2} px"),
        ("Left by rotation, warp", "@left_px{1} px"),
        ("Kept", "@kept{1%}"),
    ]
    plot.add_tools(_make_hover(rects, tooltips))
    plot.xaxis.axis_label, plot.yaxis.axis_label = "x (µm)", "y (µm)"
    return plot


def _empty(name: str, *columns: str) -> ColumnDataSource:
    return ColumnDataSource({column: [] for column in columns}, name=name)


_FORMAT = """
if (typeof value != "number") return value;
if (isNaN(value)) return "-";
return format.endsWith("%") ? (100 * value).toFixed(parseInt(format)) + "%"
  : value.toFixed(parseInt(format));
"""


def _make_hover(renderer: Any, tooltips: Sequence[tuple[str, str]]) -> HoverTool:  # noqa: ANN401
    """Make what tells numbers in ``{digits}`` or ``{digits%}``, and what is unknown."""
    names = {
        part.partition("{")[0]
        for _, text in tooltips
        for part in text.split("@")[1:]
        if "{" in part
    }
    shown = CustomJSHover(code=_FORMAT)
    return HoverTool(
        renderers=[renderer],
        tooltips=list(tooltips),
        formatters={f"@{name}": shown for name in sorted(names)},
    )


def _make_figure(name: str, tools: str) -> Any:  # noqa: ANN401
    plot = figure(
        name=name,
        height=400,
        sizing_mode="stretch_width",
        match_aspect=True,
        tools=tools,
        toolbar_location="above",
        outline_line_color=None,
        # The page is seen through, light or dark.
        border_fill_color=None,
        background_fill_color=None,
    )
    plot.toolbar.logo = None
    # As images have it: y grows downwards.
    plot.y_range.flipped = True
    plot.grid.visible = False
    return plot


def _draw_arrows(
    plot: Any,  # noqa: ANN401 - bokeh has no types
    ends: tuple[str, str, str, str],
    data: dict[str, Any],
    is_small: bool = False,
) -> None:
    """Draw lines with a dot where they come from; bokeh's arrows take no view."""
    dot = 2 if is_small else 5
    x, y, *_ = ends
    # Seen on all colours of the scale.
    plot.segment(*ends, color="#ffffff", line_width=dot - 1, name="arrow_0", **data)
    plot.segment(*ends, color="#20242b", line_width=1.5, name="arrow_1", **data)
    plot.scatter(
        x,
        y,
        size=dot,
        fill_color="#ffffff",
        line_color="#20242b",
        name="arrow_2",
        **data,
    )


def _label(axis: Any, places: Sequence[float], names: Sequence[str]) -> None:  # noqa: ANN401
    """Write the names of rows or columns where these are."""
    by_place = {float(p): name for p, name in zip(places, names, strict=True)}
    axis.ticker = sorted(by_place)
    axis.major_label_overrides = by_place
    axis.major_label_text_font_size = "9px" if len(by_place) <= _MANY else "7px"
    axis.major_tick_line_color = None
    axis.axis_line_color = None
