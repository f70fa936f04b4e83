"""What charts, table and controls of a page share: the data, and what is chosen."""

from dataclasses import dataclass, field
from typing import Any

from bokeh.models import (
    CDSView,
    ColumnDataSource,
    CustomJS,
    IndexFilter,
    RadioButtonGroup,
    Select,
)

from fractal_tasks.report.columns import Columns

_CHOOSE = """
const chosen = parseInt(acquisitions.labels[acquisitions.active]);
const pick = (source, test) => {
  const data = source.data, found = [];
  for (let i = 0; i < data.acquisition.length; i++)
    if (data.acquisition[i] == chosen && test(data, i)) found.push(i);
  return found;
};
on_map.indices = pick(wells, () => true);
in_well.indices = pick(rois, (data, i) => data.well[i] == well.value);
"""


@dataclass(frozen=True)
class Sources:
    """Data of a page, and the controls that choose from it."""

    rois: ColumnDataSource
    wells: ColumnDataSource
    acquisitions: RadioButtonGroup
    well: Select
    on_map: IndexFilter = field(default_factory=lambda: IndexFilter(indices=[]))
    """The wells of the chosen acquisition."""

    in_well: IndexFilter = field(default_factory=lambda: IndexFilter(indices=[]))
    """The ROIs of the chosen well and acquisition."""

    @classmethod
    def of(cls, rois: Columns, wells: Columns) -> "Sources":
        """Make them; the first acquisition, and its worst well, are chosen."""
        numbers = sorted({int(number) for number in wells["acquisition"]})
        names = list(dict.fromkeys(wells["well"]))
        made = cls(
            ColumnDataSource(rois),
            ColumnDataSource(wells),
            RadioButtonGroup(
                labels=[str(number) for number in numbers],
                active=0,
                name="acquisitions",
            ),
            Select(options=names, value=names[0], title="Well", name="well"),
        )
        made.on_map.indices = _where(wells, numbers[0])
        made.in_well.indices = _where(rois, numbers[0], names[0])
        choose = CustomJS(
            args={
                "acquisitions": made.acquisitions,
                "well": made.well,
                "wells": made.wells,
                "rois": made.rois,
                "on_map": made.on_map,
                "in_well": made.in_well,
            },
            code=_CHOOSE,
        )
        made.acquisitions.js_on_change("active", choose)
        made.well.js_on_change("value", choose)
        return made

    @property
    def map_view(self) -> Any:  # noqa: ANN401 - bokeh has no types
        """The wells of the chosen acquisition."""
        return CDSView(filter=self.on_map)

    @property
    def field_view(self) -> Any:  # noqa: ANN401 - bokeh has no types
        """The ROIs of the chosen well and acquisition."""
        return CDSView(filter=self.in_well)


def _where(columns: Columns, acquisition: int, well: str | None = None) -> list[int]:
    return [
        index
        for index, number in enumerate(columns["acquisition"])
        if number == acquisition and well in {None, columns["well"][index]}
    ]
