"""Displacements in an image: written once, checked when read, gone after their use."""

import itertools
import json
import multiprocessing
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from fractal_tasks.errors import DisplacementsError
from fractal_tasks.model import Candidate
from fractal_tasks.records.rows import RoiRecord, displacements_of_rows
from fractal_tasks.storage.displacement_group import read_displacements
from fractal_tasks.storage.plate.displacements import (
    displacements_of,
    write_displacements,
)
from fractal_tasks.storage.plate.open_image import open_image
from fractal_tasks.storage.plate.roi_tables import read_roi_table, replace_roi_table
from fractal_tasks.storage.plate.tables import remove_unused_displacements
from fractal_tasks.storage.plate.work import working_on
from fractal_tasks.storage.urls import ImageUrl, parse_image_url
from fractal_tasks.transforms import Affine, Displacements, Translation, Warp
from tests.records.plates import PIXELS
from tests.storage.remote import memory
from tests.tasks.plates import TABLE, make_registered_plate

STILL = Affine.of(np.eye(3), np.zeros(3))


def make_warp(size_um: float) -> Warp:
    values = np.zeros((3, 1, 5, 6), np.float32)
    values[1, 0, 2, 3] = size_um
    return Warp(STILL, Displacements(values, (1.0, 2.6, 2.6)), (0.5, 0.2, 0.2))


FIRST, SECOND = make_warp(0.5), make_warp(-0.25)


@pytest.fixture
def url(tmp_path: Path) -> ImageUrl:
    plate = make_registered_plate(tmp_path / "plate.zarr")
    return parse_image_url(f"{plate}/A/01/1")


def write_rows(url: ImageUrl, warp: Warp | Translation, name: str = TABLE) -> None:
    """Give all rows of a table a transform, as tasks do."""
    with working_on(url):
        image = open_image(url)
        table = read_roi_table(image, TABLE)
        records = [
            RoiRecord.of(roi, image, (Candidate(warp, 0.9, 0.1),), PIXELS)
            for roi in table.rois.values()
        ]
        replace_roi_table(
            url,
            name,
            rois=[
                record.to_roi(roi)
                for record, roi in zip(records, table.rois.values(), strict=True)
            ],
            meta=table.meta,
            record={},
            displacements=displacements_of_rows(records),
        )
        remove_unused_displacements(url)


def read_rows(url: ImageUrl, name: str = TABLE) -> list[Any]:
    image = open_image(url)
    return [
        RoiRecord.from_roi(roi, image, "row").candidates[0].transform
        for roi in read_roi_table(image, name).rois.values()
    ]


def stored_in(url: ImageUrl) -> set[str]:
    folder = url.path / "registration"
    return set(os.listdir(folder)) if folder.exists() else set()


def test_rows_find_what_they_were_written_with(url: ImageUrl) -> None:
    write_rows(url, FIRST)
    assert [one.field for one in read_rows(url)] == [FIRST.field] * 2
    # Both rows share one folder, with both directions.
    assert stored_in(url) == {FIRST.field.digest}
    read = displacements_of(url)
    for path, one in FIRST.displacements.items():
        assert read(path) == one
        assert zarr.open_array(url.path / path / "0").metadata.zarr_format == 3
    multiscale = zarr.open_group(url.path / path).attrs["ome"]["multiscales"][0]
    assert multiscale["coordinateSystems"][0]["axes"][0]["type"] == "displacement"


def test_what_nothing_names_any_more_goes_and_all_else_stays(url: ImageUrl) -> None:
    write_rows(url, FIRST)
    write_rows(url, SECOND, "others")
    assert stored_in(url) == {FIRST.field.digest, SECOND.field.digest}
    (url.path / "registration" / "notes").mkdir()
    write_rows(url, SECOND)
    assert stored_in(url) == {SECOND.field.digest, "notes"}
    write_rows(url, Translation((0.0, 1.0, 1.0)))
    assert stored_in(url) == {SECOND.field.digest, "notes"}
    write_rows(url, Translation((0.0, 1.0, 1.0)), "others")
    assert stored_in(url) == {"notes"}


def test_where_a_table_cannot_be_read_nothing_goes(
    url: ImageUrl, caplog: pytest.LogCaptureFixture
) -> None:
    write_rows(url, FIRST, "others")
    for path in (url.path / "tables" / "others").rglob("zarr.json"):
        path.write_text("{")
    for path in (url.path / "tables" / "others").rglob(".z*"):
        path.write_text("{")
    write_rows(url, SECOND)
    assert stored_in(url) == {FIRST.field.digest, SECOND.field.digest}
    assert "may be gone are kept" in caplog.text


def remove(folder: Path) -> None:
    shutil.rmtree(folder)


def lose_chunks(folder: Path) -> None:
    shutil.rmtree(folder / "0" / "c")


def cut(folder: Path) -> None:
    chunk = next(path for path in (folder / "0" / "c").rglob("*") if path.is_file())
    chunk.write_bytes(chunk.read_bytes()[:20])


def change(folder: Path) -> None:
    zarr.open_array(folder / "0", mode="r+")[1, 0, 0, 0] = 1.0


def reshape(folder: Path) -> None:
    zarr.create_array(folder / "0", data=np.zeros((2, 5, 6), "f4"), overwrite=True)


