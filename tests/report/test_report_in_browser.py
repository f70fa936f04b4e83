"""The page in a real browser: it draws, switches, sorts, filters, and is safe."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fractal_tasks.report.overlays import Drawn
from tests.report.browser import (
    EVIL,
    LAPTOP,
    PHONE,
    Opened,
    name_well,
    open_page,
    overlay,
    rois_of,
    sync_api,
    write_page,
)

WELLS = [name_well(number) for number in range(30)]


def change(well: str, acquisition: int, place: int) -> dict[str, Any]:
    """The last well is unresolved, the first ROI has an odd name."""
    changes: dict[str, Any] = {"reason": EVIL}
    if (well, place) == ("A/01", 0):
        changes["roi"] = EVIL
    if well == WELLS[-1] and acquisition:
        changes |= {"status": "unresolved", "measured_um": (0.0, 50.0, -30.0)}
    return changes


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(
        tmp_path_factory.mktemp("page") / "report.html",
        rois_of(WELLS, change=change),
        title=EVIL,
        stage=EVIL,
        inputs=[EVIL],
        failures={EVIL: EVIL},
        drawn=Drawn([overlay()]),
    )


@pytest.fixture
def opened(browser: "sync_api.Browser", page_file: Path) -> Iterator[Opened]:
    with open_page(browser, page_file) as shown:
        yield shown


def test_page_opens_and_names_do_no_harm(opened: Opened) -> None:
    assert opened.page.title() == f"Registration of {EVIL}"
    assert "Usable, but look at these" in opened.page.inner_text("#verdict")
    assert opened.page.locator(".slick-row").count() > 5
    assert EVIL in opened.page.locator(".slick-row").first.inner_text()


def test_map_switches_quantity_and_acquisition(opened: Opened) -> None:
    quantity = opened.page.get_by_label("Wells coloured by")
    quantity.select_option("Confidence, lowest")
    assert opened.ask("squares", "one.glyph.fill_color.field") == "confidence"
    assert opened.ask("mapper", "[one.low, one.high]") == [0, 1]
    assert opened.ask("bar", "one.title") == "Confidence, lowest"
    assert not opened.ask("arrow_1", "one.visible")
    quantity.select_option("Shift, median (µm)")
    assert opened.ask("arrow_1", "one.visible")
    for number in (2, 1):
        opened.page.locator(f"#acquisitions input[value='{number}']").check()
        found = opened.ask(
            "on_map", "one.indices.map(i => model('wells').data.acquisition[i])"
        )
        assert found == [number] * 30


def test_first_well_shown_is_the_worst(opened: Opened) -> None:
    assert opened.page.get_by_label("Well", exact=True).input_value() == WELLS[-1]
    assert opened.ask("fields", "one.data.status") == ["unresolved"] * 4


def test_click_on_a_well_opens_it(opened: Opened) -> None:
    opened.page.evaluate("document.getElementById('map').scrollIntoView()")
    x, y = opened.page.evaluate(
        """() => {
          const view = Bokeh.index.find_one_by_id(model("plate_map").id);
          const box = view.canvas.el.getBoundingClientRect();
          return [box.x + view.frame.x_scale.compute(4),
            box.y + view.frame.y_scale.compute(1)];
        }"""
    )
    opened.page.mouse.click(x, y)
    choice = opened.page.get_by_label("Well", exact=True)
    sync_api.expect(choice).to_have_value("B/05")
    assert opened.ask("fields", "one.data.status") == ["measured"] * 4


def test_well_shows_shifts_as_they_are_used_and_measured(opened: Opened) -> None:
    opened.open_well("B/06", 2)
    used = opened.ask("used", "one.data")
    assert (used["x"], used["y"]) == ([0, 300] * 2, [0, 0, 300, 300])
    # 10 times 18 um are more than 0.4 of 290 um, 5 times are not.
    assert "Arrows are 5 times as long" in opened.page.inner_text("#well-note")
    assert used["to_y"][0] == pytest.approx(5 * 18, abs=5 * 4 * 0.5)
    assert used["to_x"][0] == pytest.approx(5 * 4, abs=5 * 4 * 0.5)
    # 5 times 58 um lead out of the ROI: the direction is kept.
    measured = opened.ask("measured", "one.data")
    y, x = measured["to_y"][0], measured["to_x"][0]
    assert y / x == pytest.approx(50 / -30)
    assert (y**2 + x**2) ** 0.5 == pytest.approx(0.8 * 290)
    opened.open_well("A/02", 2)
    assert opened.ask("measured", "one.data.x.length") == 0


def test_table_filters_and_sorts(opened: Opened) -> None:
    rows = opened.page.locator(".slick-row")
    status = opened.page.get_by_label("Status")
    status.select_option("unresolved")
    sync_api.expect(opened.page.locator("#count")).to_have_text("8 of 360 ROIs")
    sync_api.expect(rows.first).to_contain_text(WELLS[-1])
    status.select_option("all")
    opened.page.get_by_label("Filter").fill("B/02 FOV_3")
    sync_api.expect(opened.page.locator("#count")).to_have_text("3 of 360 ROIs")
    header = opened.page.locator(".slick-header-column", has_text="Acq.")
    for first in ("0", "2"):
        header.click()
        sync_api.expect(rows.first.locator(".slick-cell").nth(1)).to_have_text(first)


def test_table_is_saved_as_csv(opened: Opened) -> None:
    with opened.page.expect_download() as saved:
        opened.page.get_by_role("button", name="Save as CSV").click()
    with open(saved.value.path(), newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 30 * 3 * 4
    assert rows[0]["roi"] == EVIL
    assert {"shift_z_um", "error_z_um", "left_px"} <= set(rows[0])
    assert rows[5]["reason"] == ""
    assert rows[-1]["reason"] == EVIL
    assert float(rows[5]["shift_y_um"]) == pytest.approx(9, abs=3)
    assert not [name for name in rows[0] if name.startswith("drawn_")]


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


def test_flicker_shows_and_hides(opened: Opened) -> None:
    opened.page.get_by_label("flicker").check()
    moving = opened.page.locator("img.moving").first
    for time_ms, visibility in ((100, "hidden"), (600, "visible")):
        found = moving.evaluate(
            "(image, time) => {const [one] = image.getAnimations(); one.pause();"
            " one.currentTime = time; return getComputedStyle(image).visibility; }",
            time_ms,
        )
        assert found == visibility


def test_all_switches_work_by_keyboard(opened: Opened) -> None:
    """In the order of the page, each is reached by Tab."""
    page = opened.page
    reached = []
    for _ in range(60):
        page.keyboard.press("Tab")
        found = page.evaluate(
            "(one => one.id || one.name || one.localName)(document.activeElement)"
        )
        if not reached or reached[-1] != found:
            reached.append(found)
        if found == "quantity":
            page.keyboard.press("ArrowDown")
        if found in {"view", "acquisition"}:
            page.keyboard.press("ArrowRight" if found == "view" else "ArrowLeft")
        if found == "save":
            break
    order = ["acquisition", "quantity", "well-choice", "view"]
    order += ["filter", "status", "save"]
    assert [one for one in reached if one in order] == order
    assert page.evaluate("element('overlays').dataset.view") == "flicker"
    assert opened.ask("bar", "one.title") == "Confidence, lowest"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
@pytest.mark.sampled(3)
def test_page_is_accessible_and_fits_its_screen(
    browser: "sync_api.Browser", page_file: Path, size: tuple[int, int], scheme: Any
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    with open_page(browser, page_file, size, color_scheme=scheme) as opened:
        found = axe.Axe().run(opened.page).response["violations"]
        wide = opened.page.evaluate("document.documentElement.scrollWidth")
        ink = opened.ask("plate_map", "one.below[0].major_label_text_color")
    serious = [
        (one["id"], [node["html"] for node in one["nodes"]])
        for one in found
        if one["impact"] in {"serious", "critical"}
    ]
    assert serious == []
    assert wide <= size[0]
    assert ink == {"light": "#1d2127", "dark": "#e8eaed"}[scheme]


def test_printed_page_is_black_on_white_and_without_switches(
    browser: "sync_api.Browser", page_file: Path
) -> None:
    with open_page(browser, page_file, color_scheme="dark") as opened:
        opened.page.emulate_media(media="print")
        opened.page.wait_for_function(
            "model('plate_map').below[0].major_label_text_color == '#000'"
        )
        assert opened.page.evaluate("getComputedStyle(document.body).color") == (
            "rgb(0, 0, 0)"
        )
        for name in ("view", "acquisitions", "save", "filter"):
            assert not opened.page.locator(f"#{name}").is_visible()
        assert opened.page.locator("#verdict").is_visible()
        assert opened.page.pdf().startswith(b"%PDF")
