"""Draw the pictures of the documentation.

Usage: ``python benchmarks/accuracy/pictures.py``. Draws synthetic plates with fixed
seeds. Needs matplotlib and scikit-image; takes some minutes.
"""

import argparse
import logging
import warnings
from pathlib import Path

import matplotlib as mpl
from picture_estimates import draw_correlation, draw_null_distribution, draw_rotation
from picture_methods import draw_bent, draw_files, draw_noisy, draw_turned
from picture_model import draw_model
from picture_wells import draw_rejected_field, draw_wells
from saving import save_figure
from threadpoolctl import threadpool_limits

mpl.use("agg")

FOLDER = Path(__file__).parents[2] / "docs" / "images"


def main() -> None:
    options = _parse_options()
    # What the libraries say about the plates does not belong into the output.
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    figures = {
        "correlation": draw_correlation,
        "model": draw_model,
        "null_distribution": draw_null_distribution,
        "rotation": draw_rotation,
        "rejected_field": draw_rejected_field,
        "wells": draw_wells,
        "turned": draw_turned,
        "noisy": draw_noisy,
        "bent": draw_bent,
        "files": draw_files,
    }
    for name, draw in figures.items():
        if options.only in name:
            path = options.output / f"{name}.png"
            with threadpool_limits(1, "blas"):
                save_figure(draw(), path)
            print(f"written: {path}", flush=True)


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="pictures with this in the name")
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder")
    return parser.parse_args()


if __name__ == "__main__":
    main()
