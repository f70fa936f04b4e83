"""What is kept of one estimate, and the file that holds all of them."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

OURS = "fractal-tasks"


@dataclass(frozen=True)
class Pair:
    """One ROI in both acquisitions, and the truth about it."""

    condition: str
    seed: int
    roi: str
    informative: bool
    """True if the images hold the answer, so that a method ought to find it."""
    true_px: list[float]
    """From the acquisition to the reference at the ROI's centre, z, y, x in pixels of
    level 0."""
    start_px: tuple[list[float], list[float]]
    """First corner of the ROI in the reference and in the acquisition, z, y, x."""


@dataclass(frozen=True)
class Row:
    """One pair, registered by one method starting at one level."""

    pair: Pair
    method: str
    level: str
    found_px: list[float]
    """The translation, as `Pair.true_px`; z is NaN if the method is for planes."""
    score: float | None
    """How sure the method is, the higher the surer; ours says a probability."""
    cpu_s: float
    status: str = ""
    """What the method's own consensus of the well made of the ROI."""
    final_px: list[float] | None = None
    """The translation after the consensus; None where there is none."""

    @property
    def error_px(self) -> float:
        """Largest difference from the truth along y and x."""
        return _distance(self.found_px[1:], self.pair.true_px[1:])

    @property
    def error_planes(self) -> float:
        """Difference from the truth along z."""
        return _distance(self.found_px[:1], self.pair.true_px[:1])

    @property
    def right(self) -> bool:
        """Within one pixel along y and x, and half a plane along z, if it says z."""
        return self.error_px <= 1 and not self.error_planes > 0.5

    @property
    def final_error_px(self) -> float | None:
        """Largest difference along y and x after the consensus."""
        if self.final_px is None:
            return None
        return _distance(self.final_px[1:], self.pair.true_px[1:])


def save_rows(rows: Iterable[Row], facts: dict[str, Any], path: Path) -> None:
    """Write all rows, and the facts about the run, to a JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"facts": facts, "rows": [asdict(row) for row in rows]}
    path.write_text(json.dumps(content))


def load_rows(path: Path) -> tuple[list[Row], dict[str, Any]]:
    """Read the rows and facts that `save_rows` wrote."""
    content = json.loads(path.read_text())
    rows = [Row(**row | {"pair": Pair(**row["pair"])}) for row in content["rows"]]
    return rows, content["facts"]


def _distance(found: list[float], true: list[float]) -> float:
    return max(abs(a - b) for a, b in zip(found, true, strict=True))
