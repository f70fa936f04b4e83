"""Registered images in an object store, and the well's list of them."""

import json
import logging
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from fractal_tasks.cli import main
from fractal_tasks.errors import InvalidDataError
from fractal_tasks.storage.files import files_of
from fractal_tasks.storage.plate.wells import read_acquisitions
from fractal_tasks.storage.remote.folder import ObjectFolder
from fractal_tasks.storage.urls import parse_image_url
from tests.conftest import MakePlate
from tests.storage.remote import memory
from tests.storage.remote.conftest import PlatePair
from tests.storage.remote.s3 import Server
from tests.tasks.plates import (
    REGISTERED,
    image_urls,
    run_apply,
    run_consensus,
    set_translations,
)

TINY = {"field_size_px": 64, "acquisitions": 2, "levels": 3, "channels": 1}
SHIFTS_UM = {"FOV_1": (0.0, 1.3, 0.0), "FOV_2": (0.0, 0.0, 2.6)}
MARKER = ".fractal-tasks-unfinished.json"


@pytest.fixture
def plate_url(make_plate: MakePlate, request: pytest.FixtureRequest) -> str:
    """A plate in memory that *apply* can run on; the parameter is the NGFF version."""
    plate = make_plate(**TINY, ngff_version=getattr(request, "param", "0.5"))
    urls = image_urls(plate, 2)
    set_translations(urls[1], SHIFTS_UM)
    run_consensus(urls)
    return memory.put(plate)


def apply(plate_url: str, **arguments: Any) -> None:
    run_apply([f"{plate_url}/A/01/1"], overwrite_input=False, **arguments)


def below(tree: dict[str, bytes], folder: str) -> dict[str, bytes]:
    return {key: item for key, item in tree.items() if key.startswith(f"{folder}/")}


@pytest.mark.parametrize(
    "plate_url", [pytest.param("0.4", marks=pytest.mark.e2e), "0.5"], indirect=True
)
@pytest.mark.e2e
def test_interrupted_image_is_not_listed_and_made_again_by_the_next_run(
    plate_url: str,
) -> None:
    original = memory.tree_of(plate_url)
    with memory.count_steps() as steps:
        apply(plate_url)
    expected = memory.tree_of(plate_url)
    # The first and last steps one by one, and some between: many write a chunk each.
    chosen = [
        0,
        1,
        2,
        *range(3, steps.count - 3, 60),
        *range(steps.count - 3, steps.count),
    ]
    for step in chosen:
        memory.restore(plate_url, original)
        with pytest.raises(memory.Interrupted), memory.interrupt_after(step):
            apply(plate_url)
        tree = memory.tree_of(plate_url)
        assert below(tree, "A/01/1") == below(original, "A/01/1")
        unfinished = below(tree, "A/01/1_registered")
        if unfinished != below(expected, "A/01/1_registered"):
            assert f"A/01/1_registered/{MARKER}" in unfinished or not unfinished
        assert read_acquisitions(parse_image_url(f"{plate_url}/A/01/1").well) == {
            "0": 0,
            "1": 1,
        }
        apply(plate_url)
        assert memory.tree_of(plate_url) == expected


def test_second_run_writes_nothing(plate_url: str) -> None:
    apply(plate_url)
    with memory.count_steps() as steps:
        apply(plate_url)
    assert steps.count == 0


def test_image_that_is_out_of_date_is_made_again(plate_url: str) -> None:
    apply(plate_url, register_labels=False)
    without_labels = memory.tree_of(plate_url)
    apply(plate_url)
    with_labels = memory.tree_of(plate_url)
    assert below(with_labels, "A/01/1_registered/labels")
    assert not below(without_labels, "A/01/1_registered/labels")
    apply(plate_url, register_labels=False)
    assert memory.tree_of(plate_url) == without_labels