def spoil(folder: Path) -> None:
    zarr.open_array(folder / "0", mode="r+")[1, 0, 0, 0] = np.nan


def lose_metadata(folder: Path) -> None:
    zarr.open_group(folder, mode="r+").attrs.clear()


def stretch(folder: Path) -> None:
    path = folder / "zarr.json"
    text = json.dumps(json.loads(path.read_text()))
    path.write_text(text.replace("2.6", "2.7"))


@pytest.mark.parametrize(
    "damage",
    [remove, lose_chunks, cut, change, reshape, spoil, lose_metadata, stretch],
    ids=lambda one: one.__name__,
)
@pytest.mark.parametrize("direction", ["forward", "inverse"])
@pytest.mark.sampled(8)
def test_damage_is_named_and_mended_by_the_next_estimate(
    url: ImageUrl, damage: Any, direction: str
) -> None:
    write_rows(url, FIRST)
    damage(url.path / f"registration/{FIRST.field.digest}/{direction}")
    with pytest.raises(
        DisplacementsError, match=f"{url.zarr_url}.*inverse.*Calculate Registration"
    ):
        read_rows(url)
    write_displacements(url, FIRST.displacements)
    assert [one.field for one in read_rows(url)] == [FIRST.field] * 2


@pytest.mark.parametrize("path", ["../../0", "registration/x/inverse", "/etc", ""])
@pytest.mark.sampled(2)
def test_a_path_leads_nowhere_else(url: ImageUrl, path: str) -> None:
    with pytest.raises(DisplacementsError, match="named in no way"):
        displacements_of(url)(path)


STEPS = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree", "os.link"}


def write_and_die(url: ImageUrl, step: int) -> None:
    """Write rows, and be killed before a step of that, if there are so many."""
    left = step

    def count(event: str, given: Any) -> None:
        nonlocal left
        # What is built in a workspace is nobody's before it is renamed.
        if event in STEPS and "/new/" not in str(given[0]):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    write_rows(url, SECOND)


def run_killed(url: ImageUrl, step: int) -> bool:
    """Write rows in a process of its own that dies before a step; False if it ends."""
    # Of a process without threads: those of zarr do not live on in a child.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    child = context.Process(target=write_and_die, args=(url, step))
    child.start()
    child.join()
    assert child.exitcode in {0, -signal.SIGKILL}
    return child.exitcode != 0


@pytest.mark.parametrize("every", [20, pytest.param(1, marks=pytest.mark.e2e)])
def test_killed_at_any_step_the_table_names_what_is_there(
    url: ImageUrl, tmp_path: Path, every: int
) -> None:
    write_rows(url, FIRST)
    plate = url.path.parents[2]
    before = tmp_path / "before"
    shutil.copytree(plate, before)
    outcomes = []
    for step in itertools.count(step=every):
        is_killed = run_killed(url, step)
        with working_on(url):
            fields = {one.field.digest for one in read_rows(url)}
        outcomes.append(fields)
        assert fields <= stored_in(url)
        # What was left goes the next time.
        write_rows(url, SECOND)
        assert stored_in(url) == {SECOND.field.digest}
        shutil.rmtree(plate)
        shutil.copytree(before, plate)
        if not is_killed:
            break
    assert outcomes[0] == {FIRST.field.digest}
    assert outcomes[-1] == {SECOND.field.digest}


def test_in_an_object_store_they_come_and_go_as_on_disk(tmp_path: Path) -> None:
    plate = make_registered_plate(tmp_path / "plate.zarr")
    url = parse_image_url(f"{memory.put(plate)}/A/01/1")
    write_rows(url, FIRST)
    write_rows(url, SECOND, "others")
    assert [one.field for one in read_rows(url)] == [FIRST.field] * 2
    write_rows(url, Translation((0.0, 1.0, 1.0)))
    assert [one.field for one in read_rows(url, "others")] == [SECOND.field] * 2
    stored = memory.tree_of(f"{url.zarr_url}/registration")
    assert {key.split("/")[0] for key in stored} == {SECOND.field.digest}
    with pytest.raises(DisplacementsError, match=r"memory:.*missing or damaged"):
        displacements_of(url)(next(iter(FIRST.displacements)))


def test_displacements_of_a_plane_are_read() -> None:
    """Other software leaves out the axis that a plane lacks."""
    values = np.random.default_rng(0).normal(size=(2, 4, 5)).astype(np.float32)
    group = zarr.create_group(zarr.storage.MemoryStore())
    group.create_array("0", data=values)
    steps = [
        {"type": "scale", "scale": [1, 3, 2]},
        {"type": "translation", "translation": [0, 7, 8]},
    ]
    for placed, first in (
        (steps[0], (0.0, 0.0, 0.0)),
        ({"type": "sequence", "transformations": steps}, (0.0, 7.0, 8.0)),
    ):
        dataset = {"path": "0", "coordinateTransformations": [placed]}
        group.attrs["ome"] = {"multiscales": [{"datasets": [dataset]}]}
        found, first_um = read_displacements(group)
        assert (found.shape, found.step_um) == ((1, 4, 5), (1.0, 3.0, 2.0))
        assert first_um == first
        np.testing.assert_array_equal(found.values_um[1:, 0], values)
        assert not found.values_um[0].any()
