"""The three tasks on a plate in an object store, against the same on this machine."""

import json
from pathlib import Path
from typing import Any

import pytest

from fractal_tasks.cli import main
from tests.cli.helpers import IN_PROCESS
from tests.conftest import MakePlate
from tests.storage.remote.s3 import Server
from tests.storage.tiny import without_versions
from tests.tasks.plates import (
    REGISTERED,
    TABLE,
    image_urls,
    read_table,
    run_apply,
    run_calculate,
    run_consensus,
    tree_of,
)

TINY = {"field_size_px": 128, "acquisitions": 2, "levels": 3, "channels": 1}


@pytest.mark.e2e
@pytest.mark.parametrize("ngff_version", ["0.4", "0.5"])
def test_plate_in_a_store_gets_a_counterpart_with_the_bytes_of_a_local_plate(
    ngff_version: str, make_plate: MakePlate, s3: Server, tmp_path: Path
) -> None:
    plate = make_plate(**TINY, ngff_version=ngff_version, labels=True)
    url = s3.put(plate)
    before = s3.tree_of(url)
    options = ["--wavelength-id", "A01_C01", "--level-path", "1", *IN_PROCESS]
    out = tmp_path / "out"
    assert main(["register", url, "--output", str(out), *options]) == 0
    assert s3.tree_of(url) == before
    assert main(["register", str(plate), *options]) == 0
    for number in "01":
        for part in ("0", "1", "2", "labels/nuclei/0"):
            made, expected = (
                tree_of(folder / "A/01" / number / part)
                for folder in (out / url.rpartition("/")[2], plate)
            )
            assert made == expected


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("ngff_version", "labels"),
    [
        pytest.param("0.4", False, id="0.4", marks=pytest.mark.e2e),
        pytest.param("0.5", True, id="0.5"),
    ],
)
def test_chain_gives_the_bytes_it_gives_on_this_machine(
    ngff_version: str, labels: bool, make_plate: MakePlate, s3: Server
) -> None:
    """Labels, tables of all kinds and a folder that no one knows go along."""
    plate = make_plate(**TINY, ngff_version=ngff_version, labels=labels)
    notes = plate / "A/01/1/notes/deep/note.txt"
    notes.parent.mkdir(parents=True)
    notes.write_text("mine")
    url = s3.put(plate)
    local, remote = image_urls(plate, 2), image_urls(url, 2)
    for urls in (local, remote):
        run_calculate(urls, level_path="1")
        run_consensus(urls)
        assert run_apply(urls[1:], overwrite_input=False) == [
            {"zarr_url": f"{urls[1]}_registered", "origin": urls[1]}
        ]
    for urls in zip(local, remote, strict=True):
        for name in (TABLE, REGISTERED):
            assert content_of(urls[0], name) == content_of(urls[1], name)
    expected, found = map(without_versions, (tree_of(plate), s3.tree_of(url)))
    assert "A/01/1_registered/notes/deep/note.txt" in found
    assert ("A/01/1_registered/labels/nuclei/2/zarr.json" in found) == labels
    assert not expected.keys() - found.keys() - tables_of_the_input(expected)
    for key in found.keys() - tables_of_the_input(found):
        assert found[key] == expected[key], key


def content_of(zarr_url: str, name: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    table = read_table(zarr_url, name)
    record = without_versions({name: json.dumps(table.record).encode()})
    # A value that a row lacks is NaN, which does not equal itself.
    rows = {
        key: {
            column: value
            for column, value in roi.model_dump().items()
            if value == value
        }
        for key, roi in table.rois.items()
    }
    return rows, record


def tables_of_the_input(tree: dict[str, bytes]) -> set[str]:
    """Keys of tables that were replaced: their backend differs."""
    images = ("A/01/0/", "A/01/1/")
    return {k for k in tree if k.startswith(images) and f"tables/{TABLE}" in k}
