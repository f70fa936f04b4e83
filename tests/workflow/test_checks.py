"""What the last step could not do is refused before the first one."""

import itertools
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fractal_tasks.cli import main
from fractal_tasks.records.applied import is_registered
from fractal_tasks.storage.urls import parse_image_url
from tests.cli.helpers import CHANNEL, IN_PROCESS, Capture
from tests.conftest import MakePlate
from tests.tasks.foreign import write_image, write_plate
from tests.tasks.plates import data_of

NUCLEI = {"nuclei": np.ones((32, 32), "uint16")}
STEMS = {"nuclei": np.ones((32, 32), "complex64")}


def pair(plate: Path, **of_acquisition: Any) -> list[str]:
    """Write a plate of two equal images, but for what is given of the second."""
    rng = np.random.default_rng(6)
    pixels = rng.integers(1, 999, (1, 32, 32)).astype("uint16")
    return write_plate(
        plate, [{"pixels": pixels}, {"pixels": pixels, **of_acquisition}]
    )


def link(path: Path, archive: Path) -> None:
    """Move a file or folder to an archive, and link it."""
    archive.mkdir()
    path.symlink_to(path.rename(archive / path.name))


def run(plate: Path, *flags: str) -> int:
    level = ["--level-path", "0"]
    return main(["register", str(plate), *CHANNEL, *level, *IN_PROCESS, *flags])


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize(
    ("labels", "is_link", "flags", "found"),
    [
        (NUCLEI, True, [], "/A/01/1 is a symbolic link to "),
        (NUCLEI, False, ["--no-register-labels"], "delete the labels ['nuclei']"),
        (STEMS, False, [], "/A/01/1: label 'nuclei': level '0'"),
        (
            NUCLEI,
            False,
            ["--no-overwrite-input", "--output-image-suffix", "a b"],
            "--output-image-suffix 'a b'",
        ),
        (NUCLEI, False, ["--output-grid", "0.001"], "its pixels would become"),
        (NUCLEI, False, ["--output-grid", "500"], "Choose smaller pixels"),
    ],
    ids=["link", "lost labels", "label of no numbers", "suffix", "fine", "coarse"],
)
def test_nothing_is_changed_if_an_image_could_not_be_registered_in_the_end(
    tmp_path: Path,
    capsys: Capture,
    labels: dict[str, Any],
    is_link: bool,
    flags: list[str],
    found: str,
    dry_run: bool,
) -> None:
    plate = tmp_path / "plate.zarr"
    urls = pair(plate, labels=labels)
    if is_link:
        link(Path(urls[1]), tmp_path / "archive")
    before = data_of(tmp_path)
    assert run(plate, *flags, *(["--dry-run"] if dry_run else [])) in (1, 2)
    assert data_of(tmp_path) == before
    # Lines are broken where the terminal ends.
    assert found in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("label", "found"),
    [
        (np.ones((1, 32, 32), "uint8"), "has the axes ['c', 'y', 'x']"),
        (np.ones((16, 32), "uint8"), "is smaller by [0.0, 8.0, 0.0] um"),
        (np.ones((32, 32), "uint8"), "begins at [0.0, 5.0, 0.0] um of the image"),
    ],
    ids=["channel", "part", "place"],
)
def test_label_that_is_not_of_the_whole_image_is_refused_before_any_work(
    tmp_path: Path, capsys: Capture, label: Any, found: str
) -> None:
    plate = tmp_path / "plate.zarr"
    (_, url) = pair(plate, labels=NUCLEI)
    folder = Path(url) / "labels" / "nuclei"
    shutil.rmtree(folder)
    origins = [{"y": 5.0}, {"y": 5.0}] if "begins" in found else [{}, {}]
    axes = "cyx"[3 - label.ndim :]
    write_image(folder, label, axes, origins=origins)
    before = data_of(tmp_path)
    for flags in (["--dry-run"], ["--yes"], ["--no-overwrite-input"]):
        assert run(plate, *flags) == 1
        assert found in " ".join(capsys.readouterr().err.split())
        assert data_of(tmp_path) == before


def test_label_that_is_only_listed_is_refused_before_any_work(
    tmp_path: Path, capsys: Capture
) -> None:
    """Also if labels are to stay: *consensus* does not know that."""
    plate = tmp_path / "plate.zarr"
    (_, url) = pair(plate, labels=NUCLEI)
    shutil.rmtree(Path(url) / "labels" / "nuclei")
    before = data_of(tmp_path)
    for flags in itertools.product(
        ["--discard-labels", "--no-overwrite-input"], ["--dry-run", "--yes"]
    ):
        assert run(plate, "--no-register-labels", *flags) == 1
        assert "label 'nuclei' cannot be opened" in capsys.readouterr().err
        assert data_of(tmp_path) == before


