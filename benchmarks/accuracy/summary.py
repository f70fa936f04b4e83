"""Write RESULTS.md with its figures from measured rows.

Usage: ``python benchmarks/accuracy/summary.py ROWS [--real ROWS] [--folder FOLDER]``.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
# After this folder, for what the two benchmarks share.
sys.path.append(str(HERE.parent))

from figures import draw_figures  # noqa: E402
from report import write_report  # noqa: E402
from rows import Row, load_rows  # noqa: E402
from tables import (  # noqa: E402
    DEFAULT_LEVEL,
    calibration_table,
    conditions_table,
    error_table,
    methods_table,
    planes_table,
    real_tables,
    right_table,
    targets_table,
)

_REAL = """## Real nuclei

Windows of 320 x 320 pixels, cut from fields of real nuclei so that both acquisitions
see true pixels only, moved by sevenths of a pixel and given camera noise of their own;
photons are those of the brightest percent of the pixels. `real.py` made them.
"""


def write_summary(source: Path, folder: Path, real: Path | None = None) -> None:
    """Write RESULTS.md, of which the notes are kept, and the figures.

    Args:
        source: The ``rows.json`` of a run.
        folder: Where to write.
        real: The ``real.json`` of ``real.py``, to be included.
    """
    rows, facts = load_rows(source)
    draw_figures(rows, folder, DEFAULT_LEVEL)
    text = "\n".join([_introduction(facts), _synthetic(rows, facts["limit"])])
    if real is not None:
        real_rows, real_facts = load_rows(real)
        text += f"\n{_REAL}\n{real_tables(real_rows, real_facts['limit'])}"
    write_report(folder / "RESULTS.md", text, [])
    print(f"written: {folder / 'RESULTS.md'}")


def _introduction(facts: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {one}" for name, one in facts["versions"].items())
    return f"""# Accuracy

Estimates of fractal-tasks, of fractal-tasks-core, of scikit-image and of ashlar against
the exact truth of synthetic plates, all in one run. Written by `make accuracy`, which
took {facts["minutes"]:.0f} minutes on {facts["cores"]} cores; only the notes at the end
are written by hand.

- **Plates**: {facts["plates"]} per condition, seeds {facts["seeds"]} (each condition
  has its own); one well with 3 x 3 fields (stacks 2 x 2) of 512 x 512 pixels of 0.325
  um, 2 acquisitions; if the condition does not say otherwise: shift up to 10 um, stage
  jitter 0.1 um, 1000 counts, 500 photons, 2 % of the cells lost, 10 % bleached, 2
  specks of debris per field, 20 % vignetting, no hot pixels. `conditions.py` says all.
- **fractal-tasks**: `calculate_registration` with its defaults and `level_path` 0, 1
  and 2 (L0, L1, L2), then `find_registration_consensus` with its defaults; read from
  the tables they store.
- **fractal-tasks-core** ("core"): rescaling and registration function of its task, with
  its defaults, at levels 0 and 2.
- **scikit-image**: `phase_cross_correlation(upsample_factor=20, normalization=None)`;
  the score is its error.
- **ashlar**: its `LayerAligner`, at level 0, with its defaults and with the true places
  of the reference's tiles: offset on thumbnails, then every tile. Stacks are projected.
- **Right**: within 1 pixel of level 0 along y and x, and half a plane along z.
  **Error**: largest difference along y and x, in pixels of level 0, of ROIs that hold
  the answer: at least 5 nuclei, and a condition that leaves them visible.
  **Confident**: confidence of at least {facts["limit"]:g}. **Stand-in**: translation
  that the consensus put in the place of a rejected one. **Refused**: ROIs of wells for
  which the consensus is an error.
- **Versions**: {versions}
"""


def _synthetic(rows: Sequence[Row], limit: float) -> str:
    return f"""## Targets

Over all conditions. Stand-ins count where most fields of the well were measured.

{targets_table(rows, limit)}

## Methods

Over all conditions; errors and shares where there is an answer, area under the ROC
curve (right or wrong) of all ROIs for methods that give a score, CPU medians without
stacks.

{methods_table(rows)}

![Cumulative distribution of the errors](errors.png)

![Receiver operating characteristic](roc.png)

## Confidence

Reported by fractal-tasks from level {DEFAULT_LEVEL}, against the share that is right.

{calibration_table(rows, DEFAULT_LEVEL)}

![Calibration of the confidence](calibration.png)

## fractal-tasks, condition by condition

From level {DEFAULT_LEVEL}. *Wrong after consensus* are ROIs that it left as measured.

{conditions_table(rows, limit, DEFAULT_LEVEL)}

## Share of right estimates

Where at least some ROIs hold the answer.

{right_table(rows)}

## Median error / 95th percentile

In pixels of level 0, of the ROIs that hold the answer.

{error_table(rows)}

Along z, in planes:

{planes_table(rows)}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--real", type=Path, help="real.json of real.py, to include")
    parser.add_argument("--folder", type=Path, default=HERE, help="where to write")
    options = parser.parse_args()
    write_summary(options.rows, options.folder, options.real)


if __name__ == "__main__":
    main()
