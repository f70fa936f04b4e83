"""A fingerprint tells whether the pixels are still those that were worked on."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import zarr

from fractal_tasks.storage.local.files import LocalFiles
from fractal_tasks.storage.plate.fingerprint import (
    fingerprint_image,
    fingerprint_pixels,
)
from fractal_tasks.storage.plate.open_image import open_image
from fractal_tasks.storage.plate.roi_tables import replace_roi_table
from fractal_tasks.storage.urls import parse_image_url
from tests.conftest import MakePlate
from tests.storage.remote import memory
from tests.storage.tiny import TABLE, TINY, WELL, read_table


@pytest.fixture(params=["0.4", "0.5"])
def plate(make_plate: MakePlate, request: pytest.FixtureRequest) -> Path:
    return make_plate(**TINY, ngff_version=request.param)


def fingerprint(plate: object) -> str:
    return fingerprint_pixels(open_image(parse_image_url(f"{plate}/{WELL}/1")))


def chunk_of(plate: Path, level: str) -> Path:
    return max((plate / WELL / "1" / level).rglob("0"), key=lambda path: path.is_file())


def test_it_is_the_same_as_long_as_nothing_is_written(plate: Path) -> None:
    assert re.fullmatch("[0-9a-f]{16}", fingerprint(plate))
    assert fingerprint(plate) == fingerprint(plate)


@pytest.mark.parametrize("level", ["0", "2"])
def test_pixels_rewritten_in_place_with_equal_size_change_it(
    plate: Path, level: str
) -> None:
    before = fingerprint(plate)
    chunk = chunk_of(plate, level)
    content = chunk.read_bytes()
    chunk.write_bytes(content)
    assert chunk.stat().st_size == len(content)
    assert fingerprint(plate) != before


def test_writing_through_zarr_changes_it(plate: Path) -> None:
    before = fingerprint(plate)
    array = zarr.open_array(plate / WELL / "1" / "0", mode="r+")
    array[..., 0, 0] = np.asarray(array[..., 0, 0]) + 1
    assert fingerprint(plate) != before


def test_another_scale_in_the_metadata_changes_it(plate: Path) -> None:
    before = fingerprint(plate)
    (metadata,) = (
        path
        for name in (".zattrs", "zarr.json")
        if (path := plate / WELL / "1" / name).exists()
    )
    metadata.write_text(metadata.read_text().replace("0.325", "0.326"))
    assert fingerprint(plate) != before


def test_tables_and_labels_do_not_change_it(plate: Path) -> None:
    before = fingerprint(plate)
    image = parse_image_url(f"{plate}/{WELL}/1")
    table = read_table(image.zarr_url)
    replace_roi_table(
        image, TABLE, rois=list(table.rois.values()), meta=table.meta, record={}
    )
    shutil.rmtree(image.path / "labels")
    assert fingerprint(plate) == before


def test_copy_that_keeps_the_times_has_the_same(plate: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(plate, tmp_path / "copy.zarr")
    assert fingerprint(copy) == fingerprint(plate)


def test_object_that_is_written_again_changes_it(plate: Path) -> None:
    url = memory.put(plate)
    before = fingerprint(url)
    assert fingerprint(url) == before
    key = chunk_of(plate, "0").relative_to(plate).as_posix()
    path = f"{url.removeprefix('memory:/')}/{key}"
    memory.FILES.pipe_file(path, memory.FILES.cat_file(path))
    assert fingerprint(url) != before


def test_table_in_an_object_store_does_not_change_it(plate: Path) -> None:
    url = memory.put(plate)
    before = fingerprint(url)
    path = f"{url.removeprefix('memory:/')}/{WELL}/1/tables/note.txt"
    memory.FILES.pipe_file(path, b"mine")
    assert fingerprint(url) == before


def test_that_of_the_whole_image_changes_with_all_but_the_table_left_out(
    plate: Path,
) -> None:
    image = parse_image_url(f"{plate}/{WELL}/1")

    def whole() -> str:
        return fingerprint_image(open_image(image), without_table=TABLE)

    table = read_table(image.zarr_url)
    before = whole()
    rois = list(table.rois.values())
    replace_roi_table(image, TABLE, rois=rois, meta=table.meta, record={})
    assert whole() == before
    replace_roi_table(image, "other", rois=rois, meta=table.meta, record={})
    with_other = whole()
    shutil.rmtree(image.path / "labels")
    assert len({before, with_other, whole()}) == 3


def test_pixels_behind_a_link_change_it(plate: Path, tmp_path: Path) -> None:
    level = plate / WELL / "1" / "0"
    folder = next(path for path in sorted(level.iterdir()) if path.is_dir())
    elsewhere = folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(elsewhere)
    before = fingerprint(plate)
    assert fingerprint(plate) == before
    chunk = max(elsewhere.rglob("0"), key=lambda path: path.is_file())
    chunk.write_bytes(chunk.read_bytes())
    assert fingerprint(plate) != before


def test_store_that_lists_nothing_never_gives_the_same(
    plate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In doubt, pixels have changed."""
    monkeypatch.setattr(LocalFiles, "list_versions", lambda *_, **__: [])
    assert fingerprint(plate) != fingerprint(plate)
