"""Counterparts of what lies on a web server: downloads of what is registered."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr
from ngio import open_ome_zarr_container
from ngio.tables import GenericTable

import fractal_tasks as ft
from fractal_tasks.errors import InvalidDataError, InvalidInputError
from fractal_tasks.workflow.output import make_counterparts, resume
from tests.cli.helpers import tree_hash
from tests.plain_plates import make_scene, see
from tests.plain_plates import write_image as write_plain
from tests.tasks.foreign import WELL, write_plate
from tests.tasks.plates import REGISTERED
from tests.workflow.web import Web, serving

PIXELS = see(make_scene(1, 32))


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    (tmp_path / "in").mkdir()
    with serving(tmp_path / "in") as server:
        yield server


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "-locks" not in path.as_posix()
    }


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_image_is_downloaded_with_labels_and_tables_of_all_backends(
    tmp_path: Path, web: Web, zarr_format: int
) -> None:
    image = {"pixels": PIXELS[None], "labels": {"nuclei": PIXELS}}
    (url,) = write_plate(tmp_path / "in/plate.zarr", [image], zarr_format)
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"], "c": [True, False]})
    container = open_ome_zarr_container(url)
    for backend in ("anndata", "json", "csv", "parquet"):
        container.add_table(backend, GenericTable(frame), backend=backend)
    inner = f"plate.zarr/{WELL}/0"
    made = make_counterparts([f"{web.url}/{inner}"], str(tmp_path / "out"))
    assert made == [str(tmp_path / "out" / inner)]
    assert contents(Path(made[0])) == contents(Path(url))
    assert resume(made, REGISTERED).images == made


@pytest.mark.parametrize("sharded", [False, True])
def test_chunks_that_are_not_there_stay_missing(
    tmp_path: Path, web: Web, sharded: bool
) -> None:
    image = write_plain(tmp_path / "in/image.zarr", PIXELS)
    level = zarr.create_array(
        image / "0",
        shape=(40, 40),
        chunks=(8, 8),
        shards=(16, 16) if sharded else None,
        dtype="uint16",
        fill_value=7,
        zarr_format=3 if sharded else 2,
        overwrite=True,
    )
    level[33:, 20] = 5
    made = make_counterparts([f"{web.url}/image.zarr"], str(tmp_path / "out"))
    read = np.asarray(zarr.open_array(Path(made[0]) / "0", mode="r"))
    assert set(np.unique(read)) == {5, 7}
    assert contents(Path(made[0]) / "0") == contents(image / "0")


def two_wells(folder: Path) -> Path:
    """Add another well to a plate of one."""
    write_plate(folder, 2 * [{"pixels": PIXELS[None]}])
    row, column = WELL.split("/")
    (folder / row / "02").symlink_to(column)
    document = json.loads((folder / ".zattrs").read_text())
    other = {"path": f"{row}/02", "rowIndex": 0, "columnIndex": 1}
    document["plate"]["wells"].append(other)
    (folder / ".zattrs").write_text(json.dumps(document))
    return folder


def test_only_the_wells_that_are_named_are_downloaded_and_listed(
    tmp_path: Path, web: Web
) -> None:
    two_wells(tmp_path / "in/plate.zarr")
    out = tmp_path / "out"
    (made,) = make_counterparts([f"{web.url}/plate.zarr/A/02"], str(out))
    assert made == str(out / "plate.zarr/A/02")
    plate = [str(out / "plate.zarr")]
    assert resume(plate, REGISTERED).images == [f"{made}/0", f"{made}/1"]
    assert not any("/A/01" in path for path in web.requests)
    make_counterparts([f"{web.url}/plate.zarr"], str(out))
    assert len(resume(plate, REGISTERED).images) == 4
    assert not resume(plate, REGISTERED).failures


def test_download_that_was_interrupted_goes_on_with_what_is_missing(
    tmp_path: Path, web: Web
) -> None:
    source = tmp_path / "in/plate.zarr"
    write_plate(source, 2 * [{"pixels": PIXELS[None]}])
    out = tmp_path / "out"
    web.broken = "/A/01/1/1/"
    with pytest.raises(InvalidDataError, match=r"plate\.zarr/A/01/1/1/"):
        make_counterparts([f"{web.url}/plate.zarr"], str(out))
    assert not (out / "plate.zarr/A/01/1").exists()
    web.broken = ""
    web.requests.clear()
    made = make_counterparts([f"{web.url}/plate.zarr"], str(out))
    assert not any("/A/01/0/" in path for path in web.requests)
    assert len(resume(made, REGISTERED).images) == 2
    assert contents(out / "plate.zarr/A") == contents(source / "A")
    web.requests.clear()
    make_counterparts([f"{web.url}/plate.zarr"], str(out))
    assert not any("/A/01/" in path for path in web.requests)


def test_metadata_that_lead_out_of_the_image_are_refused(
    tmp_path: Path, web: Web
) -> None:
    image = write_plain(tmp_path / "in/image.zarr", PIXELS)
    document = json.loads((image / ".zattrs").read_text())
    document["labels"] = ["../../elsewhere"]
    (image / ".zattrs").write_text(json.dumps(document))
    with pytest.raises(InvalidDataError, match=r"image\.zarr.*elsewhere"):
        make_counterparts([f"{web.url}/image.zarr"], str(tmp_path / "out"))
    assert not (tmp_path / "out/image.zarr").exists()


def test_plate_on_a_server_is_registered_in_the_output_folder(
    tmp_path: Path, web: Web
) -> None:
    scene = make_scene(6)
    images = [see(scene)[None], see(scene, (5, -7), 1)[None]]
    write_plate(tmp_path / "in/plate.zarr", [{"pixels": one} for one in images])
    before = tree_hash(tmp_path / "in")
    url = f"{web.url}/plate.zarr"
    with pytest.raises(InvalidInputError, match="output"):
        ft.register(url, wavelength_id="A01_C01", progress=False)
    out = tmp_path / "out"
    result = ft.register(url, wavelength_id="A01_C01", output=out, progress=False)
    assert not result.failures
    fixed, moved = (
        np.asarray(zarr.open_array(out / f"plate.zarr/{WELL}/{one}/0", mode="r")[0])
        for one in (0, 1)
    )
    assert np.corrcoef(fixed.ravel(), moved.ravel())[0, 1] > 0.99
    assert tree_hash(tmp_path / "in") == before
