"""Measure how the three tasks grow with the number of ROIs in a table.

Usage: ``python benchmarks/many_rois.py [--counts 1250 2500 5000 10000]``. One image is
cut into small ROIs, and all three tasks run on it; then on an image with tables of ten
times as many cells, which are carried along. Writes MANY_ROIS.md.
"""

import argparse
import logging
import math
import os
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from ngio import Roi, open_ome_zarr_container
from ngio.tables import MaskingRoiTable, RoiTable

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

CELL_PX = 8
"""Side of a cell, with one pixel of background."""


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
    registered = {count: measure(count, SIDE_PX) for count in options.counts}
    carried = {10 * count: measure(10 * count, CELL_PX) for count in options.counts}
    options.output.write_text(describe(registered, carried))


def measure(count: int, side_px: int) -> dict[str, float]:
    """Register an image with `count` ROIs; give the CPU seconds of each task.

    Cells are not registered one by one: they are rows of tables, and in a label.
    """
    columns = math.ceil(count**0.5)
    size_px = side_px * (columns + 1)
    has_cells = side_px == CELL_PX
    table = "FOV_ROI_table" if has_cells else TABLE
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
            rois = make_rois(url, count, columns, side_px)
            container = open_ome_zarr_container(url)
            container.add_table(TABLE, RoiTable(rois=rois), backend="parquet")
            if has_cells:
                add_label(url, count, columns)
                cells = MaskingRoiTable(rois=rois, reference_label="nuclei")
                container.add_table("cell_ROI_table", cells, backend="parquet")
        images = {"zarr_urls": urls, "zarr_dir": folder}
        with timed(seconds, "calculate"):
            for unit in init_calculate_registration(**images)["parallelization_list"]:
                calculate_registration(
                    **unit,
                    wavelength_id="A01_C01",
                    input_roi_table=table,
                    level_path="0",
                )
        with timed(seconds, "consensus"):
            init = init_find_registration_consensus(**images, input_roi_table=table)
            for unit in init["parallelization_list"]:
                find_registration_consensus(
                    **unit, input_roi_table=table, keep="reference"
                )
        with timed(seconds, "apply"):
            for url in urls:
                apply_registration_to_image(
                    zarr_url=url, registered_roi_table=f"{table}_registered"
                )
    print(count, {task: round(value, 1) for task, value in seconds.items()})
    return seconds


def make_rois(url: str, count: int, columns: int, side_px: int) -> list[Roi]:
    """Cut an image into ROIs."""
    pixel_um = open_ome_zarr_container(url).get_image().pixel_size.y
    side_um = side_px * pixel_um
    return [
        Roi.from_values(
            name=str(index + 1),
            label=index + 1,
            slices={
                "y": (index // columns * side_um, side_um),
                "x": (index % columns * side_um, side_um),
                "z": (0.0, 1.0),
            },
        )
        for index in range(count)
    ]


def add_label(url: str, count: int, columns: int) -> None:
    """Replace the true nuclei by cells on a grid."""
    label = open_ome_zarr_container(url).get_label("nuclei")
    ids = np.pad(np.arange(1, count + 1), (0, columns**2 - count))
    cell = np.pad(np.ones((CELL_PX - 1, CELL_PX - 1), int), (0, 1))
    cells = np.kron(ids.reshape(columns, columns), cell)
    pixels = np.zeros(label.shape, label.dtype)
    pixels[..., : len(cells), : len(cells)] = cells
    label.set_array(pixels)
    label.consolidate()


@contextmanager
def timed(seconds: dict[str, float], task: str) -> Iterator[None]:
    """Note the CPU seconds of the body, all threads together."""
    start = time.process_time()
    yield
    seconds[task] = time.process_time() - start


def describe(
    registered: dict[int, dict[str, float]], carried: dict[int, dict[str, float]]
) -> str:
    """Write the figures as a page."""
    return "\n".join(
        [
            "# Tables of many ROIs",
            "",
            f"One image cut into ROIs of {SIDE_PX} x {SIDE_PX} px, two acquisitions,",
            "by `python benchmarks/many_rois.py` in one process. CPU milliseconds for",
            "each ROI: a cost that grows with the square of the number of ROIs would",
            "double from line to line.",
            "",
            *_list_costs(registered),
            "",
            "The same for one ROI that is registered, where both images have a label",
            "of so many cells, its masking ROI table and a ROI table of them.",
            "",
            *_list_costs(carried),
            "",
        ]
    )


def _list_costs(rows: dict[int, dict[str, float]]) -> list[str]:
    tasks = list(next(iter(rows.values())))
    lines = [
        f"| rows | {' | '.join(tasks)} | all, CPU s |",
        f"|---|{'---|' * len(tasks)}---|",
    ]
    for count, seconds in rows.items():
        each = " | ".join(f"{1000 * seconds[task] / count:.2f}" for task in tasks)
        lines.append(f"| {count} | {each} | {sum(seconds.values()):.0f} |")
    return lines


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
