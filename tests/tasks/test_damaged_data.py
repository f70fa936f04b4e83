"""A damaged file of one acquisition: who fails, who goes on, what the user reads."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import ngio
import numpy as np
import pytest

from fractal_tasks.cli import main
from fractal_tasks.errors import InvalidDataError, MissingStepError
from fractal_tasks.synthetic import create_plate
from fractal_tasks.tasks.init_find_registration_consensus import (
    init_find_registration_consensus,
)
from tests.conftest import SMALL, MakePlate
from tests.tasks.plates import (
    REGISTERED,
    TABLE,
    data_of,
    image_urls,
    read_pixels,
    read_table,
    run_apply,
    run_calculate,
    run_consensus,
    set_translations,
    tree_of,
)

SIZE = {"field_size_px": 64, "acquisitions": 2, "channels": 1, "levels": 3}
SHIFTS_UM = {"FOV_1": (0.0, 1.3, 0.0), "FOV_2": (0.0, 0.0, 2.6)}

Run = Callable[[list[str]], object]


def calculate(urls: list[str]) -> None:
    run_calculate(urls, level_path="1")


def apply(urls: list[str]) -> None:
    run_apply(urls[1:])


def prepare(plate: Path) -> Path:
    """Make a plate on which each of the three tasks can run next."""
    urls = image_urls(plate, 2)
    set_translations(urls[1], SHIFTS_UM)
    run_consensus(urls)
    return plate


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("damaged") / "plate.zarr"
    return prepare(create_plate(folder, SMALL.model_copy(update=SIZE)))


@pytest.fixture
def plate(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "plate.zarr"))


def cut(path: Path) -> str:
    """Keep half of a file, as a full disk or a broken copy does."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return str(path)


def message_of(run: Run, plate: Path) -> str:
    """Expect an error, and that nothing in or beside the plate has changed."""
    before = data_of(plate.parent)
    with pytest.raises(InvalidDataError) as caught:
        run(image_urls(plate, 2))
    assert data_of(plate.parent) == before
    return str(caught.value)


@pytest.mark.parametrize("level", ["0", "1"])
@pytest.mark.parametrize("acquisition", ["0", "1"])
def test_calculate_names_roi_and_file_of_a_damaged_chunk(
    plate: Path, acquisition: str, level: str
) -> None:
    image = plate / "A/01" / acquisition
    name = "0/0/0/1" if level == "0" else "0/0/0/0"
    chunk = cut(image / level / name)
    message = message_of(calculate, plate)
    roi = "FOV_2" if level == "0" else "FOV_1"
    assert message.startswith(f"{image}: table '{TABLE}', ROI '{roi}': {chunk}, pixels")


@pytest.mark.parametrize(
    ("name", "roi"), [("0/0/0/0/1", "FOV_2"), ("labels/nuclei/0/0/0/0", "FOV_1")]
)
@pytest.mark.parametrize("overwrite", [True, False])
def test_apply_names_roi_and_file_of_a_damaged_chunk(
    plate: Path, name: str, roi: str, overwrite: bool
) -> None:
    chunk = cut(plate / "A/01/1" / name)
    message = message_of(
        lambda urls: run_apply(urls[1:], overwrite_input=overwrite), plate
    )
    assert message.startswith(f"ROI '{roi}': {chunk}, pixels [[0, ")


def test_apply_reads_no_chunk_of_the_reference(plate: Path) -> None:
    for level in ("0", "1", "2"):
        for chunk in (plate / "A/01/0" / level).rglob("[0-9]"):
            if chunk.is_file():
                chunk.write_bytes(b"")
    apply(image_urls(plate, 2))


def test_a_chunk_that_is_lost_reads_as_fill_value(plate: Path) -> None:
    """Zarr stores no chunk of fill values: a lost one cannot be told from these."""
    (plate / "A/01/1/0/0/0/0/1").unlink()
    apply(image_urls(plate, 2))
    pixels = read_pixels(str(plate / "A/01/1"))
    assert not pixels[..., 64:].any()
    assert pixels[..., :64].any()


OF_LABELS = ["labels", "labels/.zattrs", "labels/nuclei/0/0/0/0", "labels/nuclei/1"]


@pytest.mark.parametrize("run", [calculate, run_consensus, apply])
@pytest.mark.parametrize(
    "name",
    ["0/0/0/0/1", "0/0/0/0", "0/0", ".zattrs", f"tables/{TABLE}/.zattrs", *OF_LABELS],
)
@pytest.mark.sampled(4)
def test_what_is_behind_a_link_to_nowhere_is_not_taken_as_lost(
    plate: Path, name: str, run: Run
) -> None:
    """A disk that is not mounted."""
    if run is calculate and name in OF_LABELS:
        pytest.skip("labels are not needed")
    chunks = plate / "A/01/1" / name
    shutil.rmtree(chunks) if chunks.is_dir() else chunks.unlink()
    chunks.symlink_to("/mnt/unmounted/disk")
    before = tree_of(plate)
    assert str(chunks) in message_of(run, plate)
    assert tree_of(plate) == before


@pytest.mark.parametrize("run", [run_consensus, apply])
@pytest.mark.parametrize("name", [TABLE, "nuclei_features"])
@pytest.mark.sampled(2)
def test_a_csv_table_that_may_be_cut_is_not_read(
    make_plate: MakePlate, name: str, run: Run
) -> None:
    """Of 41.6, 41 is left: its last line has no end."""
    plate = prepare(make_plate(**SIZE, table_backend="csv"))
    path = of_table(image_urls(plate, 2)[1], "csv", name)
    content = path.read_bytes()
    path.write_bytes(content[:-2])
    before = tree_of(plate)
    message = message_of(run, plate)
    assert f"{path}: found no end of its last line" in message
    assert tree_of(plate) == before


