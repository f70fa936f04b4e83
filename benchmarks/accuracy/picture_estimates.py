"""Pictures of single estimates: correlation, null distribution, rotation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from conditions import CONDITIONS, Condition
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from picture_pairs import START_LEVEL, FieldPair, draw_pairs, error_px, swap_fields
from scipy import fft
from scipy.stats import mannwhitneyu
from skimage.registration import phase_cross_correlation

from fractal_tasks.registration import evidence
from fractal_tasks.registration.coarse import (
    CoarseSearch,
    SearchLimits,
    search_coarsely,
)
from fractal_tasks.registration.measure import Fit, measure
from fractal_tasks.registration.patch import VolumePatch
from fractal_tasks.registration.phase_cross_correlation import PhaseCrossCorrelation
from fractal_tasks.registration.spectra import CrossSpectra, Spectrum, whiten
from fractal_tasks.synthetic import PlateOptions

BLUE, ORANGE, VERMILION, GREY = "#0072b2", "#e69f00", "#d55e00", "#777777"
_METHOD = PhaseCrossCorrelation()
_FIRST_SEED = 200_000
"""Plates that the benchmark does not measure."""
_ONE_FIELD = PlateOptions(
    fields_y=1,
    fields_x=1,
    acquisitions=2,
    channels=1,
    labels=False,
    table_backend="json",
    hot_pixels=0,
)


@dataclass(frozen=True)
class _View:
    """One candidate as the method sees it."""

    search: CoarseSearch
    surface: npt.NDArray[np.floating]
    """Whitened correlation at full resolution; no shift in the middle."""
    fit: Fit


def draw_correlation() -> Figure:
    """Draw the correlation of a pair that belongs together and of one that does not."""
    options = _ONE_FIELD.model_copy(update={"fields_x": 2, "seed": 0})
    pairs = draw_pairs(options)
    figure, axes = plt.subplots(2, 2, figsize=(8, 7.4), layout="constrained")
    for row, pair, name in zip(
        axes,
        (pairs[0], swap_fields(pairs)[0]),
        ("Same field", "Different fields"),
        strict=True,
    ):
        view = _look_at(pair)
        _draw_search(row[0], view, name)
        _draw_surface(row[1], view, name)
    return figure


def _look_at(pair: FieldPair) -> _View:
    fixed, moving = (
        [VolumePatch(patch) for patch in side] for side in (pair.fixed, pair.moving)
    )
    search = search_coarsely(
        fixed, moving, START_LEVEL, SearchLimits(_METHOD.min_overlap, np.inf)
    )
    seen: list[CrossSpectra] = []

    def weigh(spectra: CrossSpectra) -> Spectrum:
        seen.append(spectra)
        return whiten(spectra)

    guess = search.find_peaks(1)[0]
    fit = measure(fixed[0], moving[0], search, guess, weigh)
    surface = fft.fftshift(fft.irfft2(whiten(seen[0])[0], seen[0].size))
    return _View(search, surface, fit)


def _draw_search(axes: Axes, view: _View, name: str) -> None:
    scores, zero = view.search.scores, view.search.shifts.zero[1:]
    spacing_um = view.search.spacing_um[1:]
    first, second = (
        np.multiply(peak[1:], spacing_um) for peak in view.search.find_peaks(2)
    )
    top, left = -(np.array(zero) + 0.5) * spacing_um
    bottom, right = (
        top + scores.shape[1] * spacing_um[0],
        left + (scores.shape[2] * spacing_um[1]),
    )
    image = axes.imshow(scores[0], cmap="cividis", extent=(left, right, bottom, top))
    _mark(axes, first, second)
    axes.figure.colorbar(image, ax=axes, label="score", shrink=0.8)
    axes.set(
        xlabel="shift in x (um)",
        ylabel="shift in y (um)",
        title=f"{name}, low resolution\nlead {view.fit.evidence.lead:.1f}",
    )


def _draw_surface(axes: Axes, view: _View, name: str) -> None:
    height, width = view.surface.shape
    extent = (-width / 2, width / 2, height / 2, -height / 2)
    surface = view.surface / view.surface.max()
    image = axes.imshow(surface, cmap="cividis", extent=extent, vmin=-0.2)
    middle = np.array([height // 2, width // 2])
    first = np.array(np.unravel_index(surface.argmax(), surface.shape))
    radius = evidence._PEAK_RADIUS_PX
    elsewhere = surface.copy()
    elsewhere[tuple(slice(max(0, at - radius), at + radius + 1) for at in first)] = -1
    second = np.array(np.unravel_index(elsewhere.argmax(), surface.shape))
    _mark(axes, first - middle, second - middle)
    axes.figure.colorbar(image, ax=axes, label="height / highest", shrink=0.8)
    axes.set(
        xlabel="further shift in x (px)",
        ylabel="further shift in y (px)",
        title=f"{name}, full resolution\nratio {view.fit.evidence.ratio:.1f}",
    )


def _mark(
    axes: Axes, first: npt.NDArray[np.floating], second: npt.NDArray[np.floating]
) -> None:
    for (y, x), colour, label in (
        (first, "#ffffff", "highest"),
        (second, VERMILION, "highest elsewhere"),
    ):
        axes.plot(x, y, "o", ms=9, mfc="none", mec=colour, mew=2, label=label)
    legend = axes.legend(loc="lower left", fontsize=8, labelcolor="white")
    legend.get_frame().set(facecolor="#333333", alpha=1)


@dataclass(frozen=True)
class _Judged:
    kind: str
    fit: Fit

    @property
    def scores(self) -> dict[str, float]:
        """What could tell right from wrong."""
        found = self.fit.evidence
        return {
            "similarity": abs(self.fit.similarity),
            "ratio": found.ratio,
            "lead": found.lead,
            "confidence": found.confidence,
        }


_RIGHT = "same field, right"
_KINDS = {
    _RIGHT: (BLUE, "o"),
    "same field, wrong": (ORANGE, "D"),
    "different fields": (VERMILION, "^"),
    "empty field": ("#000000", "x"),
}
_RATIOS, _LEADS = (0.2, 500), (0.09, 12)
_WEAKEST_LEAD = 0.1
"""Less counts as this much."""


def draw_null_distribution() -> Figure:
    """Draw ratio and lead of pairs that match and of pairs that cannot."""
    found = [one for index in range(len(CONDITIONS)) for one in _judge_plate(index)]
    figure, axes = plt.subplots(figsize=(8, 5.6), layout="constrained")
    for kind, (colour, marker) in _KINDS.items():
        own = [one for one in found if one.kind == kind]
        axes.scatter(
            [one.fit.evidence.ratio for one in own],
            [max(one.fit.evidence.lead, _WEAKEST_LEAD) for one in own],
            s=18,
            c=colour,
            marker=marker,
            alpha=0.6,
            linewidths=0.8,
            label=f"{kind} ({len(own)})",
        )
    axes.set(
        xscale="log",
        yscale="log",
        xlim=_RATIOS,
        ylim=_LEADS,
        xlabel="ratio: height at full resolution / highest elsewhere",
        ylabel="lead: score at low resolution / highest elsewhere",
        title="What chance gives, and what a match gives",
    )
    _draw_contours(axes)
    _write_areas(axes, found)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
    finish(axes)
    figure.legend(loc="outside lower center", ncols=4, fontsize=9, frameon=False)
    return figure


def _judge_plate(index: int) -> Iterator[_Judged]:
    """Judge the fields of one plate of a condition, matched and swapped."""
    condition = CONDITIONS[index]
    if not _is_small_and_clean(condition):
        return
    pairs = draw_pairs(next(condition.plates(1, _FIRST_SEED + 100 * index)))
    for pair in pairs:
        fit = _best_fit(pair)
        if fit is None:
            continue
        if pair.nuclei == 0:
            kind = "empty field"
        elif error_px(pair, _found_px(fit, pair)) <= 1:
            kind = _RIGHT
        else:
            kind = "same field, wrong"
        yield _Judged(kind, fit)
    for pair in swap_fields([pair for pair in pairs if pair.nuclei > 0]):
        fit = _best_fit(pair)
        if fit is not None:
            yield _Judged("different fields", fit)


def _is_small_and_clean(condition: Condition) -> bool:
    """Whether no mask for the camera's fixed pattern is needed."""
    options = condition.options
    return (
        options.planes == 1
        and options.field_size_px <= 512
        and not (condition.unrelated or options.hot_clusters or options.dust_specks)
    )


