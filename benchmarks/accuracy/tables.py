"""The tables of the report, in Markdown."""

import math
from collections.abc import Callable, Iterable, Sequence

from judging import (
    area_under_roc,
    calibrate,
    choose,
    methods_of,
    quantile,
    share,
    stood_in,
)
from rows import OURS, Row

DEFAULT_LEVEL = "2"
"""The `level_path` of *calculate*, if not told otherwise."""

_SHORT = {
    "fractal-tasks-core phase_cross_correlation": "core, phase",
    "fractal-tasks-core chi2_shift": "core, chi2",
}


def short_name(method: str, level: str) -> str:
    """Give a name of method and level that fits a column."""
    return f"{_SHORT.get(method, method)}, L{level}"


def table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Give a Markdown table, the first column to the left, the others to the right."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, rule, *lines])


def targets_table(rows: Sequence[Row], limit: float) -> str:
    """Compare fractal-tasks with its targets, level by level."""
    lines = []
    for method, level in methods_of(rows):
        if method != OURS:
            continue
        own = choose(rows, method, level)
        errors = [row.error_px for row in own if row.pair.informative]
        silent = sum(_is_confident(row, limit) and not row.right for row in own)
        kept = sum(row.status == "measured" and not row.right for row in own)
        replaced = [_final_error(row) for row in stood_in(own)]
        lines.append(
            [
                level,
                _judged(quantile(errors, 0.5), 0.1),
                _judged(quantile(errors, 0.95), 0.3),
                _judged(silent, 0),
                _judged(kept, 0),
                _judged(max(replaced, default=math.nan), 0.5),
                _judged(area_under_roc(own), 0.99, more_is_better=True),
            ]
        )
    header = [
        "level",
        "median error, at most 0.1 px",
        "95th percentile, at most 0.3 px",
        "confident but wrong, none",
        "wrong and measured after consensus, none",
        "largest error of stand-ins, at most 0.5 px",
        "area under ROC, at least 0.99",
    ]
    return table(header, lines)


def methods_table(rows: Sequence[Row]) -> str:
    """Compare all methods over all conditions; CPU relative to scikit-image."""
    lines = []
    for method, level in methods_of(rows):
        own = choose(rows, method, level)
        informative = [row for row in own if row.pair.informative]
        errors = [row.error_px for row in informative]
        cpu_s = [row.cpu_s for row in own if _is_plane(row)]
        plain = [row.cpu_s for row in choose(rows, "scikit-image", "0")]
        lines.append(
            [
                short_name(method, level),
                f"{share(informative, _is_right):.1%}",
                _px(quantile(errors, 0.5)),
                _px(quantile(errors, 0.95)),
                _number(area_under_roc(own), 4),
                f"{1000 * quantile(cpu_s, 0.5):.0f} ms",
                _number(quantile(cpu_s, 0.5) / quantile(plain, 0.5), 1),
            ]
        )
    header = ["method", "right", "median error", "95th percentile", "area under ROC"]
    return table([*header, "CPU per ROI", "relative to scikit-image, L0"], lines)


def conditions_table(rows: Sequence[Row], limit: float, level: str) -> str:
    """Tell how fractal-tasks does under each condition."""
    lines = []
    for condition, own in _by_condition(choose(rows, OURS, level)):
        right = [row for row in own if row.right]
        errors = [row.error_px for row in own if row.pair.informative]
        confident = [row for row in own if _is_confident(row, limit)]
        kept = [row for row in own if row.status == "measured" and not row.right]
        replaced = [row for row in own if row.status not in ("measured", "refused")]
        largest = max(map(_final_error, replaced), default=math.nan)
        lines.append(
            [
                condition,
                f"{len(own)}",
                f"{len(right) / len(own):.0%}",
                _px(quantile(errors, 0.5)),
                _px(quantile(errors, 0.95)),
                f"{len(confident) / len(own):.0%}",
                _count(sum(not row.right for row in confident)),
                _count(len(kept)),
                f"{_px(largest)} ({len(replaced)})" if replaced else "",
                f"{sum(row.status == 'refused' for row in own) or ''}",
            ]
        )
    header = ["condition", "ROIs", "right", "median error", "95th percentile"]
    header += ["confident", "and wrong", "wrong after consensus", "stand-ins, worst"]
    return table([*header, "refused"], lines)