def of_table(url: str, backend: str, name: str) -> Path:
    files = {
        "anndata": "X/0.0",
        "json": "table/.zattrs",
        "csv": "table.csv",
        "parquet": "table.parquet",
    }
    return Path(url, "tables", name, files[backend])


@pytest.mark.parametrize("backend", ["anndata", "json", "csv", "parquet"])
@pytest.mark.sampled(2)
def test_a_damaged_table_is_named_by_each_task_that_reads_it(
    make_plate: MakePlate, backend: str
) -> None:
    plate = prepare(make_plate(**SIZE, table_backend=backend))
    url = image_urls(plate, 2)[1]
    cut(of_table(url, backend, TABLE))
    for run in (calculate, run_consensus, apply):
        message = message_of(run, plate)
        assert message.startswith(f"{url}: table '{TABLE}' cannot be read")
    registered = of_table(url, backend, REGISTERED)
    registered.write_bytes(b"")
    message = message_of(apply, plate)
    assert message.startswith(f"{url}: table '{REGISTERED}' cannot be read")


def test_a_table_whose_numbers_are_lost_moves_no_pixels(plate: Path) -> None:
    """All are 0 then, and the ROIs at the corner of the image, without size."""
    url = image_urls(plate, 2)[1]
    of_table(url, "anndata", REGISTERED).unlink()
    message = message_of(apply, plate)
    assert message.startswith(f"{url}: table '{REGISTERED}', 'FOV_1': found a ROI of")
    of_table(url, "anndata", TABLE).unlink()
    for run in (calculate, run_consensus):
        assert "needed is at least one pixel" in message_of(run, plate)


@pytest.mark.parametrize("backend", ["anndata", "csv"])
@pytest.mark.sampled(2)
def test_init_consensus_learns_nothing_from_a_damaged_table_and_goes_on(
    make_plate: MakePlate, caplog: pytest.LogCaptureFixture, backend: str
) -> None:
    plate = make_plate(**SIZE, columns=2, table_backend=backend)
    urls = [f"{plate}/A/{column}/{name}" for column in ("01", "02") for name in "01"]
    cut(of_table(urls[1], backend, TABLE))
    output = init_find_registration_consensus(zarr_urls=urls, zarr_dir="")
    assert len(output["parallelization_list"]) == 2
    (record,) = [r for r in caplog.records if r.levelname == "WARNING"]
    assert f"{urls[1]}: table '{TABLE}' cannot be read" in record.getMessage()


@pytest.mark.e2e
def test_one_damaged_chunk_stops_its_acquisition_and_well_and_nothing_else(
    make_plate: MakePlate, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole chain a user goes through, until the chunk is restored."""
    plate = make_plate(columns=2, channels=1, levels=3, labels=False)
    chunk = plate / "A/01/1/0/0/0/0/1"
    content = chunk.read_bytes()
    cut(chunk)
    before = tree_of(plate / "A/01/1")
    arguments = ["register", str(plate), "--wavelength-id", "A01_C01", "--workers", "1"]

    assert main([*arguments, "--json"]) == 1
    shown = capsys.readouterr()
    calculated, consensus, applied = json.loads(shown.out)["tasks"]
    failed = [unit for unit in calculated["units"] if unit["error"]]
    assert len(calculated["units"]) == 4
    assert [unit["zarr_url"] for unit in failed] == [f"{plate}/A/01/1"]
    assert f"ROI 'FOV_2': {chunk}, pixels" in failed[0]["error"]["message"]
    assert failed[0]["error"]["message"] in shown.err
    # The well is left out of the tasks that follow; the other one goes through.
    assert [unit["zarr_url"] for unit in consensus["units"]] == [f"{plate}/A/02/0"]
    assert [unit["zarr_url"] for unit in applied["units"]] == [
        f"{plate}/A/02/{name}" for name in "012"
    ]
    assert tree_of(plate / "A/01/1") == before
    assert "translation_x" in extras_of(f"{plate}/A/01/2")

    # Asked nevertheless, consensus names the acquisition that has no estimates.
    urls = [f"{plate}/A/01/{name}" for name in "012"]
    with pytest.raises(MissingStepError, match=r"acquisition 1 .*Run 'Calculate Reg"):
        run_consensus(urls)

    chunk.write_bytes(content)
    assert main([*arguments, "--json"]) == 0
    applied = json.loads(capsys.readouterr().out)["tasks"][2]
    assert [unit["zarr_url"] for unit in applied["units"]] == urls


def extras_of(url: str) -> dict[str, object]:
    return read_table(url).rois["FOV_1"].model_extra or {}


def test_without_the_damaged_roi_the_well_is_registered(plate: Path) -> None:
    """What the message offers: leave the ROI out of all tables of the well."""
    urls = image_urls(plate, 2)
    cut(plate / "A/01/1/0/0/0/0/1")
    for url in urls:
        rois = [read_table(url).rois["FOV_1"]]
        ngio.open_ome_zarr_container(url).add_table(
            TABLE, ngio.RoiTable(rois=rois), overwrite=True
        )
    calculate(urls)
    run_consensus(urls, min_confidence=0.0)
    run_apply(urls)
    pixels = np.asarray(read_pixels(urls[1]))
    assert pixels[..., :64].any()
    assert not pixels[..., 64:].any()
