"""The task that writes a page about each plate."""

from pathlib import Path

import pytest

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.tasks.registration_report import registration_report
from tests.conftest import MakePlate
from tests.tasks.plates import image_urls, run_calculate, run_consensus


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


def test_folder_inside_a_plate_is_refused(make_plate: MakePlate) -> None:
    plate = make_plate()
    with pytest.raises(InvalidInputError, match="is inside"):
        registration_report(zarr_urls=image_urls(plate, 1), zarr_dir=f"{plate}/A")
