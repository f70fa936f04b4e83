"""Write PLATES.md from the scores of a run.

Usage: ``python benchmarks/accuracy/plate_tables.py PLATES_JSON [--folder FOLDER]``.
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
# After this folder, for what the two benchmarks share.
sys.path.append(str(HERE.parent))

from plate_scores import OFF_PX, FieldScore, load_scores  # noqa: E402
from report import write_report  # noqa: E402
from rows import OURS  # noqa: E402
from tables import table  # noqa: E402

PEER = "fractal-tasks-core"
_Test = Callable[[FieldScore], bool]


def write_plates(source: Path, folder: Path) -> None:
    """Write PLATES.md, of which the notes are kept.

    Args:
        source: The ``plates.json`` of a run.
        folder: Where to write.
    """
    scores, costs, facts = load_scores(source)
    text = "\n".join(
        [
            _introduction(facts),
            _targets(scores),
            _conditions(scores),
            _left(scores),
            _costs(costs),
        ]
    )
    write_report(folder / "PLATES.md", text, [])
    print(f"written: {folder / 'PLATES.md'}")


def _introduction(facts: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {one}" for name, one in facts["versions"].items())
    return f"""# Finished plates

Where every pixel of a registered plate really came from, against where it should have
come from. Written by `make accuracy`; this part took {facts["minutes"]:.0f} minutes on
{facts["cores"]} cores; only the notes at the end are written by hand.

- **Plates**: {facts["plates"]} per condition, seeds {facts["seeds"]} (each condition
  has its own). They are drawn by `plate_scenes.py` and `plate_drawing.py`, which share
  nothing with the generator that the methods were developed on. If the condition does
  not say otherwise: three wells, each moved up to 40 pixels in its own direction; four
  fields of 512 x 512 pixels, each up to a pixel further; a tenth of the sample is new.
  `plate_conditions.py` says all.
- **Tasks**: *calculate*, *consensus* and *apply* of both packages with their defaults.
- **Error of a field**: two channels of each image hold the place of every pixel, and
  are moved with it. So each pixel of the registered image says where it came from, and
  the truth, where it belongs. The error is the median distance over the pixels that
  are kept. Pixels are moved by whole pixels, so 0.4 pixels are left at best.
- **Off**: more than 2 pixels, or nothing is kept. **Flagged**: imputed, unresolved, or
  with a stated standard error above 1 pixel. **Made worse**: the field's own estimate
  was right within 2 pixels, and the finished field is off by a pixel more than that.
  **Flagged in vain**: the own estimate was right within 1 pixel. **Area**: what is
  kept, over what all acquisitions see. **Empty, not recognised**: a field without a
  sample that is neither imputed nor unresolved. **Error / stated**: median of the
  error of the own estimate over its stated standard error, where it is not off.
- **Versions**: {versions}
"""


def _targets(scores: Sequence[FieldScore]) -> str:
    header = ["", "target", OURS, PEER]
    lines = []
    for what, target, count, among in _COUNTS:
        cells = [_counted(_of(scores, one), count, among) for one in (OURS, PEER)]
        lines.append([what, _limit(target), _judged(cells[0], target), cells[1][0]])
    counting = _among(scores, lambda one: one.counts)
    ours, peer = (_of(counting, one) for one in (OURS, PEER))
    areas = [_area(one) for one in (ours, peer)]
    kept = _met(f"{areas[0]:.1%}", areas[0] >= 0.98)
    lines.append(["area kept", "at least 98 %", kept, _percent(areas[1])])
    ratios = [_ratio(own) for _, own in _by_condition(ours)]
    known = [one for one in ratios if not math.isnan(one)]
    good = sum(0.5 <= one <= 2 for one in known)
    honest = _met(f"{good} of {len(known)}", good == len(known))
    what = "conditions with error / stated between 0.5 and 2"
    lines.append([what, "all", honest, ""])
    return f"""## Targets

Of the fields that a shift can bring back and whose images hold the answer.

{table(header, lines)}
"""


def _conditions(scores: Sequence[FieldScore]) -> str:
    header = ["condition", "fields", "own right", "off", "and unflagged", "made worse"]
    header += ["flagged in vain", "empty not recognised", "area", "error / stated"]
    header += ["error", "95 %", "core: off", "core: made worse", "core: error"]
    lines = []
    peers = dict(_by_condition(_of(scores, PEER)))
    for name, every in _by_condition(_of(scores, OURS)):
        own = _among(every, lambda one: not one.empty)
        peer = _among(peers.get(name, []), lambda one: not one.empty)
        empty = _among(every, lambda one: one.empty)
        errors = [one.error_px for one in own]
        lines.append(
            [
                name,
                f"{len(every)}",
                _percent(_share(own, lambda one: one.own_right)),
                _some(sum(one.off for one in own)),
                _some(sum(one.silent for one in own)),
                _some(sum(one.made_worse for one in own)),
                _some(sum(one.in_vain for one in own)),
                _some(sum(one.believed for one in empty)),
                _percent(_area(own)) if every[0].correctable else "",
                _number(_ratio(own), 2),
                _px(errors, 0.5),
                _px(errors, 0.95),
                _some(sum(one.off for one in peer)),
                _some(sum(one.made_worse for one in peer)),
                _px([one.error_px for one in peer], 0.5),
            ]
        )
    return f"""## Condition by condition