@pytest.mark.parametrize("keep", [True, False], ids=["kept", "replaced"])
@pytest.mark.parametrize(
    "linked",
    [
        "1/tables",
        "0/tables",
        "1/tables/.zattrs",
        "1/tables/FOV_ROI_table",
        "1/tables/notes",
        ".zattrs",
    ],
)
@pytest.mark.sampled(4)
def test_a_copy_takes_the_place_of_a_link_where_something_is_written(
    tmp_path: Path, capsys: Capture, linked: str, keep: bool
) -> None:
    plate = tmp_path / "plate.zarr"
    pair(plate)
    well = plate / "A/01"
    (well / "1/tables/notes").mkdir()
    (well / "1/tables/notes/one.txt").write_text("dear reader")
    link(well / linked, tmp_path / "archive")
    before = data_of(tmp_path / "archive")
    flags = ["--no-overwrite-input"] if keep else []
    assert run(plate, *flags, "--dry-run") == 0
    is_written = "notes" not in linked and (keep or linked != ".zattrs")
    said = f"{well / linked}: a copy takes its place" in capsys.readouterr().out
    assert said == is_written
    assert run(plate, *flags, "--yes") == 0
    assert data_of(tmp_path / "archive") == before
    assert (well / linked).is_symlink() != is_written
    done = f"{well}/1_registered" if keep else f"{well}/1"
    assert is_registered(parse_image_url(done))
    assert Path(f"{done}/tables/notes/one.txt").read_text() == "dear reader"


def test_tables_that_are_a_link_to_nowhere_are_refused(
    tmp_path: Path, capsys: Capture
) -> None:
    plate = tmp_path / "plate.zarr"
    (_, url) = pair(plate)
    link(Path(url) / "tables", tmp_path / "archive")
    shutil.rmtree(tmp_path / "archive")
    before = data_of(tmp_path)
    for flags in (["--dry-run"], [], ["--no-overwrite-input"]):
        assert run(plate, *flags) in (1, 2)
        shown = capsys.readouterr().err
        assert f"{url}/tables" in shown
        assert "leads nowhere" in shown or "needed is a folder" in shown
        assert data_of(tmp_path) == before


def test_links_that_lead_back_into_their_image_stay_what_they_are(
    tmp_path: Path, capsys: Capture
) -> None:
    plate = tmp_path / "plate.zarr"
    (_, url) = pair(plate)
    for name, target in {"self": ".", "alias": "0", "nowhere": "missing"}.items():
        (Path(url) / name).symlink_to(target)
    assert run(plate, "--dry-run") == 0
    assert "  link" not in capsys.readouterr().out
    assert run(plate, "--yes") == 0
    links = {
        path.name: str(path.readlink())
        for path in Path(url).glob("[!0-9]*")
        if path.is_symlink()
    }
    assert links == {"self": ".", "alias": "0", "nowhere": "missing"}


def test_dry_run_names_links_that_copies_would_replace(
    tmp_path: Path, capsys: Capture
) -> None:
    plate = tmp_path / "plate.zarr"
    (_, url) = pair(plate, labels=NUCLEI)
    link(Path(url) / "labels" / "nuclei", tmp_path / "archive")
    assert run(plate, "--dry-run") == 0
    lines = capsys.readouterr().out.splitlines()
    links = [line for line in lines if line.startswith("  link")]
    (line,) = links
    assert f"{url}/labels/nuclei: a copy takes its place" in line
    assert run(plate, "--dry-run", "--no-overwrite-input") == 0
    assert "  link" not in capsys.readouterr().out


@pytest.mark.e2e
def test_other_wells_are_registered(make_plate: MakePlate, capsys: Capture) -> None:
    plate = make_plate(
        columns=2, acquisitions=2, channels=1, levels=3, field_size_px=64, fields_x=1
    )
    bad = plate / "A/02/1"
    (bad / "labels/nuclei/.zattrs").write_text("{")
    before = data_of(bad), data_of(plate / "A/02/0")
    assert main(["register", str(plate), *CHANNEL, *IN_PROCESS]) == 1
    assert (data_of(bad), data_of(plate / "A/02/0")) == before
    assert is_registered(parse_image_url(f"{plate}/A/01/1"))
    said = " ".join(capsys.readouterr().err.split())
    assert f"Checks failed for {bad}: {bad}: label 'nuclei' cannot be opened" in said
