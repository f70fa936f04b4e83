"""Draw the pictures of the documentation.

Usage: ``python benchmarks/accuracy/pictures.py [ROWS]``. Draws synthetic plates with
fixed seeds, and the acceptance limit from ``rows.json`` of a run of `run.py`, if its
path is given. Needs matplotlib and scikit-image; takes three minutes.
"""

import argparse
import io
import logging
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from judging import choose
from matplotlib.figure import Figure
from ours import ACCEPTANCE_LIMIT
from picture_estimates import (
    BLUE,
    GREY,
    VERMILION,
    draw_correlation,
    draw_null_distribution,
    draw_rotation,
    finish,
)
from picture_wells import draw_rejected_field, draw_wells
from PIL import Image
from rows import OURS, Row, load_rows
from threadpoolctl import threadpool_limits

mpl.use("agg")

FOLDER = Path(__file__).parents[2] / "docs" / "images"
_LEVEL = "2"
_DPI = 100


def main() -> None:
    options = _parse_options()
    # What the libraries say about the plates does not belong into the output.
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    figures: dict[str, Callable[[], Figure]] = {
        "correlation": draw_correlation,
        "null_distribution": draw_null_distribution,
        "rotation": draw_rotation,
        "rejected_field": draw_rejected_field,
        "wells": draw_wells,
    }
    if options.rows is not None:
        rows, _ = load_rows(options.rows)
        figures["acceptance"] = lambda: _draw_acceptance(choose(rows, OURS, _LEVEL))
    for name, draw in figures.items():
        if options.only in name:
            path = options.output / f"{name}.png"
            with threadpool_limits(1, "blas"):
                _save(draw(), path)
            print(f"written: {path}", flush=True)


def _save(figure: Figure, path: Path) -> None:
    """Save with 256 colours, in a third of the bytes."""
    with io.BytesIO() as drawn:
        figure.savefig(drawn, dpi=_DPI)
        picture = Image.open(drawn).convert("RGB")
    few_colours = picture.quantize(method=Image.Quantize.MAXCOVERAGE)
    few_colours.save(path, optimize=True)
    plt.close(figure)


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=Path, nargs="?", help="rows.json of run.py")
    parser.add_argument("--only", default="", help="pictures with this in the name")
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder")
    return parser.parse_args()


def _draw_acceptance(rows: Sequence[Row]) -> Figure:
    """Draw what is accepted, and how much of it is wrong, limit by limit."""
    limits = np.concatenate([np.linspace(0.02, 0.9, 45), 1 - np.geomspace(0.1, 5e-3)])
    confidence = np.array([row.score or 0.0 for row in rows])
    wrong = np.array([row.error_px > 1 for row in rows])
    informative = np.array([row.pair.informative for row in rows])
    accepted = confidence >= limits[:, None]
    believed = np.array([row.status in ("measured", "chosen") for row in rows])
    final_wrong = np.array([(row.final_error_px or 0.0) > 1 for row in rows])
    figure, (top, bottom) = plt.subplots(
        2, 1, figsize=(8, 6), layout="constrained", sharex=True
    )
    for chosen, colour, label in (
        (informative, BLUE, "fields that hold the answer"),
        (~informative, GREY, "nearly empty, empty and unrelated fields"),
    ):
        top.plot(
            limits, 100 * accepted[:, chosen].mean(axis=1), color=colour, label=label
        )
        top.plot(ACCEPTANCE_LIMIT, 100 * believed[chosen].mean(), "D", color=colour)
    share = (accepted & wrong).sum(axis=1) / np.maximum(accepted.sum(axis=1), 1)
    bottom.plot(limits, 100 * share, color=VERMILION, label="confidence alone")
    bottom.plot(
        ACCEPTANCE_LIMIT,
        100 * final_wrong[believed].mean(),
        "D",
        color=VERMILION,
        label="with the other fields of the well",
    )
    top.set(
        ylim=(0, 102),
        ylabel="ROIs accepted (%)",
        title=f"{len(rows)} ROIs of all conditions of the benchmark",
    )
    bottom.set(
        xscale="logit",
        xlim=(0.02, 0.995),
        ylabel="of these, wrong by > 1 px (%)",
        xlabel="min_confidence",
    )
    bottom.set_ylim(bottom=0)
    bottom.set_xticks(ticks := [0.05, 0.1, 0.2, 0.5, 0.7, 0.9, 0.97, 0.99])
    bottom.set_xticklabels([f"{tick:g}" for tick in ticks])
    bottom.minorticks_off()
    for axes in (top, bottom):
        axes.axvline(ACCEPTANCE_LIMIT, color="0.6", linestyle="--", zorder=0)
        finish(axes)
        axes.legend(loc="best", fontsize=9)
    return figure


if __name__ == "__main__":
    main()
