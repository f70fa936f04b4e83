"""Measure the report of a plate: its size, how soon it is written and drawn, memory.

Usage: ``python benchmarks/page.py``. The page is that of 384 wells x 9 fields x 5
acquisitions with all pictures that its budget allows, opened in headless Chromium.
Memory is that of a process which reports on more and more images. Writes PAGE.md.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

from fractal_tasks.cli import main as fractal_tasks
from fractal_tasks.qc.usability import judge_plate
from fractal_tasks.report.overlays import Budget, Drawn, Overlay, View, _encode
from fractal_tasks.report.page import Content, render_page
from fractal_tasks.report.plate_report import write_report
from fractal_tasks.report.results import RoiResult
from fractal_tasks.storage.urls import parse_image_url
from fractal_tasks.synthetic import PlateOptions, create_plate

HERE = Path(__file__).parent
ROWS, COLUMNS, FIELDS, ACQUISITIONS = 16, 24, 9, 5
COUNTS = (40, 160, 640)
"""Images of which memory is measured."""

TIMES = 5


def main() -> None:
    """Measure, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=HERE / "PAGE.md")
    parser.add_argument("--memory", type=Path, help="measure it of images in a folder")
    options = parser.parse_args()
    if options.memory:
        images = [parse_image_url(str(one)) for one in options.memory.glob("*.zarr")]
        write_report(images, options.memory / "report.html")
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)
        return
    with tempfile.TemporaryDirectory() as folder:
        text = describe(*measure_page(Path(folder)), measure_memory(Path(folder)))
    options.output.write_text(text, encoding="utf-8")


def measure_page(folder: Path) -> tuple[dict[bool, float], float, dict[str, float]]:
    """Give sizes without and with pictures, CPU seconds to write, seconds to draw."""
    rois = list(make_rois())
    verdict = judge_plate(rois)
    pictures = make_pictures()
    path = folder / "report.html"
    sizes = {}
    for has_pictures in (False, True):
        drawn = Drawn(pictures if has_pictures else [])
        started = time.process_time()
        page = render_page(Content("plate.zarr", "", rois, verdict, drawn=drawn))
        seconds = time.process_time() - started
        sizes[has_pictures] = len(page.encode()) / 1e6
        path.write_text(page, encoding="utf-8")
    return sizes, seconds, draw(path)


def draw(path: Path) -> dict[str, float]:
    """Open a page again and again; give the median seconds until parts are drawn."""
    found: dict[str, list[float]] = {"map": [], "all": []}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for _ in range(TIMES):
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            started = time.perf_counter()
            page.goto(path.as_uri(), wait_until="commit")
            for state, seconds in found.items():
                page.wait_for_function(
                    "state => ['all', state].includes(document.body?.dataset.drawn)",
                    arg=state,
                )
                seconds.append(time.perf_counter() - started)
            page.close()
        browser.close()
    return {state: statistics.median(seconds) for state, seconds in found.items()}


def make_rois() -> Iterator[RoiResult]:
    """Give what became of a plate that drifts and turns a little."""
    rng = np.random.default_rng(0)
    for well in range(ROWS * COLUMNS):
        name = f"{chr(65 + well // COLUMNS)}/{well % COLUMNS + 1:02d}"
        for acquisition in range(ACQUISITIONS):
            for place in range(FIELDS):
                yield make_roi(rng, name, acquisition, place)


def make_roi(
    rng: np.random.Generator, well: str, acquisition: int, place: int
) -> RoiResult:
    """Give a ROI of an acquisition; one in ten is imputed."""
    y, x = rng.normal((9.0 * acquisition, 4.0), 0.5).tolist()
    is_imputed = acquisition > 0 and rng.random() < 0.1
    names = ("dissent", "fixed_pattern", "lead", "overlap", "ratio", "scale")
    names += ("left_px", "similarity_after", "similarity_before", "turn_deg")
    error_px = float(rng.gamma(1, 0.1))
    return RoiResult(
        plate_url="/data/plate.zarr",
        well=well,
        acquisition=acquisition,
        zarr_url=f"/data/plate.zarr/{well}/{acquisition}",
        roi=f"FOV_{place + 1}",
        status="imputed" if is_imputed else "measured" if acquisition else "reference",
        reason=f"imputed from 8 ROIs of the well, expected error {error_px:.2f} um",
        confidence=float(1 - rng.gamma(1, 0.01)),
        error_um=error_px * 0.325,
        error_px=error_px,
        error_z_um=None,
        shift_um=(0.0, y, x),
        shift_px=(0.0, y / 0.325, x / 0.325),
        kept=0.9,
        evidence=dict(zip(names, rng.random(len(names)).tolist(), strict=True)),
        centre_um=(0.5, place // 3 * 300.0, place % 3 * 300.0),
        size_um=(1.0, 290.0, 290.0),
        measured_um=(0.0, 5 * y, -x) if is_imputed else None,
    )


def make_pictures() -> list[Overlay]:
    """Give overlays of noise, which is what compresses worst, up to the budget."""
    rng = np.random.default_rng(0)
    made: list[Overlay] = []
    while sum(one.size_bytes for one in made) < Budget().megabytes * 1e6:
        picture = rng.integers(0, 256, (240, 240), dtype=np.uint8)
        sides = (_encode(picture, (0, 1, 0)), _encode(picture, (1, 0, 1)))
        views = tuple(View("before", *sides, 25.0, "50 µm") for _ in range(4))
        made.append(Overlay("A/01, acquisition 1, FOV_1", "measured", views))
    return made[:-1]


def measure_memory(folder: Path) -> dict[int, float]:
    """Give the peak memory in MB of a process that reports on so many images."""
    plate = create_plate(
        folder / "plate.zarr",
        PlateOptions(columns=1, fields_y=3, fields_x=3, field_size_px=96, channels=1),
    )
    for command, *words in (
        ("calculate-registration", "--wavelength-id", "A01_C01"),
        ("find-registration-consensus",),
    ):
        fractal_tasks([command, str(plate), *words, "--workers", "1", "--quiet"])
    found = {}
    images = folder / "images"
    for count in COUNTS:
        for number in range(count):
            copy = images / f"{number}.zarr"
            if not copy.exists():
                shutil.copytree(plate / "A/01" / str(number % 2), copy)
        run = subprocess.run(
            [sys.executable, __file__, "--memory", images],
            check=True,
            capture_output=True,
            text=True,
        )
        found[count] = float(run.stdout)
    return found


def describe(
    sizes: dict[bool, float],
    seconds: float,
    drawn: dict[str, float],
    memory: dict[int, float],
) -> str:
    """Write the tables."""
    rois = ROWS * COLUMNS * FIELDS * ACQUISITIONS
    lines = "\n".join(f"| {count} | {peak:.0f} |" for count, peak in memory.items())
    return f"""# The report of a plate

{ROWS * COLUMNS} wells x {FIELDS} fields x {ACQUISITIONS} acquisitions, {rois} ROIs,
by `python benchmarks/page.py` on {os.cpu_count()} cores, with headless Chromium;
seconds to draw are medians of {TIMES}, from navigation on.

| | measured | target |
|---|---:|---:|
| page without pictures, MB | {sizes[False]:.2f} | |
| page with all pictures of its budget, MB | {sizes[True]:.2f} | 10 |
| written, CPU s | {seconds:.1f} | |
| map drawn, s | {drawn["map"]:.2f} | 2 |
| all drawn, s | {drawn["all"]:.2f} | |

Peak memory of a process that reports on images, in MB:

| images | peak |
|---:|---:|
{lines}
"""


if __name__ == "__main__":
    main()
