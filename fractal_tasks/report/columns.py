"""The numbers of a report as columns: of ROIs, and of wells by acquisition.

Lengths are in micrometres. What is not known is NaN, of words ''.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from fractal_tasks.qc import place_from_names
from fractal_tasks.report.results import RoiResult

Columns: TypeAlias = dict[str, Any]
"""Arrays of 32 bits, or lists of words, all of one length."""

_Number: TypeAlias = Callable[[RoiResult], float | None]

_ROI_NUMBERS: dict[str, _Number] = {
    "acquisition": lambda one: one.acquisition,
    "confidence": lambda one: one.confidence,
    "error_px": lambda one: one.error_px,
    "error_z": lambda one: one.error_z_um,
    "shift_z": lambda one: _known_shift(one, 0),
    "shift_y": lambda one: _known_shift(one, 1),
    "shift_x": lambda one: _known_shift(one, 2),
    "similarity_before": lambda one: one.evidence.get("similarity_before"),
    "similarity_after": lambda one: one.evidence.get("similarity_after"),
    "turn_deg": lambda one: one.evidence.get("turn_deg"),
    "left_px": lambda one: one.left_px,
    "kept": lambda one: one.kept,
    "y": lambda one: None if one.centre_um is None else one.centre_um[1],
    "x": lambda one: None if one.centre_um is None else one.centre_um[2],
}

_ARROW = 0.4
"""The longest arrow reaches from the centre of its well so far."""


def place_of(one: RoiResult) -> str:
    """Name the well of a ROI, or of an image in no plate the image."""
    return one.well or one.zarr_url.rpartition("/")[2]


def _known_shift(one: RoiResult, axis: int) -> float | None:
    """Give how far a ROI moved; where it was left for want of better is no movement."""
    if one.shift_um is None or one.status == "unresolved":
        return None
    return one.shift_um[axis]


def make_roi_columns(rois: Sequence[RoiResult]) -> Columns:
    """Give a row per ROI, references included."""
    columns: Columns = {
        name: _numbers(number(one) for one in rois)
        for name, number in _ROI_NUMBERS.items()
    }
    columns["well"] = [place_of(one) for one in rois]
    columns["roi"] = [one.roi for one in rois]
    columns["status"] = [one.status or "estimated" for one in rois]
    if not any(one.has_z for one in rois):
        columns["shift_z"] = np.full_like(columns["shift_z"], np.nan)
    columns["shift"] = np.hypot(columns["shift_y"], columns["shift_x"])
    return columns


def make_well_columns(columns: Columns) -> Columns:
    """Give a row per well and acquisition: medians, worst values and shares.

    Args:
        columns: Of ROIs.
    """
    groups: dict[tuple[str, float], list[int]] = defaultdict(list)
    for index, (well, status) in enumerate(
        zip(columns["well"], columns["status"], strict=True)
    ):
        if status != "reference":
            groups[well, float(columns["acquisition"][index])].append(index)
    rows = [_summarise(columns, well, own) for (well, _), own in groups.items()]
    for index, row in enumerate(rows):
        if not row["column_name"]:  # images in no plate, side by side
            row.update(row=0, column=index, row_name="", column_name=row["well"])
    names = list(rows[0]) if rows else []
    wells: Columns = {
        name: [row[name] for row in rows]
        if name in {"well", "row_name", "column_name"}
        else _numbers(row[name] for row in rows)
        for name in names
    }
    if rows:
        longest = _largest(wells["shift"])
        wells["to_row"] = wells["row"] + _ARROW * wells["shift_y"] / longest
        wells["to_column"] = wells["column"] + _ARROW * wells["shift_x"] / longest
    return wells


def _summarise(columns: Columns, well: str, own: list[int]) -> dict[str, Any]:
    def values(name: str) -> npt.NDArray[np.float32]:
        found = columns[name][own]
        known: npt.NDArray[np.float32] = found[np.isfinite(found)]
        return known

    def reduce(name: str, how: Callable[[Any], Any]) -> float | None:
        known = values(name)
        return float(how(known)) if known.size else None

    statuses = [columns["status"][index] for index in own]
    judged = len(statuses) - statuses.count("estimated")
    row_name, _, column_name = well.partition("/")
    row, column = place_from_names(row_name, column_name)
    gains = (columns["similarity_after"] - columns["similarity_before"])[own]
    gains = gains[np.isfinite(gains)]
    turns = columns["turn_deg"][own]
    turns = turns[np.isfinite(turns)]
    return {
        "well": well,
        "row_name": row_name,
        "column_name": column_name,
        "row": row,
        "column": column,
        "acquisition": columns["acquisition"][own[0]],
        "rois": len(own),
        "unresolved": statuses.count("unresolved"),
        "shift": reduce("shift", np.median),
        "shift_z": reduce("shift_z", np.median),
        "shift_y": reduce("shift_y", np.median),
        "shift_x": reduce("shift_x", np.median),
        "confidence": reduce("confidence", np.min),
        "error_px": reduce("error_px", np.max),
        "error_z": reduce("error_z", np.max),
        "gain": float(np.median(gains)) if gains.size else None,
        "turn_deg": float(np.median(turns)) if turns.size else None,
        "imputed": statuses.count("imputed") / judged if judged else None,
        "lost": statuses.count("unresolved") / judged if judged else None,
        "kept": reduce("kept", np.mean),
    }


def ends_of_scale(
    values: npt.NDArray[np.float32], scale: Literal["from zero", "part", "about zero"]
) -> tuple[float, float]:
    """Give the least and the largest value of a scale of colours."""
    if scale == "part":
        return 0.0, 1.0
    most = _largest(np.abs(values))
    return (-most if scale == "about zero" else 0.0), most


def _largest(values: npt.NDArray[np.float32]) -> float:
    known = values[np.isfinite(values) & (values > 0)]
    return float(known.max()) if known.size else 1.0


def _numbers(values: Iterable[float | None]) -> npt.NDArray[np.float32]:
    return np.array([np.nan if v is None else v for v in values], np.float32)
