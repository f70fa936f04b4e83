"""What a page holds and unpacks when it is needed: compressed text.

A page is read from top to bottom before anything is drawn; this takes it no time.
"""

import gzip
import json
import math
from base64 import b64encode
from collections.abc import Sequence

from fractal_tasks.report.columns import place_of
from fractal_tasks.report.results import RoiResult

_DIGITS = 5
"""Of numbers: what is rounded off is 1 nm of 0.1 mm."""

_WORDS = ("plate_url", "well", "zarr_url", "roi", "status", "reason")


def pack_text(text: str) -> str:
    """Compress text, for `unpack` of the page."""
    return b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode()


def list_names(rois: Sequence[RoiResult]) -> list[str]:
    """Give the names of all columns of `Result.table`, as a saved table has them."""
    return list(dict.fromkeys(name for one in rois for name in one.as_cells()))


def list_columns(rois: Sequence[RoiResult]) -> dict[str, list[object]]:
    """Give all that the page shows of ROIs, each column by its name.

    They are those of `Result.table`, without what is known of no ROI, and what the
    layout of a well needs besides.
    """
    cells = [one.as_cells() | _make_drawn(one) for one in rois]
    names = dict.fromkeys(name for row in cells for name in row)
    if not any(one.has_z for one in rois):
        names = {name: None for name in names if "_z_" not in name}
    columns = {name: [_shorten(row.get(name)) for row in cells] for name in names}
    return {
        name: values
        for name, values in columns.items()
        if name in _WORDS or any(value is not None for value in values)
    }


def pack_columns(columns: dict[str, list[object]]) -> str:
    """Pack what `list_columns` gives, as JSON text."""
    return pack_text(json.dumps(columns, separators=(",", ":"), allow_nan=False))


def _make_drawn(one: RoiResult) -> dict[str, object]:
    """Give what only the layout of a well needs, and words for what is not known."""
    _, y, x = one.centre_um or (None, None, None)
    _, height, width = one.size_um or (None, None, None)
    _, measured_y, measured_x = one.measured_um or (None, None, None)
    return {
        "well": place_of(one),
        "status": one.status or "estimated",
        # What was measured needs no reason, and thousands of them take megabytes.
        "reason": one.reason if one.status not in {"measured", "reference"} else "",
        "drawn_y": y,
        "drawn_x": x,
        "drawn_height": height,
        "drawn_width": width,
        "drawn_measured_y": measured_y,
        "drawn_measured_x": measured_x,
        "drawn_bend": None
        if one.bend_um is None
        else [_shorten(part, 3) for node in one.bend_um for part in node[1:]],
    }


def _shorten(value: object, digits: int = _DIGITS) -> object:
    """Give a number with few digits, anything else as it is; NaN as what is unknown."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None
