"""How shifts, errors and similarities of all ROIs are distributed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from bokeh.models import ColumnDataSource, HoverTool
from bokeh.palettes import Colorblind
from bokeh.plotting import figure

from fractal_tasks.report.columns import Columns

_BINS = 40
_SHOWN = 4000
"""Points of a scatter plot, spread over all ROIs: more hide each other."""


def make_distributions(rois: Columns) -> list[Any]:
    """Draw them, one colour per acquisition; what nothing is known of is left out."""
    moved = np.array([status != "reference" for status in rois["status"]])
    numbers = sorted({int(number) for number in rois["acquisition"][moved]})
    colours = Colorblind[8]
    by_acquisition = {
        number: (
            np.flatnonzero(moved & (rois["acquisition"] == number)),
            colours[index % 8],
        )
        for index, number in enumerate(numbers)
    }
    plots = [
        _histogram(rois, by_acquisition, "shift", "Shift (µm)"),
        _histogram(rois, by_acquisition, "error_px", "Standard error (px)"),
        _histogram(rois, by_acquisition, "confidence", "Confidence", most=1.0),
        _scatter(
            rois,
            by_acquisition,
            ("similarity_before", "similarity_after"),
            ("Similarity before", "Similarity after"),
        ),
        _scatter(rois, by_acquisition, ("x", "shift_y"), ("x (µm)", "Shift in y (µm)")),
        _scatter(rois, by_acquisition, ("y", "shift_x"), ("y (µm)", "Shift in x (µm)")),
    ]
    return [plot for plot in plots if plot is not None]


_Groups = dict[int, tuple[npt.NDArray[np.intp], str]]


def _histogram(
    rois: Columns, groups: _Groups, name: str, label: str, most: float | None = None
) -> Any:  # noqa: ANN401 - bokeh has no types
    known = {
        number: rois[name][own][np.isfinite(rois[name][own])]
        for number, (own, _) in groups.items()
    }
    values = np.concatenate([*known.values(), np.empty(0, np.float32)])
    if not values.size:
        return None
    # What is far beyond all others would leave them one bin: the last one has it.
    top = most or max(float(np.percentile(values, 99)), 1e-3)
    edges = np.linspace(0, top, _BINS + 1)
    plot = _make_figure(label, "ROIs")
    for number, (_, colour) in groups.items():
        counts, _ = np.histogram(np.minimum(known[number], top), edges)
        plot.step(
            edges[:-1],
            counts,
            mode="after",
            color=colour,
            line_width=2,
            legend_label=f"acquisition {number}",
        )
    _place_legend(plot)
    return plot


def _scatter(
    rois: Columns, groups: _Groups, names: tuple[str, str], labels: Sequence[str]
) -> Any:  # noqa: ANN401 - bokeh has no types
    across, up = names
    plot = _make_figure(*labels)
    drawn = []
    for number, (own, colour) in groups.items():
        known = own[np.isfinite(rois[across][own]) & np.isfinite(rois[up][own])]
        chosen = known[:: max(1, len(known) * len(groups) // _SHOWN)]
        if not chosen.size:
            continue
        data = {
            "across": rois[across][chosen],
            "up": rois[up][chosen],
            "name": [f"{rois['well'][i]} {rois['roi'][i]}" for i in chosen],
        }
        drawn.append(
            plot.scatter(
                "across",
                "up",
                source=ColumnDataSource(data),
                size=5,
                color=colour,
                alpha=0.6,
                legend_label=f"acquisition {number}",
            )
        )
    if not drawn:
        return None
    plot.add_tools(HoverTool(renderers=drawn, tooltips=[("ROI", "@name")]))
    _place_legend(plot)
    return plot


def _make_figure(across: str, up: str) -> Any:  # noqa: ANN401 - bokeh has no types
    plot = figure(
        height=260,
        sizing_mode="stretch_width",
        x_axis_label=across,
        y_axis_label=up,
        tools="save",
        toolbar_location=None,
    )
    plot.outline_line_color = None
    plot.xgrid.visible = False
    return plot


def _place_legend(plot: Any) -> None:  # noqa: ANN401 - bokeh has no types
    """Put the legend above the plot, where it hides nothing."""
    legend = plot.legend[0]
    legend.orientation = "horizontal"
    legend.border_line_color = None
    legend.background_fill_alpha = 0
    legend.padding = legend.margin = 0
    plot.add_layout(legend, "above")
