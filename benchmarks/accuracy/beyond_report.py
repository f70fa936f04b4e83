"""Write BEYOND.md and beyond.png from the results of a run.

Usage: ``python benchmarks/accuracy/beyond_report.py FOLDER [--folder FOLDER]``.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
# After this folder, for what the two benchmarks share.
sys.path.append(str(HERE.parent))

from beyond_conditions import CONDITIONS, Condition  # noqa: E402
from beyond_figure import Group, draw_errors  # noqa: E402
from beyond_scores import FieldErrors, load_fields, quantile  # noqa: E402
from report import write_report  # noqa: E402
from tables import table  # noqa: E402

_LEAST_SHIFTS = 0.95
"""Target: so many of the fields that only moved should have a shift."""


def write_beyond(source: Path, folder: Path) -> None:
    """Write BEYOND.md, of which the notes are kept, and beyond.png.

    Args:
        source: The output folder of a run.
        folder: Where to write.
    """
    fields, facts = load_fields(source)
    groups = list(_group(fields))
    bent = [group for group in groups if not group[0].only_moved]
    text = "\n".join(
        [
            _introduction(facts),
            _errors(bent, facts),
            _shifts([group for group in groups if group[0].only_moved]),
            _missed(bent),
        ]
    )
    write_report(folder / "BEYOND.md", text, [])
    if bent:
        draw_errors(bent, folder / "beyond.png")
    print(f"written: {folder / 'BEYOND.md'}")


def _group(fields: Sequence[FieldErrors]) -> Iterator[Group]:
    for condition in CONDITIONS:
        for method in condition.methods:
            key = condition.kind.name, method
            own = [
                field
                for field in fields
                if (field.result.condition, field.result.method) == key
            ]
            if own:
                yield condition, method, own


def _introduction(facts: dict[str, Any]) -> str:
    failed = "".join(f"\n- **Failed**: {one}" for one in facts["failed"])
    return f"""# Finished plates that turned or bent

How far every pixel of a registered plate is from where it should be, where a shift is
not enough. Written by `make accuracy`; this part took {facts["minutes"]:.0f} minutes on
{facts["cores"]} cores; only the notes at the end are written by hand.

- **Plates**: {facts["plates"]} per condition, seeds {facts["seeds"]} (each condition
  has its own), drawn as those of [PLATES.md](PLATES.md), with a generator that no
  method was developed on. Three wells, each moved up to 40 pixels; four fields of
  512 x 512 pixels of 0.325 um, each up to a pixel further; a tenth of the sample is
  new.
- **Turned**: by 1 degree about the centre of the well, and 0.5 % larger. **Bent**: by 8
  pixels in the mean, and what is 45 um apart by other vectors (correlation 1 / e).
  **Stack**: 12 planes of 1 um and 256 x 256 pixels, turned by 1 degree in the plane,
  and moved by up to two planes. **Moved**: only that.
- **Tasks**: *calculate* with the method that is named, *consensus* and *apply* with
  their defaults.
- **Error**: two channels (in stacks three) hold the place of every pixel, and are moved
  and interpolated with it. So each pixel of the registered image says where it came
  from, within a 64th of a pixel, and the truth, where it belongs. Counted is every
  fourth pixel along y and x of all that are kept, also where nothing is to be seen.
- **Off**: 5 % of the kept pixels of a field are off by more than 2 pixels. **Flagged**:
  imputed, unresolved, or with a stated standard error or `registration_left_px` above 1
  pixel.{failed}
