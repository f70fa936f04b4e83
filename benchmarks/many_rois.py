"""Measure how the three tasks grow with the number of ROIs in a table.

Usage: ``python benchmarks/many_rois.py [--counts 1250 2500 5000 10000]``. One image is
cut into small ROIs, and all three tasks run on it; writes MANY_ROIS.md.
"""

import argparse
import logging
import os
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ngio import Roi, open_ome_zarr_container
from ngio.tables import RoiTable

from fractal_tasks.synthetic import PlateOptions, create_plate
from fractal_tasks.tasks.apply_registration_to_image import apply_registration_to_image
from fractal_tasks.tasks.calculate_registration import calculate_registration
from fractal_tasks.tasks.find_registration_consensus import find_registration_consensus
from fractal_tasks.tasks.init_calculate_registration import init_calculate_registration
from fractal_tasks.tasks.init_find_registration_consensus import (
    init_find_registration_consensus,
)

HERE = Path(__file__).parent
SIDE_PX = 48
"""Of a ROI: about two nuclei, as objects that are registered one by one."""

TABLE = "many_ROI_table"


def main() -> None:
    """Measure tables of several lengths, and write what they cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--counts", type=int, nargs="+", default=[1250, 2500, 5000, 10_000]
    )
    parser.add_argument("--output", type=Path, default=HERE / "MANY_ROIS.md")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    rows = []
    for count in options.counts:
        seconds = measure(count)
        rows.append((count, seconds))
        print(count, {task: round(value, 1) for task, value in seconds.items()})
    options.output.write_text(describe(rows))


def measure(count: int) -> dict[str, float]:
    """Register an image with `count` ROIs; give the CPU seconds of each task."""
    columns = round(count**0.5)
    size_px = SIDE_PX * (columns + 1)
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="fractal-tasks-bench-") as folder:
        plate = create_plate(
            Path(folder) / "plate.zarr",
            PlateOptions(
                fields_y=1,
                fields_x=1,
                field_size_px=size_px,
                acquisitions=2,
                channels=1,
                levels=3,
                nuclei_per_mm2=2500,
                plate_shift_um=1.0,
                whole_pixel_shifts=True,
            ),
        )
        urls = [f"{plate}/A/01/{acquisition}" for acquisition in range(2)]
        for url in urls:
            add_rois(url, count, columns)
        images = {"zarr_urls": urls, "zarr_dir": folder}
        with timed(seconds, "calculate"):
            for unit in init_calculate_registration(**images)["parallelization_list"]:
                calculate_registration(
                    **unit,
                    wavelength_id="A01_C01",
                    input_roi_table=TABLE,
                    level_path="0",
                )
        with timed(seconds, "consensus"):
            init = init_find_registration_consensus(**images, input_roi_table=TABLE)
            for unit in init["parallelization_list"]:
                find_registration_consensus(
                    **unit, input_roi_table=TABLE, keep="reference"
                )
        with timed(seconds, "apply"):
            for url in urls:
                apply_registration_to_image(
                    zarr_url=url, registered_roi_table=f"{TABLE}_registered"
                )
    return seconds


def add_rois(url: str, count: int, columns: int) -> None:
    """Cut an image into ROIs."""
    container = open_ome_zarr_container(url)
    pixel_um = container.get_image().pixel_size.y
    side_um = SIDE_PX * pixel_um
    rois = [
        Roi.from_values(
            name=f"object_{index}",
            slices={
                "y": (index // columns * side_um, side_um),
                "x": (index % columns * side_um, side_um),
                "z": (0.0, 1.0),
            },
        )
        for index in range(count)
    ]
    container.add_table(TABLE, RoiTable(rois=rois), backend="parquet")


@contextmanager
def timed(seconds: dict[str, float], task: str) -> Iterator[None]:
    """Note the CPU seconds of the body, all threads together."""
    start = time.process_time()
    yield
    seconds[task] = time.process_time() - start


def describe(rows: list[tuple[int, dict[str, float]]]) -> str:
    """Write the figures as a page."""
    tasks = list(rows[0][1])
    lines = [
        "# Tables of many ROIs",
        "",
        f"One image cut into ROIs of {SIDE_PX} x {SIDE_PX} px, two acquisitions, by",
        "`python benchmarks/many_rois.py` in one process. CPU milliseconds for each",
        "ROI: a cost that grows with the square of the number of ROIs would double",
        "from line to line.",
        "",
        f"| ROIs | {' | '.join(tasks)} | all, CPU s |",
        f"|---|{'---|' * len(tasks)}---|",
    ]
    for count, seconds in rows:
        per_roi = " | ".join(f"{1000 * seconds[task] / count:.1f}" for task in tasks)
        lines.append(f"| {count} | {per_roi} | {sum(seconds.values()):.0f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
