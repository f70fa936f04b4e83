"""The report of a plate in an object store is a file of this machine."""

from pathlib import Path

import pytest

from fractal_tasks.cli import main
from fractal_tasks.tasks.registration_report import registration_report
from tests.conftest import MakePlate
from tests.report.stages import calculated, judged
from tests.report.test_plate_report import TINY
from tests.storage.remote.s3 import Server


@pytest.fixture
def plate_url(make_plate: MakePlate, s3: Server) -> str:
    return s3.put(make_plate(**TINY, then=[calculated, judged]))


@pytest.mark.e2e
def test_page_is_read_from_a_store_and_written_to_a_file(
    plate_url: str, s3: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = s3.tree_of(plate_url)
    assert main(["report", plate_url]) != 0
    assert "--output report.html" in capsys.readouterr().err
    page = tmp_path / "report.html"
    assert main(["report", plate_url, "--output", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert "<strong>Usable</strong>" in text
    assert "<figcaption>before</figcaption>" in text
    assert "Could not be read" not in text
    assert s3.tree_of(plate_url) == before


@pytest.mark.e2e
def test_task_reads_images_of_a_store_at_once(plate_url: str, tmp_path: Path) -> None:
    urls = [f"{plate_url}/A/0{well}/{n}" for well in (1, 2) for n in (0, 1)]
    registration_report(zarr_urls=urls, zarr_dir=str(tmp_path))
    text = (tmp_path / "plate_registration.html").read_text(encoding="utf-8")
    assert "<strong>Usable</strong>" in text
    assert all(f"<code>{url}</code>" in text for url in urls)
