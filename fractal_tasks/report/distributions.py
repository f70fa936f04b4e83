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


def colour_acquisitions(rois: Columns) -> dict[int, str]:
    """Give each acquisition that was registered a colour."""
    moved = np.array([status != "reference" for status in rois["status"]])
    numbers = sorted({int(number) for number in rois["acquisition"][moved]})
    return {number: Colorblind[8][i % 8] for i, number in enumerate(numbers)}


def make_distributions(rois: Columns) -> list[Any]:
    """Draw them, one colour per acquisition; what nothing is known of is left out."""
    moved = np.array([status != "reference" for status in rois["status"]])
    by_acquisition = {
        number: (np.flatnonzero(moved & (rois["acquisition"] == number)), colour)
        for number, colour in colour_acquisitions(rois).items()
    }
    plots = [
        _histogram(rois, by_acquisition, "shift", "Shift (µm)"),
        _histogram(rois, by_acquisition, "shift_z", "Shift in z (µm)"),
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
    low, high = np.percentile(values, (1, 99))
    bottom, top = min(0.0, float(low)), most or max(float(high), 1e-3)
    edges = np.linspace(bottom, top, _BINS + 1)
    plot = _make_figure(label, "ROIs")
    for number, (_, colour) in groups.items():
        counts, _ = np.histogram(np.clip(known[number], bottom, top), edges)
        plot.step(
            edges[:-1],
            counts,
            mode="after",
            color=colour,
            line_width=2,
        )
    return plot


def _scatter(
    rois: Columns, groups: _Groups, names: tuple[str, str], labels: Sequence[str]
) -> Any:  # noqa: ANN401 - bokeh has no types
    across, up = names
    plot = _make_figure(*labels)
    drawn = []
    for own, colour in groups.values():
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
            )
        )
    if not drawn:
        return None
    plot.add_tools(HoverTool(renderers=drawn, tooltips=[("ROI", "@name")]))
    return plot


def _make_figure(across: str, up: str) -> Any:  # noqa: ANN401 - bokeh has no types
    plot = figure(
        height=260,
        sizing_mode="stretch_width",
        outline_line_color=None,
        border_fill_color=None,
        background_fill_color=None,
        x_axis_label=across,
        y_axis_label=up,
        tools="save",
        toolbar_location=None,
    )
    plot.xgrid.visible = False
    return plot
