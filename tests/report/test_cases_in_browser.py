"""Plates of all kinds in a real browser: each page is drawn, and says what is so."""

from pathlib import Path
from typing import Any

import pytest

from fractal_tasks.model import Status
from tests.report.browser import (
    PHONE,
    Opened,
    name_well,
    open_page,
    rois_of,
    sync_api,
    write_page,
)

pytestmark = pytest.mark.e2e

UNKNOWN: dict[str, Any] = dict.fromkeys(
    ["status", "confidence", "error_um", "error_px", "kept"]
) | {"evidence": {}}
STATUSES: list[Status] = ["measured", "chosen", "imported", "imputed", "unresolved"]


def quantities(opened: Opened) -> list[str]:
    return opened.page.locator("#quantity option").all_inner_texts()


def headers(opened: Opened) -> list[str]:
    return opened.ask("roi_table", "one.columns.map(column => column.title)")


def test_one_well_one_roi_one_acquisition(
    browser: "sync_api.Browser", tmp_path: Path
) -> None:
    page = write_page(tmp_path / "report.html", rois_of(["A/01"], 1, 1))
    with open_page(browser, page) as opened:
        assert opened.ask("on_map", "one.indices") == [0]
        assert opened.ask("fields", "one.data.roi") == ["FOV_1"]
        assert opened.page.inner_text("#count") == "2 of 2 ROIs"


def test_1536_wells_have_the_letters_of_their_plate(
    browser: "sync_api.Browser", tmp_path: Path
) -> None:
    wells = [name_well(number, 48) for number in range(1536)]
    page = write_page(tmp_path / "report.html", rois_of(wells, 2, 1))
    with open_page(browser, page) as opened:
        assert opened.ask("on_map", "one.indices.length") == 1536
        rows = opened.ask(
            "plate_map", "[...one.left[0].major_label_overrides.values()]"
        )
        assert [rows[0], rows[25], rows[26], rows[31]] == ["A", "Z", "AA", "AF"]
        opened.open_well("AF/48", 2)
        assert opened.ask("fields", "one.data.x.length") == 1


def test_missing_wells_and_different_numbers_of_fields(
    browser: "sync_api.Browser", tmp_path: Path
) -> None:
    rois = [
        *rois_of(["A/01"], 2, 1),
        *rois_of(["B/03"], 1, 9),
        *rois_of(["H/12"], 2, 4),
    ]
    page = write_page(tmp_path / "report.html", rois)
    with open_page(browser, page) as opened:
        assert opened.ask("wells", "one.data.row") == [0, 0, 1, 7, 7]
        assert opened.ask("wells", "one.data.column") == [0, 0, 2, 11, 11]
        for well, acquisition, fields in (
            ("A/01", 2, 1),
            ("B/03", 1, 9),
            ("B/03", 2, 0),
            ("H/12", 1, 4),
        ):
            opened.open_well(well, acquisition)
            assert opened.ask("fields", "one.data.x.length") == fields


def test_stacks_have_their_shift_in_z(
    browser: "sync_api.Browser", tmp_path: Path
) -> None:
    def lift(_: str, acquisition: int, place: int) -> dict[str, Any]:
        shift_um = (-1.5 * acquisition - place, 9.0, 4.0)
        return {"shift_um": shift_um, "error_z_um": 0.25 if acquisition else None}

    page = write_page(tmp_path / "report.html", rois_of(["A/01"], 1, 2, lift))
    flat = write_page(tmp_path / "flat.html", rois_of(["A/01"], 1, 2))
    along_z = ["Shift in z, median (µm)", "Standard error in z, largest (µm)"]
    with open_page(browser, page) as opened:
        assert set(along_z) <= set(quantities(opened))
        assert {"z (µm)", "Error z (µm)"} <= set(headers(opened))
        assert opened.ask("fields", "one.data.name") == [
            "FOV_1\nz -1.5 µm",
            "FOV_2\nz -2.5 µm",
        ]
        assert opened.ask("wells", "one.data.shift_z[0]") == -2
    with open_page(browser, flat) as opened:
        assert not set(along_z) & set(quantities(opened))
        assert not {"z (µm)", "Error z (µm)"} & set(headers(opened))
        assert opened.ask("fields", "one.data.name") == ["FOV_1", "FOV_2"]


