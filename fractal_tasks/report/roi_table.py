"""The table of all ROIs: sorted by its headers, filtered, saved as CSV."""

from typing import Any

from bokeh.models import (
    BooleanFilter,
    Button,
    CDSView,
    CustomJS,
    DataTable,
    NumberFormatter,
    Select,
    StringFormatter,
    TableColumn,
    TextInput,
)

from fractal_tasks.report.maps import STATUS_COLOURS
from fractal_tasks.report.sources import Sources

_ALL = "all"

_COLUMNS = (
    ("well", "Well", None, 70),
    ("acquisition", "Acq.", "0", 45),
    ("roi", "ROI", None, 90),
    ("status", "Status", None, 90),
    ("shift_y", "y (µm)", "0.00", 70),
    ("shift_x", "x (µm)", "0.00", 70),
    ("confidence", "Confidence", "0.00", 80),
    ("error_px", "Error (px)", "0.00", 75),
    ("left_px", "Left (px)", "0.0", 70),
    ("turn_deg", "Turn (°)", "0.000", 70),
    ("similarity_before", "Before", "0.00", 60),
    ("similarity_after", "After", "0.00", 60),
    ("kept", "Kept", "0.0%", 60),
    ("reason", "Why", None, 420),
)

_FILTER = """
const words = text.value.toLowerCase().split(/\\s+/).filter(Boolean);
const data = source.data;
chosen.booleans = data.roi.map((roi, i) => {
  if (status.value != "all" && data.status[i] != status.value) return false;
  const row = [data.well[i], data.acquisition[i], roi, data.reason[i]].join(" ");
  return words.every(word => row.toLowerCase().includes(word));
});
"""
_SAVE = """
const data = source.data;
const quote = value => {
  const text = value !== value ? "" : String(value);
  return /[",\\n]/.test(text) ? '"' + text.replaceAll('"', '""') + '"' : text;
};
const lines = [names.join(",")];
for (let i = 0; i < data.roi.length; i++)
  lines.push(names.map(name => quote(data[name][i])).join(","));
const link = document.createElement("a");
const blob = new Blob([lines.join("\\n") + "\\n"], {type: "text/csv"});
link.href = URL.createObjectURL(blob);
link.download = "registration.csv";
link.click();
URL.revokeObjectURL(link.href);
"""


def make_roi_table(sources: Sources) -> tuple[Any, Any, Any, Any]:
    """Make the table, drawn as it is scrolled.

    Returns:
        What filters by words and by status, what saves all rows, and the table.
    """
    source = sources.rois
    text = TextInput(
        title="Filter", placeholder="A/01 FOV_1", name="filter_text", width=220
    )
    found = [one for one in STATUS_COLOURS if one in set(source.data["status"])]
    status = Select(
        title="Status", options=[_ALL, *found], value=_ALL, name="filter_status"
    )
    chosen = BooleanFilter()
    args = {"text": text, "status": status, "source": source, "chosen": chosen}
    for control in (text, status):
        control.js_on_change("value", CustomJS(args=args, code=_FILTER))
    table = DataTable(
        name="roi_table",
        source=source,
        view=CDSView(filter=chosen),
        columns=[
            TableColumn(
                field=field,
                title=title,
                width=width,
                formatter=StringFormatter()
                if form is None
                else NumberFormatter(format=form, text_align="right", nan_format="-"),
            )
            for field, title, form, width in _COLUMNS
        ],
        height=420,
        sizing_mode="stretch_width",
        index_position=None,
        autosize_mode="none",
    )
    save = Button(label="Save as CSV", name="save_csv", width=120)
    names = [field for field, *_ in _COLUMNS]
    save.js_on_click(CustomJS(args={"source": source, "names": names}, code=_SAVE))
    return text, status, save, table
