"""Draw how far pixels of plates that turned or bent are from where they belong."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from beyond_conditions import Condition
from beyond_scores import FieldErrors, quantile
from matplotlib.axes import Axes
from plate_geometry import PIXEL_UM
from plate_scores import OFF_PX
from saving import save_figure

mpl.use("agg")

BLUE, GREY = "#0072b2", "#777777"
_PAIRS = 2
"""So many conditions are in a row."""
_LEAST_PX, _MOST_PX = 3e-3, 30

Group = tuple[Condition, str, Sequence[FieldErrors]]
"""The fields of a condition that were registered by one method."""


def draw_errors(groups: Sequence[Group], path: Path) -> None:
    """Draw, for each condition and method, a typical field and all errors."""
    rows = -(-len(groups) // _PAIRS)
    figure = plt.figure(figsize=(12.5, 2.9 * rows), layout="constrained")
    parts = figure.subfigures(rows, _PAIRS, wspace=0.03, hspace=0.04, squeeze=False)
    for part, (condition, method, fields) in zip(parts.flat, groups, strict=False):
        name = f"{condition.kind.name}: {method}, {len(fields)} fields"
        part.suptitle(name, fontsize=11, fontweight="bold", x=0.02, ha="left")
        left, right = part.subplots(1, 2, width_ratios=[1, 1.25])
        _draw_field(left, condition, fields)
        _draw_distribution(right, condition, fields)
    save_figure(figure, path)


def _draw_field(
    axes: Axes, condition: Condition, fields: Sequence[FieldErrors]
) -> None:
    """Draw the field in the middle of all, by its 95th percentile."""
    field = sorted(fields, key=lambda one: one.most_px)[len(fields) // 2]
    errors = field.errors_px[len(field.errors_px) // 2]
    size_um = condition.kind.size_px * PIXEL_UM
    axes.set_facecolor("0.85")
    image = axes.imshow(
        errors,
        cmap="viridis",
        vmin=0,
        vmax=condition.most_px,
        extent=(0, size_um, size_um, 0),
        interpolation="nearest",
    )
    one = field.result
    axes.set_title(
        f"typical field: seed {one.seed}, {one.well}, {one.roi}", fontsize=9, loc="left"
    )
    axes.set(xlabel="x (um)", ylabel="y (um)")
    axes.tick_params(labelsize=8)
    axes.figure.colorbar(image, ax=axes, label="error (px)", extend="max", shrink=0.9)


def _draw_distribution(
    axes: Axes, condition: Condition, fields: Sequence[FieldErrors]
) -> None:
    """Draw the share of pixels with at most a certain error."""
    for field in fields:
        _draw_share(axes, field.kept_px, color=BLUE, linewidth=0.6, alpha=0.25)
    every = np.concatenate([field.kept_px for field in fields])
    _draw_share(axes, every, color=BLUE, linewidth=2.5)
    shares = {0.5: condition.median_px, 0.95: condition.most_px}
    found_px = [quantile(every, share) for share in shares]
    axes.plot(found_px, list(shares), "o", color=BLUE, markersize=6)
    axes.plot(list(shares.values()), list(shares), "|", color="black", ms=14, mew=2)
    axes.axvline(OFF_PX, color=GREY, linewidth=1, linestyle=":")
    axes.set(
        xscale="log",
        xlim=(_LEAST_PX, _MOST_PX),
        ylim=(0, 1.02),
        xlabel="error (px)",
        ylabel="share of the pixels",
    )
    axes.xaxis.set_major_formatter("{x:g}")
    axes.tick_params(labelsize=8)
    median, most = (f"{one:.3f}" for one in found_px)
    axes.set_title(f"median {median}, 95 % {most} px", fontsize=9, loc="left")
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_share(axes: Axes, errors_px: np.ndarray, **style: object) -> None:
    shares = np.linspace(0, 1, 501)
    if errors_px.size:
        axes.plot(np.quantile(errors_px, shares), shares, **style)