def test_10000_objects_of_a_well_have_some_arrows_and_no_names(
    browser: "sync_api.Browser", tmp_path: Path
) -> None:
    def place(_: str, __: int, number: int) -> dict[str, Any]:
        centre_um = (0.5, number // 100 * 20.0, number % 100 * 20.0)
        return {"centre_um": centre_um, "size_um": (1.0, 15.0, 12.0)}

    page = write_page(tmp_path / "report.html", rois_of(["A/01"], 1, 10_000, place))
    with open_page(browser, page) as opened:
        assert opened.ask("fields", "one.data.x.length") == 10_000
        assert opened.ask("fields", "one.data.name.some(Boolean)") is False
        assert 380 <= opened.ask("used", "one.data.x.length") <= 420
        assert "One ROI in 25 has an arrow." in opened.page.inner_text("#well-note")
        # Only what is seen of the table is there.
        assert opened.page.locator(".slick-row").count() < 100
        opened.page.get_by_label("Filter").fill("FOV_9999")
        sync_api.expect(opened.page.locator("#count")).to_have_text("2 of 20000 ROIs")


def test_bends_are_drawn_as_grids_that_say_how_much_larger(
    browser: "sync_api.Browser", tmp_path: Path
) -> None:
    """A turn moves corners: by 0.02 um, drawn 1000 times as large."""

    def bend(_: str, acquisition: int, place: int) -> dict[str, Any]:
        corners = ((0.02, -0.02), (0.02, 0.02), (-0.02, -0.02), (-0.02, 0.02))
        turned = tuple((0.0, y, x) for y, x in corners)
        return {"bend_um": turned} if acquisition and place == 0 else {}

    page = write_page(tmp_path / "report.html", rois_of(["A/01"], 1, 2, bend))
    with open_page(browser, page) as opened:
        assert "bends, 1000 times as large" in opened.page.inner_text("#well-note")
        lines = opened.ask("bends", "one.data")
    # 5 lines in each direction; the first follows the upper edge.
    assert len(lines["xs"]) == 10
    assert lines["ys"][0] == pytest.approx([-145 + 20] * 5)
    assert lines["xs"][0] == pytest.approx(
        [-145 - 20, -72.5 - 10, 0, 72.5 + 10, 145 + 20]
    )


def test_half_processed_plate_shows_what_is_there(
    browser: "sync_api.Browser", tmp_path: Path
) -> None:
    def begin(well: str, acquisition: int, _: int) -> dict[str, Any]:
        return UNKNOWN if well == "A/02" and acquisition else {}

    rois = rois_of(["A/01", "A/02"], 1, 2, begin)
    page = write_page(tmp_path / "report.html", rois)
    with open_page(browser, page) as opened:
        opened.open_well("A/02", 1)
        assert opened.ask("fields", "one.data.status") == ["estimated"] * 2
        opened.open_well("A/01", 1)
        assert opened.ask("fields", "one.data.status") == ["measured"] * 2


@pytest.mark.parametrize("shift_um", [0.0, 1e-4, 1e6])
def test_shifts_of_any_size_stay_in_their_roi(
    browser: "sync_api.Browser", tmp_path: Path, shift_um: float
) -> None:
    rois = rois_of(["A/01"], 1, 2, lambda *_: {"shift_um": (0.0, shift_um, 0.0)})
    page = write_page(tmp_path / "report.html", rois)
    with open_page(browser, page) as opened:
        lengths = opened.ask("used", "one.data.to_y.map((to, i) => to - one.data.y[i])")
    assert max(lengths) <= 0.4 * 290 + 1e-3
    assert min(lengths) >= (0.4 * 290 / 2.5 - 1e-3 if shift_um else 0)


def test_every_status_has_its_colour_and_its_filter(
    browser: "sync_api.Browser", tmp_path: Path
) -> None:
    def judge(_: str, acquisition: int, place: int) -> dict[str, Any]:
        return {"status": STATUSES[place]} if acquisition else {}

    page = write_page(tmp_path / "report.html", rois_of(["A/01"], 1, 5, judge))
    with open_page(browser, page) as opened:
        legend = opened.page.locator("#well ~ .note .key").all_inner_texts()
        assert sorted(legend) == sorted([*STATUSES, "shift that is used"])
        assert opened.ask("fields", "one.data.status") == STATUSES
        for status in (*STATUSES, "reference"):
            opened.page.get_by_label("Status").select_option(status)
            count = 5 if status == "reference" else 1
            sync_api.expect(opened.page.locator("#count")).to_have_text(
                f"{count} of 10 ROIs"
            )


def test_tables_of_another_package_show_shifts_and_say_what_they_lack(
    browser: "sync_api.Browser", tmp_path: Path
) -> None:
    rois = rois_of(["A/01", "A/02"], 1, 2, lambda *_: UNKNOWN)
    page = write_page(tmp_path / "report.html", rois)
    with open_page(browser, page) as opened:
        verdict = opened.page.inner_text("#verdict")
        assert "Not judged" in verdict
        assert "do not say: confidence, standard error, similarity" in verdict
        assert quantities(opened) == ["Shift, median (µm)"]
        assert "Confidence" not in headers(opened)


def test_plate_of_which_nothing_is_registered_has_no_charts(
    browser: "sync_api.Browser", tmp_path: Path
) -> None:
    page = write_page(tmp_path / "report.html", [], stage="Run 'register'.")
    with open_page(browser, page) as opened:
        assert "Nothing is registered yet" in opened.page.inner_text("#verdict")
        assert opened.page.locator("canvas").count() == 0
        assert page.stat().st_size < 50_000


def test_words_of_a_place_are_whole_on_a_phone(
    browser: "sync_api.Browser", tmp_path: Path
) -> None:
    def change(*_: object) -> dict[str, Any]:
        return {"status": "unresolved", "reason": "several shifts are as likely " * 4}

    rois = rois_of(["A/01"], 1, 4, change)
    page = write_page(tmp_path / "report.html", rois)
    with open_page(browser, page, PHONE) as opened:
        lines = opened.page.evaluate(
            """() => {
              const text = document.querySelector("table.plain td").firstChild;
              const word = document.createRange();
              const first = text.data.indexOf("acquisition");
              word.setStart(text, first);
              word.setEnd(text, first + "acquisition".length);
              return word.getClientRects().length;
            }"""
        )
    assert lines == 1
