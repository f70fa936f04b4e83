"""The page in a real browser: it draws, switches, sorts, filters, and is safe."""

import csv
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from fractal_tasks.qc.usability import judge_plate
from fractal_tasks.report.overlays import Drawn, Overlay, View, _encode
from fractal_tasks.report.page import Content, render_page
from fractal_tasks.report.results import RoiResult
from tests.report.test_results import result

sync_api = pytest.importorskip("playwright.sync_api")

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no browser")

EVIL = "</script><script>window.harmed = 1</script>'\"<img src=x onerror=harmed=1>"


def rois_of(wells: int, acquisitions: int = 2, fields: int = 4) -> list[RoiResult]:
    """Give a plate of which the last well is unresolved, and a ROI has an odd name."""
    rng = np.random.default_rng(1)
    found = []
    for number in range(wells):
        well = f"{chr(ord('A') + number // 24)}/{number % 24 + 1:02d}"
        for acquisition in range(acquisitions + 1):
            for place in range(fields):
                _, y, x = rng.normal((0, 9 * acquisition, 4), 0.5).tolist()
                found.append(
                    result(
                        well=well,
                        acquisition=acquisition,
                        zarr_url=f"/data/p.zarr/{well}/{acquisition}",
                        roi=EVIL if number + place == 0 else f"FOV_{place + 1}",
                        status="reference"
                        if acquisition == 0
                        else "unresolved"
                        if number == wells - 1
                        else "measured",
                        reason=EVIL,
                        shift_um=(0.0, y, x),
                        evidence={"similarity_before": 0.1, "similarity_after": 0.8},
                        centre_um=(0.5, place // 2 * 300.0, place % 2 * 300.0),
                        size_um=(1.0, 290.0, 290.0),
                    )
                )
    return found


def overlay() -> Overlay:
    picture = np.arange(100, dtype=np.float32).reshape(10, 10)
    urls = (_encode(picture, (0, 1, 0)), _encode(picture, (1, 0, 1)))
    return Overlay(EVIL, EVIL, (View(EVIL, *urls, 25.0, "5 um"),))


@dataclass
class Opened:
    """A page in the browser, and what went wrong in it."""

    page: "sync_api.Page"
    problems: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def model(self, name: str, expression: str) -> object:
        """Ask the model of a chart or control of bokeh."""
        return self.page.evaluate(
            f"(() => {{ const model = Bokeh.documents[0].get_model_by_name('{name}');"
            f" return {expression}; }})()"
        )


@pytest.fixture(scope="module")
def browser() -> Iterator["sync_api.Browser"]:
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=BROWSER, args=["--no-sandbox"]
        )
        yield opened
        opened.close()


@pytest.fixture
def opened(browser: "sync_api.Browser", tmp_path: Path) -> Iterator[Opened]:
    rois = rois_of(wells=30)
    content = Content(
        title=EVIL,
        stage=EVIL,
        rois=rois,
        verdict=judge_plate(rois),
        inputs=[EVIL],
        failures={EVIL: EVIL},
        drawn=Drawn([overlay()]),
    )
    path = tmp_path / "report.html"
    path.write_text(render_page(content), encoding="utf-8")
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    shown = Opened(page)
    page.on(
        "console",
        lambda said: said.type == "error" and shown.problems.append(said.text),
    )
    page.on("pageerror", lambda error: shown.problems.append(str(error)))
    page.on("request", lambda request: shown.requests.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_selector(".bk-Figure canvas", state="attached")
    page.wait_for_function("Bokeh.documents.length && Bokeh.documents[0].is_idle")
    yield shown
    assert shown.problems == []
    assert page.evaluate("window.harmed") is None
    page.close()


def test_page_opens_without_network_and_names_do_no_harm(opened: Opened) -> None:
    others = [url for url in opened.requests if not url.startswith(("file:", "data:"))]
    assert others == []
    assert opened.page.title() == f"Registration of {EVIL}"
    assert "Usable, but look at these" in opened.page.inner_text("#verdict")
    assert opened.page.locator(".slick-row").count() > 5
    assert EVIL in opened.page.locator(".slick-row").first.inner_text()


def test_map_switches_quantity_and_acquisition(opened: Opened) -> None:
    opened.page.locator("select").first.select_option("Confidence, lowest")
    assert opened.model("plate_map", "model.renderers[0].glyph.fill_color.field") == (
        "confidence"
    )
    assert opened.model("plate_map", "model.right[0].color_mapper.high") == 1
    shown = "model.renderers[0].view.filter.indices"
    source = "model.renderers[0].data_source.data.acquisition"
    for label, number in (("2", 2), ("1", 1)):
        opened.page.get_by_role("button", name=label, exact=True).click()
        found = opened.model("plate_map", f"{shown}.map(i => {source}[i])")
        assert set(found) == {number}
        assert len(found) == 30


def test_click_on_a_well_opens_it(opened: Opened) -> None:
    opened.page.locator("#map").scroll_into_view_if_needed()
    opened.page.evaluate("document.getElementById('map').scrollIntoView()")
    x, y = opened.page.evaluate(
        """() => {
          const plot = Bokeh.documents[0].get_model_by_name("plate_map");
          const view = Bokeh.index.find_one_by_id(plot.id);
          const box = view.canvas.el.getBoundingClientRect();
          return [box.x + view.frame.x_scale.compute(4),
            box.y + view.frame.y_scale.compute(1)];
        }"""
    )
    opened.page.mouse.click(x, y)
    opened.page.wait_for_function(
        "Bokeh.documents[0].get_model_by_name('well').value == 'B/05'"
    )
    layout = "model.renderers[0]"
    wells = opened.model(
        "well_layout",
        f"{layout}.view.filter.indices.map(i => {layout}.data_source.data.well[i])",
    )
    assert wells == ["B/05"] * 4


def test_table_filters_and_sorts(opened: Opened) -> None:
    rows = opened.page.locator(".slick-row")
    status = opened.page.get_by_label("Status")
    status.select_option("unresolved")
    assert "B/06" in rows.first.inner_text()
    status.select_option("all")
    box = opened.page.get_by_label("Filter")
    box.fill("B/02 FOV_3")
    box.press("Enter")
    opened.page.wait_for_function(
        "document.querySelector('.bk-Figure') && Bokeh.documents[0]"
        ".get_model_by_name('roi_table').view.filter.booleans.filter(Boolean).length"
        " == 3"
    )
    header = opened.page.locator(".slick-header-column", has_text="Acq.")
    shown = []
    for _ in range(2):
        header.click()
        shown.append(rows.first.inner_text().split()[1])
    assert sorted(shown) == ["0", "2"]


def test_table_is_saved_as_csv(opened: Opened) -> None:
    with opened.page.expect_download() as saved:
        opened.page.get_by_role("button", name="Save as CSV").click()
    with open(saved.value.path(), newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 30 * 3 * 4
    assert rows[0]["roi"] == EVIL
    assert rows[5]["reason"] == ""
    assert float(rows[5]["shift_y"]) == pytest.approx(9, abs=3)


def test_overlays_switch_between_views(opened: Opened) -> None:
    moving = opened.page.locator("img.moving").first
    assert moving.evaluate("one => one.complete && one.naturalWidth") == 10
    for view, style in (
        ("flicker", "one.animationName == 'flicker'"),
        ("checkerboard", "one.maskImage.includes('conic-gradient')"),
        ("overlay", "one.mixBlendMode == 'screen'"),
    ):
        opened.page.get_by_label(view).check()
        assert moving.evaluate(f"image => (one => {style})(getComputedStyle(image))")
