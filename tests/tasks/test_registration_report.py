"""The task that writes a page about each plate."""

from pathlib import Path

import pytest

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.tasks.registration_report import registration_report
from tests.conftest import MakePlate
from tests.tasks.plates import image_urls, run_apply, run_calculate, run_consensus


def test_task_writes_a_page_into_the_folder_of_the_dataset(
    make_plate: MakePlate, tmp_path: Path
) -> None:
    folder = tmp_path / "dataset"
    folder.mkdir()
    urls = image_urls(make_plate(), 2)
    run_calculate(urls)
    run_consensus(urls)
    assert registration_report(zarr_urls=urls, zarr_dir=str(folder)) is None
    page = (folder / "plate_registration.html").read_text(encoding="utf-8")
    assert "<strong>Usable" in page
    strict = {"min_kept": 1.0, "overlays": 0}
    registration_report(zarr_urls=urls, zarr_dir=str(folder), **strict)
    page = (folder / "plate_registration.html").read_text(encoding="utf-8")
    assert "<strong>Usable, but look at these</strong>" in page
    assert "<figure>" not in page


@pytest.mark.parametrize("overwrite_input", [True, False], ids=["in place", "kept"])
@pytest.mark.sampled(2)
def test_page_is_written_after_each_task_as_a_server_runs_them(
    make_plate: MakePlate, overwrite_input: bool
) -> None:
    """After *apply* a server gives registered images only."""
    plate = make_plate(acquisitions=2)
    page = plate.with_name("plate_registration.html")
    urls = image_urls(plate, 2)

    def report(given: list[str]) -> str:
        registration_report(zarr_urls=given, zarr_dir=str(plate.parent))
        return page.read_text(encoding="utf-8")

    run_calculate(urls)
    assert "<strong>Not judged</strong>" in report(urls)
    run_consensus(urls)
    assert "run &#39;Apply Registration to Image&#39; next" in report(urls)
    run_apply(urls, overwrite_input=overwrite_input)
    registered = urls if overwrite_input else [f"{url}_registered" for url in urls]
    text = report(registered)
    assert "<strong>Usable" in text
    assert "before: moved back by the transform" in text
    assert "Could not be read" not in text


def test_each_plate_of_the_image_list_has_a_page(
    make_plate: MakePlate, tmp_path: Path
) -> None:
    plates = [make_plate(name) for name in ("one.zarr", "two.zarr")]
    urls = [url for plate in plates for url in image_urls(plate, 1)]
    registration_report(zarr_urls=urls, zarr_dir=str(tmp_path), overlays=0)
    pages = sorted(path.name for path in tmp_path.glob("*.html"))
    assert pages == ["one_registration.html", "two_registration.html"]


def test_folder_inside_a_plate_is_refused(make_plate: MakePlate) -> None:
    plate = make_plate()
    with pytest.raises(InvalidInputError, match="is inside"):
        registration_report(zarr_urls=image_urls(plate, 1), zarr_dir=f"{plate}/A")