Numbers of fields; errors in pixels, median and 95th percentile. *core* is
fractal-tasks-core. Fields without a sample count as empty only.

{table(header, lines)}
"""


def _left(scores: Sequence[FieldScore]) -> str:
    header = ["condition", "left", "stated", "within 20 %", "shift off", "unflagged"]
    lines = []
    for name, own in _by_condition(_of(scores, OURS)):
        if own[0].correctable:
            continue
        near = [abs(one.left_stated_px / one.left_px - 1) <= 0.2 for one in own]
        stated = [one.left_stated_px for one in own]
        off = _among(own, lambda one: one.stated_for_px > OFF_PX)
        lines.append(
            [
                name,
                _px([one.left_px for one in own], 0.5),
                _px(stated, 0.5) or "nothing",
                f"{sum(near)} of {len(near)}",
                _some(len(off)),
                _some(sum(not one.flagged for one in off)),
            ]
        )
    return f"""## What a shift cannot correct

The largest displacement that a field's own estimate leaves within it, as it is and as
stated (medians, in pixels), and the fields where both agree within 20 %. *Shift
off* are fields whose translation is off by more than 2 pixels.

{table(header, lines)}
"""


def _costs(costs: Sequence[dict[str, Any]]) -> str:
    lines = []
    for step in ("calculate", "consensus", "apply"):
        cells = []
        for package in (OURS, PEER):
            own = [one for one in costs if one["package"] == package]
            fields = sum(one["fields"] for one in own)
            spent = sum(one["cpu_s"].get(step, 0) for one in own)
            cells.append(f"{1000 * spent / fields:.0f} ms" if fields else "")
        lines.append([f"*{step}*", *cells])
    failed = [
        [one["package"], one["condition"], text.splitlines()[0][:120]]
        for one in costs
        for text in one["failed"]
    ]
    header = ["CPU per field of an acquisition", OURS, PEER]
    text = f"## What it costs\n\n{table(header, lines)}\n"
    if failed:
        failures = table(["package", "condition", "error"], failed)
        text += f"\nUnits that failed, their fields are off:\n\n{failures}\n"
    return text


_COUNTS: tuple[tuple[str, float, _Test, _Test], ...] = (
    ("off", 0.01, lambda one: one.off, lambda one: one.counts),
    ("off and unflagged", 0, lambda one: one.silent, lambda one: one.counts),
    ("made worse", 0, lambda one: one.made_worse, lambda one: one.counts),
    (
        "flagged in vain",
        0.05,
        lambda one: one.in_vain,
        lambda one: one.counts and one.own_right,
    ),
    (
        "empty, not recognised",
        0,
        lambda one: one.believed,
        lambda one: one.empty,
    ),
)
"""Name, largest share, what is counted, and among which fields."""


def _of(scores: Iterable[FieldScore], package: str) -> list[FieldScore]:
    return [one for one in scores if one.package == package]


def _among(scores: Iterable[FieldScore], wanted: _Test) -> list[FieldScore]:
    return [one for one in scores if wanted(one)]


def _by_condition(
    scores: Iterable[FieldScore],
) -> list[tuple[str, list[FieldScore]]]:
    groups: dict[str, list[FieldScore]] = {}
    for one in scores:
        groups.setdefault(one.condition, []).append(one)
    return list(groups.items())


def _share(scores: Sequence[FieldScore], counted: _Test) -> float:
    return sum(map(counted, scores)) / len(scores) if scores else math.nan


def _counted(
    scores: Sequence[FieldScore], counted: _Test, among: _Test
) -> tuple[str, float]:
    chosen = _among(scores, among)
    share = _share(chosen, counted)
    if math.isnan(share):
        return "", share
    return f"{sum(map(counted, chosen))} of {len(chosen)} ({share:.1%})", share


def _judged(cell: tuple[str, float], target: float) -> str:
    text, share = cell
    return _met(text, share <= target) if text else ""


def _met(text: str, met: bool) -> str:
    return f"{text}, met" if met else f"**{text}, missed**"


def _limit(share: float) -> str:
    return f"at most {share:.0%}" if share else "none"


def _area(scores: Sequence[FieldScore]) -> float:
    return float(np.mean([min(one.area, 1) for one in scores])) if scores else math.nan


def _ratio(scores: Sequence[FieldScore]) -> float:
    # It is the error of the right peak: of a wrong one the confidence tells.
    right = _among(scores, lambda one: one.own_error_px <= OFF_PX)
    ratios = [one.own_ratio for one in right]
    return float(np.median(ratios)) if ratios else math.nan


def _px(values: Sequence[float], share: float) -> str:
    known = [value for value in values if not math.isnan(value)]
    # Between a finite and an infinite error there is nothing to interpolate.
    return _number(float(np.quantile(known, share, method="lower")), 2) if known else ""


def _percent(share: float) -> str:
    return "" if math.isnan(share) else f"{share:.0%}"


def _number(value: float, digits: int) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}"


def _some(count: int) -> str:
    return f"{count}" if count else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plates", type=Path)
    parser.add_argument("--folder", type=Path, default=HERE, help="where to write")
    options = parser.parse_args()
    write_plates(options.plates, options.folder)


if __name__ == "__main__":
    main()
