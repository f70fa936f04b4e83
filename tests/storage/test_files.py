"""The same contract for files on this machine and objects in a store."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import zarr

from fractal_tasks.errors import InvalidDataError, InvalidInputError, PublishError
from fractal_tasks.storage.files import files_of, open_group
from fractal_tasks.storage.plate.wells import read_acquisitions
from fractal_tasks.storage.urls import ImageUrl, Location, parse_image_url
from tests.conftest import MakePlate
from tests.storage.remote import memory
from tests.storage.tiny import TABLE, TINY, WELL

MakeImage: TypeAlias = Callable[..., ImageUrl]


@pytest.fixture(params=["local", "remote"])
def make_image(request: pytest.FixtureRequest, make_plate: MakePlate) -> MakeImage:
    """Give a function that makes a tiny plate, and gives the url of an image of it."""

    def make(**options: Any) -> ImageUrl:
        plate = make_plate(**{**TINY, **options})
        url = str(plate) if request.param == "local" else memory.put(plate)
        return parse_image_url(f"{url}/{WELL}/1")

    return make


@pytest.fixture
def image(make_image: MakeImage) -> ImageUrl:
    return make_image()


def accept(build: object) -> None:
    """Find nothing wrong with a build."""


def test_what_is_there_is_found_and_what_is_not_is_not(image: ImageUrl) -> None:
    files = files_of(image)
    assert files.exists(image.location)
    assert not files.exists(image.location / "nothing")
    assert files.list_folders(image.location) == ["0", "1", "2", "labels", "tables"]
    assert files.size_bytes(image.location / "0") > 32 * 32


def test_size_is_that_of_all_files(make_plate: MakePlate) -> None:
    plate = make_plate(**TINY)
    expected = sum(p.stat().st_size for p in plate.rglob("*") if p.is_file())
    for url in (str(plate), memory.put(plate)):
        assert files_of(Location(url)).size_bytes(Location(url)) == expected


def test_store_opens_what_lies_there(image: ImageUrl) -> None:
    store = files_of(image).open_store(image.location)
    assert "multiscales" in zarr.open_group(store, mode="r").attrs
    assert "multiscales" in open_group(image.location).attrs


def test_missing_group_is_an_oserror(image: ImageUrl) -> None:
    with pytest.raises(OSError, match=r"."):
        open_group(image.location / "nothing")


@pytest.mark.parametrize("change", ["changed", "not changed", "failed"])
@pytest.mark.parametrize("ngff_version", ["0.4", "0.5"])
def test_attributes_are_written_if_they_were_changed(
    make_image: MakeImage, ngff_version: str, change: str
) -> None:
    image = make_image(ngff_version=ngff_version)
    files, group = files_of(image), image.location / "tables"
    before = files.list_versions(group, ["zarr.json", ".zattrs", ".zgroup"])
    content = open_group(group).attrs.asdict()

    def edit() -> None:
        with files.edit_attributes(group, image=image) as attributes:
            attributes["tables"] = list(attributes["tables"])
            if change != "not changed":
                attributes["more"] = {"a": [1, None]}
            if change == "failed":
                raise KeyError

    if change == "failed":
        with pytest.raises(KeyError):
            edit()
    else:
        edit()
    added = {"more": {"a": [1, None]}} if change == "changed" else {}
    assert open_group(group).attrs.asdict() == {**content, **added}
    after = files.list_versions(group, ["zarr.json", ".zattrs", ".zgroup"])
    assert (after == before) == (change != "changed")


@pytest.mark.parametrize("ngff_version", ["0.4", "0.5"])
def test_image_is_added_to_its_well_once(
    make_image: MakeImage, ngff_version: str
) -> None:
    image = make_image(ngff_version=ngff_version)
    new = image.sibling("1_new")
    for _ in range(2):
        files_of(new).add_to_well(new, 1)
    assert read_acquisitions(image.well) == {"0": 0, "1": 1, "1_new": 1}


def test_well_that_cannot_be_written_says_that_the_image_is_in_place(
    make_plate: MakePlate,
) -> None:
    new = parse_image_url(f"{make_plate(**TINY)}/{WELL}/1_new")
    (new.well.path / ".zattrs").unlink()
    (new.well.path / ".zattrs").mkdir()
    with pytest.raises(PublishError, match=r"1_new is in place, but .*it adds it"):
        files_of(new).add_to_well(new, 1)


def test_well_without_a_list_of_images_in_an_object_store_is_an_error(
    make_plate: MakePlate,
) -> None:
    plate = make_plate(**TINY)
    (plate / WELL / ".zattrs").write_text("{}")
    new = parse_image_url(f"{memory.put(plate)}/{WELL}/1_new")
    with pytest.raises(InvalidDataError, match="no list of images of a well"):
        files_of(new).add_to_well(new, 1)


@pytest.mark.parametrize("existed", [False, True])
def test_image_is_built_and_then_in_its_place(image: ImageUrl, existed: bool) -> None:
    files = files_of(image)
    target = image.sibling("1_new")
    if existed:
        files.copy_folder(image.location, target.location)
    seen = []

    def validate(build: Location) -> None:
        seen.append(open_group(build).attrs.asdict())

    with files.replace_image(target, input_image="1", validate=validate) as build:
        store = files.open_store(build, read_only=False)
        zarr.create_group(store, attributes={"version": "new"})
    assert seen == [{"version": "new"}]
    assert open_group(target.location).attrs.asdict() == {"version": "new"}
    assert files.list_folders(target.location) == []
    assert files.read_unfinished(target) is None


def test_image_that_fails_to_validate_is_not_taken_for_finished(
    image: ImageUrl,
) -> None:
    files = files_of(image)
    target = image.sibling("1_new")

    def refuse(build: Location) -> None:
        raise InvalidDataError("not as it should be")

    with (
        pytest.raises(InvalidDataError),
        files.replace_image(target, input_image="1", validate=refuse) as build,
    ):
        zarr.create_group(files.open_store(build, read_only=False))
    assert not files.exists(target.location) or files.read_unfinished(target) == "1"


def test_only_a_file_system_replaces_images(image: ImageUrl) -> None:
    assert files_of(image).can_replace_images == (not image.is_remote)


def test_table_is_built_on_this_machine_and_then_in_its_place(image: ImageUrl) -> None:
    files, seen = files_of(image), []
    files.check_table_replaceable(image, TABLE)
    with files.replace_table(image, TABLE, validate=seen.append) as build:
        zarr.create_group(build, attributes={"version": "new"}, zarr_format=2)
    assert seen == [build]
    table = image.location / "tables" / TABLE
    assert open_group(table).attrs.asdict() == {"version": "new"}
    assert files.list_folders(table) == []


def test_backend_of_a_table_is_kept_where_folders_are_replaced(
    make_plate: MakePlate,
) -> None:
    plate = make_plate(**TINY, table_backend="anndata")
    for url, backend in ((str(plate), "csv"), (memory.put(plate), "json")):
        table = Location(f"{url}/{WELL}/1/tables/{TABLE}")
        assert files_of(table).choose_table_backend(table, "csv") == backend


def test_folder_is_copied_within_and_between_both(
    make_plate: MakePlate, tmp_path: Path
) -> None:
    plate = make_plate(**TINY)
    url = memory.put(plate)
    trees = []
    for number, source in enumerate((str(plate), url)):
        for target in (str(tmp_path / f"copy {number}"), f"{url}-{number}"):
            origin, copy = Location(f"{source}/{WELL}"), Location(target)
            files_of(origin, copy).copy_folder(origin, copy)
            trees.append(content_of(copy))
    expected = content_of(Location(f"{plate}/{WELL}"))
    assert trees == [expected] * 4


def content_of(location: Location) -> dict[str, bytes]:
    if location.is_remote:
        return memory.tree_of(location.url)
    return {
        path.relative_to(location.path).as_posix(): path.read_bytes()
        for path in location.path.rglob("*")
        if path.is_file()
    }


def test_what_is_built_locally_lies_there_at_the_end(image: ImageUrl) -> None:
    location = image.location / "notes"
    with files_of(image).building_locally(location) as folder:
        folder.mkdir()
        (folder / "note.txt").write_text("mine")
    assert content_of(location) == {"note.txt": b"mine"}


def test_versions_are_those_of_the_named_files_and_folders_alone(
    image: ImageUrl,
) -> None:
    found = files_of(image).list_versions(image.location, ["2", ".zattrs", "nothing"])
    expected = {
        f"{path}": len(content)
        for path, content in content_of(image.location).items()
        if path.startswith("2/") or path == ".zattrs"
    }
    assert {version.path: version.size_bytes for version in found} == expected
    assert [version.path for version in found] == sorted(expected)
    assert all(version.stamp for version in found)


def test_lock_is_held_for_the_body(image: ImageUrl) -> None:
    files = files_of(image)
    with files.lock_image(image):
        files.heal_image(image)
    with files.lock_image(image):
        pass


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_urls_that_can_only_be_read_are_refused(scheme: str) -> None:
    image = parse_image_url(f"{scheme}://host/plate.zarr/B/03/0")
    with pytest.raises(InvalidInputError, match=r"can only be read.*s3://"):
        files_of(image).check_writable(image)


def test_marker_that_is_not_ours_is_told_from_none(make_plate: MakePlate) -> None:
    image = parse_image_url(f"{memory.put(make_plate(**TINY))}/{WELL}/1")
    files = files_of(image)
    assert files.read_unfinished(image) is None
    for content, expected in (
        (json.dumps({"input_image": "0"}), "0"),
        ("damaged", ""),
        ("{}", ""),
    ):
        path = image.zarr_url.removeprefix("memory:/")
        memory.FILES.pipe_file(
            f"{path}/.fractal-tasks-unfinished.json", content.encode()
        )
        assert files.read_unfinished(image) == expected


def test_table_in_a_folder_without_permission_is_refused_before_any_work(
    make_plate: MakePlate, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = parse_image_url(f"{make_plate(**TINY)}/{WELL}/1")
    closed = image.path / "tables"
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != closed)
    with pytest.raises(PublishError, match="no permission"):
        files_of(image).check_table_replaceable(image, TABLE)


def test_one_remote_place_among_several_makes_them_remote() -> None:
    local, remote = Location("/data/p.zarr"), Location("memory://data/p.zarr")
    assert files_of(local, local).can_replace_images
    assert not files_of(local, remote).can_replace_images


def test_local_plates_need_neither_fsspec_nor_zarr_to_be_locked() -> None:
    code = (
        "import sys; from fractal_tasks.storage.files import files_of;"
        "from fractal_tasks.storage.plate.work import working_on;"
        "from fractal_tasks.storage.urls import Location; files_of(Location('/p'));"
        "print({'fsspec', 'zarr', 'ngio'} & sys.modules.keys())"
    )
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    assert run.stdout.strip() == "set()"
