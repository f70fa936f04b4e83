"""Pages opened in a real browser, and plates made by hand to be shown in them."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fractal_tasks.qc.usability import judge_plate
from fractal_tasks.report.overlays import Overlay, View, _encode
from fractal_tasks.report.page import Content, render_page
from fractal_tasks.report.results import RoiResult
from tests.report.test_results import result

sync_api = pytest.importorskip("playwright.sync_api")

NEED_BROWSER = "NEED_BROWSER"
"""Set where it is no reason to skip tests that there is no browser."""

EVIL = "</script><script>window.harmed = 1</script>'\"<img src=x onerror=harmed=1>"
LAPTOP, PHONE = (1280, 800), (390, 844)


@contextmanager
def running_browser() -> Iterator["sync_api.Browser"]:
    """Give Chromium: that of the system, or else playwright's own."""
    with sync_api.sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        names = ("chromium", "chromium-browser", "google-chrome")
        found = next(filter(None, map(shutil.which, names)), own)
        if not os.path.exists(found) and NEED_BROWSER not in os.environ:
            pytest.skip("there is no browser")
        opened = playwright.chromium.launch(
            executable_path=found, args=["--no-sandbox"]
        )
        yield opened
        opened.close()


@dataclass
class Opened:
    """A page in the browser, and what went wrong in it."""

    page: "sync_api.Page"
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def ask(self, name: str, expression: str) -> Any:
        """Ask the model of a chart; `expression` calls it ``one``."""
        return self.page.evaluate(f"(one => {expression})(model('{name}'))")

    @property
    def network(self) -> list[str]:
        """What was fetched from somewhere."""
        inner = ("file:", "data:", "blob:")
        return [url for url in self.requests if not url.startswith(inner)]

    def open_well(self, well: str, acquisition: int) -> None:
        """Choose what is shown."""
        self.page.locator(f"#acquisitions input[value='{acquisition}']").check()
        self.page.get_by_label("Well", exact=True).select_option(well)


@contextmanager
def open_page(
    browser: "sync_api.Browser",
    path: Path,
    size: tuple[int, int] = LAPTOP,
    **options: Any,
) -> Iterator[Opened]:
    """Open a page until all is drawn; at the end nothing may have gone wrong in it."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height}, **options
    )
    page = context.new_page()
    shown = Opened(page)
    page.on(
        "console",
        lambda said: said.type == "error" and shown.problems.append(said.text),
    )
    page.on("pageerror", lambda error: shown.problems.append(str(error)))
    page.on("request", lambda request: shown.requests.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_function(
        "!document.getElementById('map') || document.body.dataset.drawn == 'all'"
    )
    yield shown
    assert shown.problems == []
    assert shown.network == []
    assert page.evaluate("window.harmed") is None
    context.close()


def write_page(path: Path, rois: Sequence[RoiResult], **content: Any) -> Path:
    """Write the page of results."""
    given = {"title": "p.zarr", "stage": "", "verdict": judge_plate(rois), **content}
    path.write_text(render_page(Content(rois=rois, **given)), encoding="utf-8")
    return path


def overlay() -> Overlay:
    picture = np.arange(100, dtype=np.float32).reshape(10, 10)
    urls = (_encode(picture, (0, 1, 0)), _encode(picture, (1, 0, 1)))
    return Overlay(EVIL, EVIL, (View(EVIL, *urls, 25.0, "5 um"),))


def name_well(number: int, columns: int = 24) -> str:
    row, column = divmod(number, columns)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    name = letters[row] if row < len(letters) else f"A{letters[row - len(letters)]}"
    return f"{name}/{column + 1:02d}"


def rois_of(
    wells: Sequence[str],
    acquisitions: int = 2,
    fields: int = 4,
    change: Callable[[str, int, int], dict[str, Any]] = lambda *_: {},
) -> list[RoiResult]:
    """Give a plate: acquisition n moved by 9 n um in y and 4 um in x, with jitter.

    Args:
        wells: Their names.
        acquisitions: Besides the reference.
        fields: In each well, two in a row.
        change: From well, acquisition and field to what is otherwise.
    """
    rng = np.random.default_rng(1)
    found = []
    for well in wells:
        for acquisition in range(acquisitions + 1):
            for place in range(fields):
                _, y, x = rng.normal((0, 9 * acquisition, 4), 0.5).tolist()
                usual = {
                    "well": well,
                    "acquisition": acquisition,
                    "zarr_url": f"/data/p.zarr/{well}/{acquisition}",
                    "roi": f"FOV_{place + 1}",
                    "status": "measured" if acquisition else "reference",
                    "shift_um": (0.0, y, x) if acquisition else (0.0, 0.0, 0.0),
                    "error_px": float(rng.gamma(1, 0.1)),
                    "evidence": {
                        "similarity_before": float(rng.uniform(0, 0.4)),
                        "similarity_after": float(rng.uniform(0.6, 0.9)),
                        "turn_deg": float(rng.normal(0, 0.02)),
                    },
                    "centre_um": (0.5, place // 2 * 300.0, place % 2 * 300.0),
                    "size_um": (1.0, 290.0, 290.0),
                }
                found.append(result(**usual | change(well, acquisition, place)))
    return found
