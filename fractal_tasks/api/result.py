"""What became of images, for notebooks and scripts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING

from fractal_tasks.qc.usability import PlateVerdict, judge_plate
from fractal_tasks.report.results import (
    GroupResult,
    RoiResult,
    by_acquisition,
    by_well,
)

if TYPE_CHECKING:
    from pandas import DataFrame

_MAX_WELLS = 20
"""What one looks at; all are in the table."""

_SHOWN = ("rois", "measured", "chosen", "imputed", "unresolved")


@dataclass(frozen=True)
class Result:
    """What became of images, shown as a table by notebooks."""

    images: list[str]
    """Urls of the registered images: those just made, and those that were there."""

    rois: list[RoiResult] = field(repr=False)
    """What became of each ROI."""

    failures: dict[str, str]
    """What is wrong, by the url of each image or well that was left out."""

    warnings: list[str] = field(repr=False)
    """What the log warned of."""

    @cached_property
    def table(self) -> "DataFrame":
        """One row per ROI: what became of it, in um and in pixels, and the evidence."""
        from pandas import DataFrame

        return DataFrame([roi.as_cells() for roi in self.rois])

    @cached_property
    def verdict(self) -> PlateVerdict:
        """Whether the plate is usable, and what to look at, worst first."""
        return judge_plate(self.rois, left_out=len(self.failures))

    def _repr_html_(self) -> str:
        """Show the verdict, acquisitions, the worst wells and what failed."""
        acquisitions, wells = by_acquisition(self.rois), by_well(self.rois)[:_MAX_WELLS]
        parts = [
            f"<p><b>{escape(str(self.verdict))}</b></p>" if self.rois else "",
            f"<p>{len(self.images)} registered images, {len(self.rois)} ROIs</p>",
            _to_html("Acquisitions", acquisitions) if acquisitions else "",
            _to_html("Wells, worst first", wells) if wells else "",
            *(
                f"<p><b>{escape(url)}</b>: {escape(text)}</p>"
                for url, text in self.failures.items()
            ),
        ]
        return "\n".join(part for part in parts if part)


def _to_html(title: str, groups: Sequence[GroupResult]) -> str:
    """Write acquisitions as a table of HTML."""
    from pandas import DataFrame

    rows = [
        {
            "well": one.lone_image or one.well or "all",
            "acquisition": "" if one.lone_image else one.acquisition,
            "shift z, y, x (um)": _round(one.shift_um),
            "shift z, y, x (px)": _round(one.shift_px),
            **{name: getattr(one, name) for name in _SHOWN},
            "lowest confidence": one.lowest_confidence,
            "largest error (px)": one.largest_error_px,
            "kept": one.kept,
        }
        for one in groups
    ]
    table = DataFrame(rows).to_html(index=False, na_rep="-", float_format="%.2f")
    return f"<p><b>{escape(title)}</b></p>\n{table}"


def _round(vector: tuple[float, ...] | None) -> str:
    return "-" if vector is None else ", ".join(f"{part:.1f}" for part in vector)
