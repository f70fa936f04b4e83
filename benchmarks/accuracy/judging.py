"""Numbers that sum up many rows."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rows import OURS, Row
from scipy.stats import rankdata

FloatArray = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Bin:
    """Estimates of similar confidence."""

    low: float
    high: float
    count: int
    mean_confidence: float
    share_right: float
    interval: tuple[float, float]
    """95 % interval of the share (Wilson, doi:10.1080/01621459.1927.10502953)."""


def methods_of(rows: Iterable[Row]) -> list[tuple[str, str]]:
    """List methods and levels, ours first."""
    found = {(row.method, row.level) for row in rows}
    return sorted(found, key=lambda one: (one[0] != OURS, one))


def choose(rows: Iterable[Row], method: str, level: str) -> list[Row]:
    """Give the rows of one method that started at one level."""
    return [row for row in rows if (row.method, row.level) == (method, level)]


def share(rows: Sequence[Row], condition: Callable[[Row], bool]) -> float:
    """Give the share of rows for which `condition` holds; NaN without rows."""
    return sum(map(condition, rows)) / len(rows) if rows else math.nan


def quantile(values: Sequence[float], q: float) -> float:
    """Give a quantile; NaN without values."""
    return float(np.quantile(values, q)) if values else math.nan


def scored(rows: Sequence[Row]) -> list[tuple[float, bool]]:
    """Give score and rightness of the rows that have a score; NaN is the lowest."""
    return [
        (-math.inf if math.isnan(row.score) else row.score, row.right)
        for row in rows
        if row.score is not None
    ]


def area_under_roc(rows: Sequence[Row]) -> float:
    """Give the chance that a right estimate scores higher than a wrong one.

    Returns:
        0 to 1, ties count half (Mann and Whitney, doi:10.1214/aoms/1177730491); NaN if
        there are no scores, or if all are right or all wrong.
    """
    pairs = scored(rows)
    right = np.array([one for _, one in pairs], dtype=bool)
    positives, negatives = int(right.sum()), int((~right).sum())
    if positives == 0 or negatives == 0:
        return math.nan
    ranks = rankdata([score for score, _ in pairs])
    above = ranks[right].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))


def roc_curve(rows: Sequence[Row]) -> tuple[FloatArray, FloatArray]:
    """Give the shares of wrong and of right estimates accepted, limit by limit."""
    pairs = scored(rows)
    score = np.array([one for one, _ in pairs])
    right = np.array([one for _, one in pairs], dtype=bool)
    limits = np.unique(score)[::-1]
    accepted = score >= limits[:, None]
    curves = [accepted[:, kind].mean(axis=1) for kind in (~right, right)]
    wrong, found = (np.concatenate([[0.0], curve]) for curve in curves)
    return wrong, found


def calibrate(rows: Sequence[Row], bins: int = 10) -> list[Bin]:
    """Compare confidence with the share that is right, bin by bin; no empty bins."""
    pairs = scored(rows)
    confidence = np.array([one for one, _ in pairs])
    right = np.array([one for _, one in pairs], dtype=bool)
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    result = []
    for index in np.unique(place).tolist():
        chosen = place == index
        count, hits = int(chosen.sum()), int(right[chosen].sum())
        result.append(
            Bin(
                low=index / bins,
                high=(index + 1) / bins,
                count=count,
                mean_confidence=float(confidence[chosen].mean()),
                share_right=hits / count,
                interval=_wilson(hits, count),
            )
        )
    return result


def stood_in(rows: Sequence[Row]) -> list[Row]:
    """Give the ROIs that the consensus replaced, in wells that are otherwise good.

    Good means that more than half of the well's ROIs were measured, all of these right.
    """
    wells: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        wells.setdefault((row.pair.condition, row.pair.seed), []).append(row)
    replaced = []
    for well in wells.values():
        measured = [row for row in well if row.status == "measured"]
        if len(measured) > len(well) / 2 and all(row.right for row in measured):
            replaced += [
                row
                for row in well
                if row.status != "measured" and row.final_px is not None
            ]
    return replaced


def _wilson(hits: int, count: int) -> tuple[float, float]:
    z = 1.96
    middle = (hits + z**2 / 2) / (count + z**2)
    half = z / (count + z**2) * math.sqrt(hits * (count - hits) / count + z**2 / 4)
    return max(0.0, middle - half), min(1.0, middle + half)
