"""The page about a plate, at any stage, and what must never stop it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from fractal_tasks.cli import main
from fractal_tasks.discovery import discover_images
from fractal_tasks.errors import InvalidInputError, PublishError
from fractal_tasks.qc.usability import UsabilityLimits
from fractal_tasks.report.history import read_history
from fractal_tasks.report.images import sort_images
from fractal_tasks.report.output import replace_file
from fractal_tasks.report.plate_report import (
    ReportOptions,
    choose_path,
    choose_paths,
    group_by_plate,
    write_report,
)
from fractal_tasks.storage.urls import ImageUrl, parse_image_url
from fractal_tasks.tasks.registration_report import registration_report
from tests.cli.helpers import CHANNEL, IN_PROCESS, Capture
from tests.conftest import MakePlate
from tests.report.stages import TABLE, calculated, judged, kept, replaced, run

TINY = {"columns": 2, "fields_x": 1, "acquisitions": 2, "channels": 1}


def images_of(plate: Path) -> list[ImageUrl]:
    found = discover_images([str(plate)])
    return [parse_image_url(url) for url in (*found.images, *found.registered)]


def write(plate: Path, **options: object) -> str:
    images = images_of(plate)
    path = write_report(images, choose_path(images), ReportOptions(**options))
    assert path == plate.with_name("plate_registration.html")
    assert not list(plate.parent.glob("*.tmp"))
    return path.read_text(encoding="utf-8")


def test_plate_that_is_not_registered_says_what_to_run(make_plate: MakePlate) -> None:
    page = write(make_plate(**TINY))
    assert "Nothing is registered yet" in page
    assert "fractal-tasks register" in page
    assert "<img" not in page


def test_tables_that_no_image_has_are_refused(make_plate: MakePlate) -> None:
    plate = make_plate(**TINY)
    for name in ("registered_roi_table", "input_roi_table"):
        with pytest.raises(InvalidInputError, match=f"{name}='typo': .*FOV_ROI_table"):
            write(plate, **{name: "typo"})
    coming = {"input_roi_table": "well_ROI_table"}
    coming["registered_roi_table"] = "well_ROI_table_registered"
    assert "Nothing is registered yet" in write(plate, **coming)


def test_estimates_are_shown_and_not_judged(make_plate: MakePlate) -> None:
    page = write(make_plate(**TINY, then=[calculated]))
    assert "<strong>Not judged</strong>" in page
    assert "Find Registration Consensus" in page
    assert "<dt>shift, median</dt>" in page


@pytest.mark.parametrize(
    ("steps", "titles"),
    [
        ((calculated, judged), ["before", "after: moved by the transform"]),
        ((calculated, judged, kept), ["before", "after"]),
        (
            (calculated, judged, replaced),
            ["before: moved back by the transform", "after"],
        ),
    ],
    ids=["judged", "kept", "in place"],
)
def test_page_has_verdict_numbers_settings_and_overlays(
    make_plate: MakePlate, steps: tuple[object, ...], titles: list[str]
) -> None:
    page = write(make_plate(**TINY, then=steps))
    assert "<strong>Usable</strong>" in page
    assert "<dt>unresolved</dt><dd>0</dd>" in page
    assert "<td>wavelength_id</td><td><code>A01_C01</code>" in page
    assert ("No pixel is moved yet" in page) == ("moved by" in titles[-1])
    for title in titles:
        assert f"<figcaption>{title}</figcaption>" in page
        assert f"<figcaption>{title}, full resolution</figcaption>" in page


@pytest.mark.parametrize("how", [(), ("--no-overwrite-input",)])
def test_images_whose_pixels_are_not_moved_yet_are_named(
    make_plate: MakePlate, how: tuple[str, ...]
) -> None:
    plate = make_plate(**TINY, then=[calculated, judged])
    run("apply-registration-to-image", plate / "A/01", *TABLE, *how)
    assert "The pixels of 1 of 2 images are not moved yet: A/02/1." in write(plate)


def half_replaced(plate: Path) -> None:
    run("apply-registration-to-image", plate / "A/01", *TABLE)


@pytest.mark.parametrize("last", [kept, half_replaced])
def test_settings_of_apply_are_those_of_any_image(
    make_plate: MakePlate, last: Callable[[Path], None]
) -> None:
    plate = make_plate(**TINY, then=[calculated, judged, last])
    history = read_history(sort_images(images_of(plate)), ("FOV_ROI_table", TABLE[1]))
    assert list(history) == [
        "calculate_registration",
        "find_registration_consensus",
        "apply_registration_to_image",
    ]
    applied = history["apply_registration_to_image"].settings
    assert applied["registered_roi_table"] == TABLE[1]


def test_pictures_keep_to_their_budget(make_plate: MakePlate) -> None:
    plate = make_plate(**TINY, then=[calculated, judged])
    assert write(plate, overlays=1).count('class="card"><h3>') == 1
    assert "<figure>" not in write(plate, megabytes=0.001)


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--overlays", "-1"),
        ("--megabytes", "nan"),
        ("--max-unresolved", "5"),
        ("--max-error-px", "nan"),
        ("--max-left-px", "inf"),
        ("--min-kept", "nan"),
    ],
)
def test_limits_that_mean_nothing_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str, value: str
) -> None:
    name = flag.removeprefix("--").replace("-", "_")
    assert main(["report", str(tmp_path / "plate.zarr"), flag, value]) == 2
    assert f"{flag} " in capsys.readouterr().err
    given = {name: float(value)}
    with pytest.raises(ValidationError, match=name):
        registration_report(zarr_urls=[], zarr_dir="", **given)
    made = ReportOptions if name in {"overlays", "megabytes"} else UsabilityLimits
    with pytest.raises(ValidationError, match=name):
        made(**given)


def test_registered_images_are_told_from_their_inputs(make_plate: MakePlate) -> None:
    images = sort_images(images_of(make_plate(**TINY, then=[calculated, judged, kept])))
    assert [image.image_path for image in images.told] == ["0", "1"] * 2
    assert {
        source.image_path: image.image_path
        for source, image in images.registered.items()
    } == {"0": "0_registered", "1": "1_registered"}


def test_image_that_cannot_be_read_is_named(make_plate: MakePlate) -> None:
    plate = make_plate(**TINY, then=[calculated, judged])
    shutil.rmtree(plate / "A/01/1/tables/FOV_ROI_table_registered")
    page = write(plate)
    assert "<strong>Usable, but look at these</strong>" in page
    assert "images and wells left out: 1" in page
    assert "Could not be read" in page
    assert f"<td>{plate}/A/01/1</td>" in page
    assert "/FOV_ROI_table_registered: it is missing, though" in page


def test_well_that_cannot_be_found_is_named(make_plate: MakePlate) -> None:
    plate = make_plate(**TINY, then=[calculated, judged])
    shutil.rmtree(plate / "A/02")
    run("report", plate)
    page = plate.with_name("plate_registration.html").read_text(encoding="utf-8")
    assert "images and wells left out: 1" in page
    assert f"<td>{plate}/A/02" in page


def test_page_without_pixels_still_has_the_verdict(make_plate: MakePlate) -> None:
    plate = make_plate(**TINY, then=[calculated, judged])
    for chunk in (plate / "A/01/0/0").rglob("*"):
        if chunk.is_file() and not chunk.name.startswith("."):
            chunk.write_bytes(b"no chunk")
    page = write(plate)
    assert "<strong>Usable</strong>" in page
    assert "No overlay: " in page


def test_report_is_never_written_into_a_plate(make_plate: MakePlate) -> None:
    plate = make_plate(**TINY)
    with pytest.raises(InvalidInputError, match="is inside"):
        write_report(images_of(plate), plate / "report.html")
    elsewhere = plate.with_name("other.zarr")
    elsewhere.mkdir()
    (elsewhere / "zarr.json").write_text("{}")
    with pytest.raises(InvalidInputError, match="is inside"):
        write_report(images_of(plate), elsewhere / "deep" / "report.html")
    link = plate.with_name("link")
    link.symlink_to(plate)
    with pytest.raises(InvalidInputError, match="is inside"):
        write_report(images_of(plate), link / "report.html")
    with pytest.raises(InvalidInputError, match="Found no images"):
        write_report([], plate.with_name("report.html"))


def test_output_is_refused_before_any_work(
    make_plate: MakePlate, capsys: Capture
) -> None:
    plate = make_plate(**TINY)
    shutil.rmtree(plate / "A/01")
    for output, message in (
        (plate.parent / "none" / "report.html", "is no folder that can be written"),
        (plate.parent, "is a folder; needed is the name of a file"),
    ):
        assert main(["report", str(plate), "--output", str(output)]) == 2
        assert message in capsys.readouterr().err


def test_file_that_cannot_be_replaced_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "page.html").mkdir()
    with pytest.raises(PublishError, match="could not be written"):
        replace_file(tmp_path / "page.html", b"page")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_images_in_no_plate_have_one_report(make_plate: MakePlate) -> None:
    plate = make_plate(**TINY)
    folder = plate.parent
    for day in (0, 1):
        shutil.copytree(plate / f"A/01/{day}", folder / f"day {day}.zarr")
    images = [parse_image_url(f"{folder}/day {day}.zarr") for day in (0, 1)]
    assert group_by_plate(images) == [images]
    assert choose_path(images) == folder / "day 0_registration.html"
    with pytest.raises(InvalidInputError, match="Name it: "):
        choose_path([parse_image_url("s3://bucket/p.zarr/A/01/0", {"anon": True})])


@pytest.mark.parametrize(
    ("plates", "zarr_dir", "pages"),
    [
        (["/c1/p.zarr", "/c2/p.zarr"], None, ["/c1/p", "/c2/p"]),
        (["/c1/p.zarr", "/c1/p"], None, ["/c1/p.zarr", "/c1/p"]),
        (["/c1/p.zarr", "/c2/p.zarr"], "/d", ["/d/c1_p.zarr", "/d/c2_p.zarr"]),
        (["/c1/p.zarr", "/c2/q.zarr"], "/d", ["/d/p", "/d/q"]),
        (["/a/c/p.zarr", "/b/c/p.zarr"], "/d", ["/d/a_c_p.zarr", "/d/b_c_p.zarr"]),
    ],
    ids=["own folders", "endings", "one folder", "names", "grandparents"],
)
def test_no_page_takes_the_name_of_another(
    plates: list[str], zarr_dir: str | None, pages: list[str]
) -> None:
    groups = [[parse_image_url(plate)] for plate in plates]
    chosen = choose_paths(groups, zarr_dir)
    assert chosen == [Path(f"{page}_registration.html") for page in pages]


def test_register_ends_with_the_path_of_its_report(
    make_plate: MakePlate, capsys: pytest.CaptureFixture[str]
) -> None:
    plate = make_plate(**TINY)
    report = plate.with_name("plate_registration.html")
    assert main(["register", str(plate), *CHANNEL, *IN_PROCESS]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[-1] == f"Report: {report}"
    assert "Usable: all 2 ROIs" in shown
    assert "<strong>Usable</strong>" in report.read_text(encoding="utf-8")
    other = plate.with_name("other.html")
    assert main(["report", str(plate), "--output", str(other)]) == 0
    assert capsys.readouterr().out == f"{other}\n"
    assert "before: moved back by the transform" in other.read_text(encoding="utf-8")


def test_estimates_have_overlays_before_they_are_judged(make_plate: MakePlate) -> None:
    page = write(make_plate(**TINY, then=[calculated]))
    for title in ("before", "after: moved by the transform"):
        assert f"<figcaption>{title}</figcaption>" in page
    assert "<figcaption>outlines of &#39;nuclei&#39;</figcaption>" in page


def test_rois_beyond_the_budget_are_listed_with_their_command(
    make_plate: MakePlate,
) -> None:
    plate = make_plate(**TINY, then=[calculated, judged])
    page = write(plate, overlays=0)
    assert "2 more ROIs are worth a picture; these commands draw them" in page
    assert f"<code>fractal-tasks show {plate}/A/0" in page
