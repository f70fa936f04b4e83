"""Picture of how a well is judged: weak estimates that agree are certain together."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from picture_estimates import finish

from fractal_tasks.model import Candidate, Measurement, RowKey, Verdict
from fractal_tasks.qc import judge_measurements
from fractal_tasks.transforms import Translation

_PIXEL_UM, _FIELD_UM = 0.325, 166.0
_MOVED_UM = np.array([28.0, -17.0])
_NEAR_UM = 4.0
"""Half of what the magnified panel shows."""

_OWN = (
    (0.36, 0.2, 0.1),
    (0.55, 0.1, 0.05),
    (0.45, 0.15, 0.1),
    (0.3, 0.25, 0.1),
    (0.08, 0.06, 0.05),
)
"""Confidences of the candidates of each field."""

_RIGHT = (0, 0, 0, 1, None)
"""Which of them shows where the well moved."""

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")


def draw_model() -> Figure:
    """Draw the candidates of five fields, and what becomes of each."""
    well = _make_well()
    verdicts = judge_measurements(well, min_confidence=0.9).verdicts
    figure, (everywhere, near, bars) = plt.subplots(
        1, 3, figsize=(11, 3.9), layout="constrained", width_ratios=(1, 1, 1.3)
    )
    for axes in (everywhere, near):
        _draw_candidates(axes, well)
        axes.set(xlabel="shift along x (um)", aspect="equal")
    everywhere.set(
        ylabel="shift along y (um)",
        title="what the fields say:\nlarge circles are probable",
        xlim=(-_FIELD_UM, _FIELD_UM),
        ylim=(_FIELD_UM, -_FIELD_UM),
    )
    y_um, x_um = _MOVED_UM
    near.set(
        title="magnified: four of five\nagree within a micrometre",
        xlim=(x_um - _NEAR_UM, x_um + _NEAR_UM),
        ylim=(y_um + _NEAR_UM, y_um - _NEAR_UM),
    )
    corner = x_um - _NEAR_UM, y_um - _NEAR_UM
    everywhere.add_patch(Rectangle(corner, 2 * _NEAR_UM, 2 * _NEAR_UM, fill=False))
    _draw_probabilities(bars, well, verdicts)
    return figure


def _make_well() -> dict[RowKey, Measurement]:
    rng = np.random.default_rng(5)
    well = {}
    for index, (own, right) in enumerate(zip(_OWN, _RIGHT, strict=True)):
        vectors_um = rng.uniform(-0.9 * _FIELD_UM, 0.9 * _FIELD_UM, (len(own), 2))
        if right is not None:
            vectors_um[right] = _MOVED_UM + rng.normal(0, 0.5, 2)
        well[RowKey(f"field {index + 1}")] = Measurement(
            tuple(
                Candidate(Translation((0.0, float(y_um), float(x_um))), one, 0.1)
                for one, (y_um, x_um) in zip(own, vectors_um, strict=True)
            ),
            (0.5, (index // 3) * _FIELD_UM, (index % 3) * _FIELD_UM),
            (1.0, _FIELD_UM, _FIELD_UM),
            _PIXEL_UM,
        )
    return well


def _draw_candidates(axes: Axes, well: Mapping[RowKey, Measurement]) -> None:
    for colour, measurement in zip(_COLOURS, well.values(), strict=True):
        for candidate in measurement.candidates:
            _, y_um, x_um = measurement.displacement_um(candidate)
            size = 400 * (candidate.confidence or 0.0)
            axes.scatter(x_um, y_um, size, facecolors="none", edgecolors=colour, lw=1.8)
    finish(axes)


def _draw_probabilities(
    axes: Axes, well: Mapping[RowKey, Measurement], verdicts: Mapping[RowKey, Verdict]
) -> None:
    for row, (key, colour) in enumerate(zip(well, _COLOURS, strict=True)):
        best = well[key].best.confidence or 0.0
        verdict = verdicts[key]
        axes.barh(row - 0.19, best, 0.36, color=colour, alpha=0.35)
        axes.barh(row + 0.19, verdict.confidence or 0.0, 0.36, color=colour)
        error_px = (verdict.candidate.error_um or 0.0) / _PIXEL_UM
        words = f"{verdict.status}, error {error_px:.1f} px"
        axes.text(1.03, row, words, va="center")
    axes.axvline(0.9, color="0.6", linestyle="--", zorder=0)
    title = "of the first candidate alone (pale),\nof the best one in view of all"
    axes.set(
        yticks=range(len(well)),
        yticklabels=[key.roi for key in well],
        xlim=(0, 1),
        xlabel="probability",
        title=title,
    )
    axes.invert_yaxis()
    finish(axes)