def _best_fit(pair: FieldPair) -> Fit | None:
    fits, _ = _METHOD.fit_candidates(pair.fixed, pair.moving, start_level=START_LEVEL)
    return max(fits, key=lambda fit: fit.evidence.confidence, default=None)


def _found_px(fit: Fit, pair: FieldPair) -> tuple[float, float]:
    y, x = (fit.translation_um[1:] / pair.fixed[0].spacing_um).tolist()
    return y, x


def _draw_contours(axes: Axes) -> None:
    """Draw where a shift without dissent, and precise, has a certain confidence."""
    ratios, leads = np.geomspace(*_RATIOS, 200), np.geomspace(*_LEADS, 200)
    confidence = [
        [evidence.Evidence(ratio, lead, 0.0, 0.01).confidence for ratio in ratios]
        for lead in leads
    ]
    lines = axes.contour(
        ratios,
        leads,
        confidence,
        levels=[0.5, 0.9],
        colors="#000000",
        linestyles=["--", "-"],
    )
    axes.clabel(lines, fmt={0.5: "confidence 0.5", 0.9: "0.9"}, fontsize=9)


def _write_areas(axes: Axes, found: Sequence[_Judged]) -> None:
    """Write the chance that a right estimate has a higher score than a wrong one."""
    lines = ["area under the ROC curve,", "right against all others:"]
    for name in found[0].scores:
        right = [one.scores[name] for one in found if one.kind == _RIGHT]
        wrong = [one.scores[name] for one in found if one.kind != _RIGHT]
        area = mannwhitneyu(right, wrong).statistic / (len(right) * len(wrong))
        lines.append(f"  {area:.3f}  {name}")
    axes.text(25, 0.11, "\n".join(lines), fontsize=10, va="bottom")