@pytest.mark.parametrize(
    "foreign",
    [
        {"note.txt": b"mine"},
        {"zarr.json": b'{"zarr_format": 3, "node_type": "group", "attributes": {}}'},
        {MARKER: b'{"input_image": "0"}', "note.txt": b"mine"},
        {MARKER: b"damaged", "note.txt": b"mine"},
    ],
    ids=["object", "group", "marker of another image", "damaged marker"],
)
@pytest.mark.sampled(2)
def test_what_others_have_put_there_is_left_untouched(
    plate_url: str, foreign: dict[str, bytes]
) -> None:
    folder = ObjectFolder(parse_image_url(f"{plate_url}/A/01/1_registered").location)
    for key, content in foreign.items():
        folder.write(key, content)
    before = memory.tree_of(plate_url)
    with pytest.raises(InvalidDataError, match="it is left untouched"):
        apply(plate_url)
    assert memory.tree_of(plate_url) == before


def test_store_without_conditional_writes_is_warned_of(
    plate_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="fractal_tasks"):
        apply(plate_url)
    assert "no conditional writes" in caplog.text


def test_no_entry_of_a_well_is_lost_when_many_are_added_at_once(
    plate_pair: PlatePair,
) -> None:
    _, url = plate_pair(**TINY, labels=False)
    names = [f"1_{index}" for index in range(5)]
    images = [parse_image_url(f"{url}/A/01/{name}") for name in names]
    with ThreadPoolExecutor(len(images)) as pool:
        list(pool.map(lambda image: files_of(image).add_to_well(image, 1), images))
    found = read_acquisitions(images[0].well)
    assert found == {"0": 0, "1": 1, **dict.fromkeys(names, 1)}


@pytest.mark.parametrize("ngff_version", ["0.4", "0.5"])
def test_change_between_reading_and_writing_the_list_is_kept(
    ngff_version: str, plate_pair: PlatePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, url = plate_pair(**TINY, labels=False, ngff_version=ngff_version)
    mine, other = (parse_image_url(f"{url}/A/01/{name}") for name in ("1_a", "1_b"))
    replace, raced = ObjectFolder.replace, []

    def replace_late(self: ObjectFolder, *arguments: Any) -> bool:
        if not raced:
            raced.append(True)
            files_of(other).add_to_well(other, 1)
        return replace(self, *arguments)

    monkeypatch.setattr(ObjectFolder, "replace", replace_late)
    files_of(mine).add_to_well(mine, 1)
    assert list(read_acquisitions(mine.well)) == ["0", "1", "1_b", "1_a"]


def test_command_finds_the_images_of_a_plate_and_fetches_each_chunk_once(
    plate_pair: PlatePair, s3: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    _, url = plate_pair(**TINY, labels=False, ngff_version="0.5")
    flags = ["--level-path", "1", "--workers", "1", "--json"]
    flags += ["--storage-options", json.dumps(s3.options)]
    task = ["calculate-registration", url, "--wavelength-id", "A01_C01"]
    s3.application.requests.clear()
    assert main([*task, *flags]) == 0, capsys.readouterr().err
    chunks = Counter(
        request.path
        for request in s3.application.requests
        if request.method == "GET" and "/c/" in request.path
    )
    assert {path.split("/")[5] for path in chunks} == {"0", "1"}
    assert set(chunks.values()) == {1}


@pytest.mark.e2e
def test_command_registers_a_well_and_says_what_it_would_do_again(
    plate_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--wavelength-id", "A01_C01", "--no-overwrite-input", "--workers", "1"]
    flags += ["--level-path", "0", "--min-confidence", "0", "--json"]
    urls = image_urls(plate_url, 2)
    assert main(["register", f"{plate_url}/A/01", *flags]) == 0, capsys.readouterr()
    zarr_urls = json.loads(capsys.readouterr().out)["zarr_urls"]
    assert sorted(zarr_urls) == sorted([*urls, *(f"{url}_registered" for url in urls)])
    assert main(["register", plate_url, "--dry-run", *flags]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert [image["zarr_url"] for image in plan["images"]] == urls
    assert f"{urls[1]}/tables/{REGISTERED}" in plan["images"][1]["replaces"]
