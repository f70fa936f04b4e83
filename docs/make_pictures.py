"""Draw the pictures of README and docs/report.md from the demo plate.

    python docs/make_pictures.py             draws them into docs/images

It needs the package, `playwright`, and Chromium or Chrome on this machine; none is
downloaded. The demo plate is the same each time, and so are the pictures but for the
date of the report.
"""

import io
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

import fractal_tasks as ft
from fractal_tasks.cli import main

IMAGES = Path(__file__).parent / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
MAX_BYTES = 250_000
MARGIN_PX = 16


def find_browser() -> str:
    for name in BROWSERS:
        path = shutil.which(name)
        if path is not None:
            return path
    sys.exit(
        f"The pictures of the documentation need a browser: found none of {BROWSERS}. "
        "Install one, e.g. 'apt install chromium'."
    )


def write(name: str, picture: Image.Image) -> None:
    """Write a picture with as many colours as fit into the limit."""
    for colours in (256, 128, 64):
        file = io.BytesIO()
        small = picture.convert("RGB").quantize(
            colours, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
        )
        small.save(file, "PNG", optimize=True)
        if len(file.getvalue()) <= MAX_BYTES:
            break
    else:
        sys.exit(f"{name}: {len(file.getvalue())} bytes; needed are {MAX_BYTES}.")
    (IMAGES / name).write_bytes(file.getvalue())
    print(f"{IMAGES / name}: {picture.size}, {len(file.getvalue())} bytes")


def draw_overlays(plate: Path) -> None:
    whole = ft.show(plate / "A/01")
    size = (whole.width // 2, whole.height // 2)
    write("show.png", whole.resize(size, Image.Resampling.LANCZOS))
    # The first two columns: one well before and after.
    first = ft.show(plate / "A/01", acquisition=1)
    write("overlay.png", first.crop((0, 0, 848, first.height)))


def draw_page(report: Path, browser: str) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=browser)
        page = opened.new_page(viewport={"width": 1120, "height": 900})
        page.goto(report.as_uri())
        page.wait_for_selector(".bk-Figure canvas", state="attached")
        page.wait_for_function("Bokeh.documents.length && Bokeh.documents[0].is_idle")
        # All above the overlays.
        end = page.locator("h2", has_text="Overlays").bounding_box()
        top = {"x": 0, "y": 0, "width": 1120, "height": end["y"] - 2 * MARGIN_PX}
        write("report.png", _shoot(page, [top]))
        cards = page.locator("#overlays .card")
        boxes = [cards.nth(index).bounding_box() for index in range(2)]
        write("report_overlays.png", _shoot(page, boxes))
        parts = page.locator(".columns").first
        write("report_map.png", _shoot(page, [parts.bounding_box()]))
        opened.close()


def _shoot(page: object, boxes: Sequence[dict[str, float]]) -> Image.Image:
    """Take a picture of parts below each other, with a margin."""
    first, last = boxes[0], boxes[-1]
    top = max(first["y"] - MARGIN_PX, 0)
    left = max(first["x"] - MARGIN_PX, 0)
    clip = {
        "x": left,
        "y": top,
        "width": first["x"] + first["width"] + MARGIN_PX - left,
        "height": last["y"] + last["height"] + MARGIN_PX - top,
    }
    return _open(page.screenshot(clip=clip, full_page=True))


def _open(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


if __name__ == "__main__":
    chosen = find_browser()
    with tempfile.TemporaryDirectory() as folder:
        if main(["demo", folder, "--quiet"]) != 0:
            sys.exit("The demo failed; its errors are above.")
        draw_overlays(Path(folder) / "plate.zarr")
        draw_page(Path(folder) / "plate_registration.html", chosen)