"""


def _errors(groups: Sequence[Group], facts: dict[str, Any]) -> str:
    header = ["plates", "method", "median (px)", "at most", "95 % (px)", "at most"]
    header += ["on structure: 95 %", "fields beyond", "off", "off and unflagged"]
    header += ["flagged", "kept", "CPU per field"]
    lines = []
    stacks = []
    for condition, method, fields in groups:
        name = condition.kind.name
        every = np.concatenate([field.kept_px for field in fields])
        median_px, most_px = (quantile(every, share) for share in (0.5, 0.95))
        spent = facts["cpu_s"][f"{name}, {method}"]
        off = [field for field in fields if field.off]
        kept = np.mean([np.isfinite(field.errors_px).mean() for field in fields])
        lines.append(
            [
                name,
                method,
                _judged(median_px, condition.median_px),
                f"{condition.median_px:g}",
                _judged(most_px, condition.most_px),
                f"{condition.most_px:g}",
                f"{quantile(_on_structure(fields), 0.95):.3f}",
                f"{sum(_is_beyond(one, condition) for one in fields)} of {len(fields)}",
                f"{len(off)}",
                f"{sum(not one.result.flagged for one in off)}",
                f"{sum(one.result.flagged for one in fields)}",
                f"{kept:.0%}",
                f"{np.mean(spent):.2f} s",
            ]
        )
        if condition.kind.planes > 1:
            planes = np.concatenate([one.errors_planes.ravel() for one in fields])
            planes = planes[np.isfinite(planes)]
            shares = (f"{quantile(planes, share):.3f}" for share in (0.5, 0.95))
            stacks.append([name, method, *shares])
    text = f"""## Errors

Of the pixels of all fields of a condition. *Fields beyond* have a median or a 95th
percentile above the limits; they are [listed](#fields-beyond-the-limits). *On
structure* are pixels where the blurred reference is brighter than its background by a
twentieth of a typical structure.

{table(header, lines)}

![Errors of a typical field, and of all](beyond.png)

*Left of each pair: the field in the middle of all by its 95th percentile; yellow is the
limit of that, grey was not kept. Right: all kept pixels (thick), with median and 95th
percentile, and those of each field (thin). Upright marks are the limits, the dotted
line is 2 pixels.*
"""
    if stacks:
        rows = table(["plates", "method", "median (planes)", "95 %"], stacks)
        text += f"\nAlong z:\n\n{rows}\n"
    return text


def _shifts(groups: Sequence[Group]) -> str:
    header = ["plates", "method", "a shift was chosen", "at least", "flagged", "off"]
    lines = []
    for condition, method, fields in groups:
        kinds = Counter(field.result.transform for field in fields)
        share = kinds["translation"] / len(fields)
        text = f"{kinds['translation']} of {len(fields)} ({share:.0%})"
        lines.append(
            [
                condition.kind.name,
                method,
                text if share >= _LEAST_SHIFTS else f"**{text}, missed**",
                f"{_LEAST_SHIFTS:.0%}",
                f"{sum(field.result.flagged for field in fields)}",
                f"{sum(field.off for field in fields)}",
            ]
        )
    return f"""## Plates that only moved

Whether `auto` leaves it at that. Then pixels are copied, and stay what they are.

{table(header, lines)}
"""


def _missed(groups: Sequence[Group]) -> str:
    header = ["plates", "method", "field", "median", "95 %", "on structure: 95 %"]
    header += [
        "kept",
        "transform",
        "confidence",
        "stated error",
        "stated left",
        "status",
    ]
    lines = []
    for condition, method, fields in groups:
        for field in fields:
            if not _is_beyond(field, condition):
                continue
            one = field.result
            lines.append(
                [
                    condition.kind.name,
                    method,
                    f"{one.seed} {one.well} {one.roi}",
                    f"{field.median_px:.3f}",
                    f"{field.most_px:.3f}",
                    f"{quantile(_on_structure([field]), 0.95):.3f}",
                    f"{np.isfinite(field.errors_px).mean():.0%}",
                    one.applied,
                    f"{one.confidence:.2f}",
                    f"{one.stated_px:.2f}",
                    "" if np.isnan(one.left_px) else f"{one.left_px:.2f}",
                    one.status,
                ]
            )
    return f"""## Fields beyond the limits

Errors, standard error and what is left in pixels.

{table(header, lines)}
"""


def _on_structure(fields: Sequence[FieldErrors]) -> np.ndarray:
    """Give the errors of kept pixels where the reference shows structure."""
    found = np.concatenate([one.errors_px[one.seen] for one in fields])
    return found[np.isfinite(found)]


def _is_beyond(field: FieldErrors, condition: Condition) -> bool:
    return field.median_px > condition.median_px or field.most_px > condition.most_px


def _judged(found: float, limit: float) -> str:
    return f"{found:.3f}" if found <= limit else f"**{found:.3f}, missed**"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="output folder of a run")
    parser.add_argument("--folder", type=Path, default=HERE, help="where to write")
    options = parser.parse_args()
    write_beyond(options.source, options.folder)


if __name__ == "__main__":
    main()