def right_table(rows: Sequence[Row]) -> str:
    """Give the share that is right, condition by condition and method by method."""
    methods = methods_of(rows)
    chosen = [dict(_by_condition(choose(rows, *method))) for method in methods]
    lines = []
    for condition, own in _by_condition(rows):
        if any(row.pair.informative for row in own):
            shares = [share(one.get(condition, []), _is_right) for one in chosen]
            lines.append([condition, *(_percent(one) for one in shares)])
    return table(["condition", *(short_name(*one) for one in methods)], lines)


def error_table(
    rows: Sequence[Row], error: Callable[[Row], float] = lambda row: row.error_px
) -> str:
    """Give median and 95th percentile of the errors where there is information."""
    methods = methods_of(rows)
    lines = []
    for condition, own in _by_condition(row for row in rows if row.pair.informative):
        cells = []
        for method in methods:
            errors = [error(row) for row in choose(own, *method)]
            middle, high = (_plain(quantile(errors, q)) for q in (0.5, 0.95))
            cells.append(f"{middle} / {high}" if errors else "")
        lines.append([condition, *cells])
    return table(["condition", *(short_name(*one) for one in methods)], lines)


def planes_table(rows: Sequence[Row]) -> str:
    """Give the errors along z, in planes, of the methods that see stacks."""
    stacks = [row for row in rows if not _is_plane(row) and row.method != "ashlar"]
    return error_table(stacks, lambda row: row.error_planes)


def real_tables(rows: Sequence[Row], limit: float) -> str:
    """Give the tables of the pairs of real images."""
    return f"""fractal-tasks, from level {DEFAULT_LEVEL}:

{conditions_table(rows, limit, DEFAULT_LEVEL)}

Share of right estimates:

{right_table(rows)}

Median error / 95th percentile in pixels of level 0:

{error_table(rows)}
"""


def calibration_table(rows: Sequence[Row], level: str) -> str:
    """Compare reported confidence with the share that is right."""
    lines = [
        [
            f"{one.low:.1f} to {one.high:.1f}",
            f"{one.count}",
            f"{one.mean_confidence:.2f}",
            f"{one.share_right:.2f}",
            f"{one.interval[0]:.2f} to {one.interval[1]:.2f}",
        ]
        for one in calibrate(choose(rows, OURS, level))
    ]
    header = ["confidence", "ROIs", "mean confidence", "share right", "95 % interval"]
    return table(header, lines)


def _by_condition(rows: Iterable[Row]) -> list[tuple[str, list[Row]]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.pair.condition, []).append(row)
    return list(groups.items())


def _is_right(row: Row) -> bool:
    return row.right


def _is_plane(row: Row) -> bool:
    return not row.pair.condition.startswith("stack")


def _is_confident(row: Row, limit: float) -> bool:
    return row.score is not None and row.score >= limit


def _final_error(row: Row) -> float:
    return math.nan if row.final_error_px is None else row.final_error_px


def _judged(value: float, target: float, *, more_is_better: bool = False) -> str:
    met = value >= target if more_is_better else value <= target
    if math.isnan(value):
        return "none"
    shown = f"{value}" if isinstance(value, int) else f"{value:.4g}"
    return f"{shown}, met" if met else f"**{shown}, missed**"


def _px(value: float) -> str:
    return "" if math.isnan(value) else f"{_plain(value)} px"


def _plain(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}" if value < 10 else f"{value:.0f}"


def _number(value: float, digits: int) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}"


def _percent(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.0%}"


def _count(value: int) -> str:
    return f"**{value}**" if value else ""
