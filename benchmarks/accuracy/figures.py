"""The plots of the report."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from judging import area_under_roc, calibrate, choose, methods_of, roc_curve, scored
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rows import OURS, Row
from tables import short_name

mpl.use("agg")

_COLOURS = {
    OURS: "#0072b2",
    "fractal-tasks-core phase_cross_correlation": "#d55e00",
    "fractal-tasks-core chi2_shift": "#e69f00",
    "scikit-image": "#009e73",
    "ashlar": "#cc79a7",
}
_DASHES = {"0": "-", "1": "--", "2": ":"}
_DPI = 110


def draw_figures(rows: Sequence[Row], folder: Path, level: str) -> list[str]:
    """Draw all figures of the report.

    Args:
        rows: All rows.
        folder: Where the PNG files go.
        level: Level of fractal-tasks whose calibration is drawn.

    Returns:
        The names of the files.
    """
    figures = {
        "errors.png": _draw_errors(rows),
        "roc.png": _draw_roc(rows),
        "calibration.png": _draw_calibration(choose(rows, OURS, level), level),
    }
    for name, figure in figures.items():
        figure.savefig(folder / name, dpi=_DPI)
        plt.close(figure)
    return list(figures)


def _draw_errors(rows: Sequence[Row]) -> Figure:
    """Draw the share of the ROIs with at most a certain error."""
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for method, level in methods_of(rows):
        errors = [
            row.error_px for row in choose(rows, method, level) if row.pair.informative
        ]
        # Shown from 0.001 px on; a logarithm has no zero.
        error_px = np.sort(np.maximum(errors, 1e-3))
        axes.step(
            error_px,
            np.arange(1, len(error_px) + 1) / max(1, len(error_px)),
            where="post",
            **_style(method, level),
        )
    axes.axvline(1, color="0.7", linewidth=1, zorder=0)
    axes.set(
        xscale="log",
        xlim=(1e-3, 512),
        ylim=(0, 1.02),
        xlabel="error in pixels of level 0 (largest of y and x)",
        ylabel="share of the ROIs with at most this error",
        title="Errors where the images hold the answer, all conditions",
    )
    _finish(axes)
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    return figure


def _draw_roc(rows: Sequence[Row]) -> Figure:
    """Draw how well each method's score tells right from wrong."""
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for method, level in methods_of(rows):
        own = choose(rows, method, level)
        area = area_under_roc(own)
        if np.isnan(area):
            continue
        style = _style(method, level)
        style["label"] = f"{style['label']}: {area:.3f}"
        axes.plot(*roc_curve(own), **style)
    axes.set(
        xlim=(-0.02, 1),
        ylim=(0, 1.02),
        aspect="equal",
        xlabel="share of the wrong estimates accepted",
        ylabel="share of the right estimates accepted",
        title="Right (within 1 px) or wrong, told by the score",
    )
    _finish(axes)
    figure.legend(
        loc="outside right upper", fontsize=8, frameon=False, title="area under curve"
    )
    return figure


def _draw_calibration(rows: Sequence[Row], level: str) -> Figure:
    """Draw reported confidence against the share that is right."""
    figure, (axes, counts) = plt.subplots(
        2,
        1,
        figsize=(6, 6),
        layout="constrained",
        sharex=True,
        height_ratios=[3, 1],
    )
    bins = calibrate(rows)
    confidence = [one.mean_confidence for one in bins]
    observed = np.array([one.share_right for one in bins])
    low, high = np.array([one.interval for one in bins]).T
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1, zorder=0)
    axes.errorbar(
        confidence,
        observed,
        yerr=np.clip([observed - low, high - observed], 0, None),
        fmt="o-",
        color=_COLOURS[OURS],
        capsize=3,
        clip_on=False,
    )
    axes.set(
        xlim=(0, 1),
        ylim=(-0.02, 1.02),
        ylabel="share within 1 px (95 % interval)",
        title=f"Confidence of fractal-tasks, level {level}, all conditions",
    )
    _finish(axes)
    values = [one for one, _ in scored(rows)]
    counts.hist(values, bins=20, range=(0, 1), color=_COLOURS[OURS], rwidth=0.9)
    counts.set(yscale="log", xlabel="reported confidence", ylabel="ROIs")
    _finish(counts)
    return figure


def _style(method: str, level: str) -> dict[str, Any]:
    return {
        "color": _COLOURS[method],
        "linestyle": _DASHES[level],
        "label": short_name(method, level),
    }


def _finish(axes: Axes) -> None:
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
