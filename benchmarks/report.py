"""Turn measured values into the tables of RESULTS.md."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

NOTES_HEADING = "## Notes"
"""Everything from this heading on is written by hand and kept."""

_HEADER = """\
| | fractal-tasks | compared with | ratio | target | |
|---|---:|---:|---:|---|---|"""


@dataclass(frozen=True)
class Row:
    """One measured value beside what it is compared with."""

    what: str
    ours: float
    other: float
    unit: str = ""
    times_less: float | None = None
    """Target: ours is at least this many times less than the other."""
    at_most: float | None = None
    """Target: ours is at most this many times the other."""

    def markdown(self) -> str:
        """Give the row of the table."""
        cells = [self.what, self._value(self.ours), self._value(self.other)]
        return "| " + " | ".join(cells + self._judgement()) + " |"

    def _judgement(self) -> list[str]:
        less = f"{self.other / self.ours:.1f} x less"
        if self.at_most is not None:
            met = self.ours <= self.at_most * self.other
            ratio = f"{self.ours / self.other:.2f} x"
            target = f"at most {self.at_most:g} x"
        elif self.times_less is not None:
            met = self.other >= self.times_less * self.ours
            ratio, target = less, f"at least {self.times_less:g} x less"
        else:
            return [less, "", ""]
        return [ratio, target, "met" if met else "**missed**"]

    def _value(self, value: float) -> str:
        digits = {"MB": 0, "px": 3}.get(self.unit, 2)
        return f"{value:.{digits}f} {self.unit}".strip()


@dataclass
class Section:
    """The table of one case."""

    title: str
    intro: str
    rows: list[Row] = field(default_factory=list)

    def markdown(self) -> str:
        """Give heading, introduction and table."""
        table = "\n".join([_HEADER, *(row.markdown() for row in self.rows)])
        return f"## {self.title}\n\n{self.intro}\n\n{table}\n"


def write_report(path: Path, introduction: str, sections: Sequence[Section]) -> None:
    """Write all tables to `path`, above the notes that are there."""
    notes = f"{NOTES_HEADING}\n"
    if path.exists():
        _, heading, kept = path.read_text().partition(NOTES_HEADING)
        notes = heading + kept if heading else notes
    tables = [section.markdown() for section in sections]
    path.write_text("\n".join([introduction, *tables, notes]))