_ROTATIONS_DEG: Sequence[float] = (0.02, 0.1, 0.3, 0.6, 1.0, 1.5, 2.0, 2.0)
_PER_ROTATION = 8


def draw_rotation() -> Figure:
    """Draw the error at the field's centre against the rotation of the field."""
    angles_deg, ours_px, plain_px = [], [], []
    for index, largest_deg in enumerate(_ROTATIONS_DEG):
        for repeat in range(_PER_ROTATION):
            update = {"rotation_deg": largest_deg, "seed": 100 * index + repeat}
            pair = draw_pairs(_ONE_FIELD.model_copy(update=update))[0]
            fit = _best_fit(pair)
            if fit is None:
                raise RuntimeError(f"Nothing was measured with {update}")
            shift_px, *_ = phase_cross_correlation(
                pair.fixed[0].array,
                pair.moving[0].array,
                upsample_factor=20,
                normalization=None,
            )
            angles_deg.append(abs(pair.rotation_deg))
            ours_px.append(error_px(pair, _found_px(fit, pair)))
            plain_px.append(error_px(pair, (shift_px[0], shift_px[1])))
    figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
    axes.plot(angles_deg, plain_px, "^", color=ORANGE, label="scikit-image")
    axes.plot(angles_deg, ours_px, "o", color=BLUE, label="fractal-tasks")
    axes.axhline(1, color="0.6", linewidth=1, zorder=0)
    axes.set(
        yscale="log",
        xlim=(0, 2.05),
        xlabel="rotation between the acquisitions (degrees)",
        ylabel="error at the field's centre (px)",
        title="Rotation of a field of 512 x 512 px",
    )
    axes.yaxis.set_major_formatter("{x:g}")
    finish(axes)
    axes.legend(loc="upper left")
    return figure


def finish(axes: Axes) -> None:
    """Give a plot its grid."""
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
