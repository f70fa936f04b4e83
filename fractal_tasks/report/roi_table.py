"""The table of all ROIs: sorted by its headers, filtered, drawn as it is scrolled.

`page.js` fills it with what is packed in the page, and filters it.
"""

from collections.abc import Sequence
from typing import Any

from bokeh.models import (
    BooleanFilter,
    CDSView,
    ColumnDataSource,
    DataTable,
    NumberFormatter,
    StringFormatter,
    TableColumn,
)
from bokeh.models.comparisons import NanCompare

_WORDS = {"well": ("Well", 70), "roi": ("ROI", 90), "status": ("Status", 90)}
_NUMBERS = {
    "acquisition": ("Acq.", "0", 45),
    "shift_z_um": ("z (µm)", "0.00", 70),
    "error_z_um": ("Error z (µm)", "0.00", 90),
    "shift_y_um": ("y (µm)", "0.00", 70),
    "shift_x_um": ("x (µm)", "0.00", 70),
    "confidence": ("Confidence", "0.00", 85),
    "error_px": ("Error (px)", "0.00", 80),
    "left_px": ("Left (px)", "0.0", 75),
    "turn_deg": ("Turn (°)", "0.000", 75),
    "similarity_before": ("Before", "0.00", 65),
    "similarity_after": ("After", "0.00", 65),
    "kept": ("Kept", "0.0%", 65),
}
_FIRST = ("well", "acquisition", "roi", "status")


def make_roi_table(names: Sequence[str]) -> Any:  # noqa: ANN401 - bokeh has no types
    """Make the table, still without rows.

    Args:
        names: The columns that the page has, as `Result.table` names them.
    """
    known = [name for name in (*_FIRST, *_NUMBERS) if name in names]
    leading = list(dict.fromkeys(known))
    shown = {*leading, "reason", "plate_url", "zarr_url"}
    return DataTable(
        name="roi_table",
        source=ColumnDataSource(name="table_rows"),
        view=CDSView(filter=BooleanFilter(name="found")),
        columns=[
            *map(_make_column, leading),
            TableColumn(
                field="reason", title="Why", width=420, formatter=StringFormatter()
            ),
            *(_make_column(name) for name in names if name not in shown),
        ],
        height=420,
        sizing_mode="stretch_width",
        index_position=None,
        autosize_mode="none",
    )


def _make_column(name: str) -> TableColumn:
    if name in _WORDS:
        title, width = _WORDS[name]
        return TableColumn(
            field=name, title=title, width=width, formatter=StringFormatter()
        )
    title, form, width = _NUMBERS.get(name, (name, "0.[0000]", 8 * len(name) + 20))
    return TableColumn(
        field=name,
        title=title,
        width=width,
        formatter=NumberFormatter(format=form, text_align="right", nan_format="-"),
        sorter=NanCompare(),
    )
