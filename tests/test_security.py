"""Names and paths are data: nothing leaves the plate, nothing read is executed."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zarr

from fractal_tasks.discovery import discover_images
from fractal_tasks.errors import FractalTasksError, InvalidDataError, InvalidInputError
from fractal_tasks.storage.local.publish import heal
from tests.tasks.plates import (
    REGISTERED,
    TABLE,
    WELL,
    data_of,
    image_urls,
    make_registered_plate,
    read_table,
    run_apply,
    run_calculate,
    run_consensus,
    tree_of,
    write_rois_of,
)

Task = Callable[[list[str]], object]


def calculate(urls: list[str]) -> None:
    run_calculate(urls, level_path="0")


def consensus(urls: list[str]) -> None:
    run_consensus(urls, registered_roi_table="new_table")


WRITERS: list[Task] = [calculate, consensus, run_apply]
OUTSIDE_NAMES = ["../../../outside/x", "{}/outside/x", "", "a\0b"]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_registered_plate(tmp_path_factory.mktemp("security") / "plate.zarr")


@pytest.fixture
def plate(original: Path, tmp_path: Path) -> Path:
    """A plate with something beside it that must never be touched."""
    outside = tmp_path / "outside"
    shutil.copytree(original / WELL / "1", outside / "x")
    (outside / "x" / "notes.txt").write_text("mine")
    return Path(shutil.copytree(original, tmp_path / "plate.zarr"))


@pytest.fixture
def urls(plate: Path) -> list[str]:
    return image_urls(plate, 2)


def edit(file: Path, change: Callable[[Any], object]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def refused(
    folder: Path,
    call: Callable[[], object],
    error: type[FractalTasksError] = InvalidDataError,
) -> str:
    """Expect an error, and that no byte changed anywhere; give the message."""
    before = data_of(folder)
    with pytest.raises(error) as caught:
        call()
    assert data_of(folder) == before
    return str(caught.value)


# Names in metadata


@pytest.mark.parametrize("task", WRITERS)
@pytest.mark.parametrize("name", OUTSIDE_NAMES)
@pytest.mark.sampled(3)
def test_table_listed_outside_of_its_image_is_refused(
    tmp_path: Path, urls: list[str], task: Task, name: str
) -> None:
    name = name.format(tmp_path)
    for url in urls:
        listed = Path(url) / "tables/.zattrs"
        edit(listed, lambda content: content["tables"].append(name))
    assert repr(name) in refused(tmp_path, lambda: task(urls))


@pytest.mark.parametrize("name", OUTSIDE_NAMES)
def test_label_listed_outside_of_its_image_is_refused(
    tmp_path: Path, urls: list[str], name: str
) -> None:
    name = name.format(tmp_path)
    for url in urls:
        listed = Path(url) / "labels/.zattrs"
        edit(listed, lambda content: content["labels"].append(name))
    assert repr(name) in refused(tmp_path, lambda: run_apply(urls))


@pytest.mark.parametrize("task", WRITERS)
@pytest.mark.parametrize("name", OUTSIDE_NAMES[:2])
def test_level_outside_of_its_image_is_refused(
    tmp_path: Path, urls: list[str], task: Task, name: str
) -> None:
    name = name.format(tmp_path)

    def change(content: Any) -> None:
        content["multiscales"][0]["datasets"][1]["path"] = name

    for url in urls:
        edit(Path(url) / ".zattrs", change)
    assert WELL in refused(tmp_path, lambda: task(urls))


@pytest.mark.parametrize("name", OUTSIDE_NAMES)
def test_level_outside_of_its_label_is_refused(
    tmp_path: Path, urls: list[str], name: str
) -> None:
    name = name.format(tmp_path)

    def change(content: Any) -> None:
        content["multiscales"][0]["datasets"][1]["path"] = name

    edit(Path(urls[1]) / "labels/nuclei/.zattrs", change)
    assert "'nuclei'" in refused(tmp_path, lambda: run_apply(urls[1:]))


@pytest.mark.parametrize("task", WRITERS)
@pytest.mark.parametrize("name", [*OUTSIDE_NAMES, "a/b"])
@pytest.mark.sampled(5)
def test_image_outside_of_its_well_is_refused(
    tmp_path: Path, plate: Path, urls: list[str], task: Task, name: str
) -> None:
    image = {"path": name.format(tmp_path), "acquisition": 0}
    well = plate / WELL
    edit(well / ".zattrs", lambda content: content["well"]["images"].append(image))
    for call in (lambda: task(urls), lambda: discover_images([str(plate)])):
        assert WELL in refused(tmp_path, call)


@pytest.mark.parametrize("name", [*OUTSIDE_NAMES, "A", "A/01/1", "A/.."])
def test_well_outside_of_its_plate_is_refused(
    tmp_path: Path, plate: Path, name: str
) -> None:
    def change(content: Any) -> None:
        content["plate"]["wells"][0]["path"] = name.format(tmp_path)

    edit(plate / ".zattrs", change)
    message = refused(tmp_path, lambda: discover_images([str(plate)]))
    assert "'<row>/<column>'" in message


@pytest.mark.parametrize("name", OUTSIDE_NAMES)
def test_table_of_a_plan_cannot_be_written_outside_of_the_new_image(
    tmp_path: Path, urls: list[str], name: str
) -> None:
    """A plan with the table '../../../x' made a group beside the new image."""

    def change(content: Any) -> None:
        tables = content["registration"]["reference_tables"]
        tables[name.format(tmp_path)] = tables.pop("well_ROI_table")

    edit(Path(urls[1]) / "tables" / REGISTERED / ".zattrs", change)
    assert "plan" in refused(tmp_path, lambda: run_apply(urls[1:]))


def test_names_of_rois_are_nothing_but_text(tmp_path: Path, urls: list[str]) -> None:
    names = ["../../../outside/x", f"{tmp_path}/outside/x"]
    for url in urls:
        rois = read_table(url).rois.values()
        renamed = [
            roi.model_copy(update={"name": name})
            for roi, name in zip(rois, names, strict=True)
        ]
        write_rois_of(url, renamed)
    outside = tree_of(tmp_path / "outside")
    run_consensus(urls)
    run_apply(urls)
    assert list(read_table(urls[1], REGISTERED).rois) == names
    assert tree_of(tmp_path / "outside") == outside
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"outside", "plate.zarr", "plate.zarr.fractal-tasks-locks"}


# Names in arguments


@pytest.mark.parametrize(
    "name", ["../../x", "a/b", "", ".", "..", "/etc", ".hidden", "a\0", "x" * 300]
)
def test_registered_table_can_only_be_a_plain_name(
    tmp_path: Path, urls: list[str], name: str
) -> None:
    def call() -> None:
        run_consensus(urls, registered_roi_table=name)

    assert "registered_roi_table=" in refused(tmp_path, call, InvalidInputError)
    assert repr(name) in refused(
        tmp_path, lambda: run_apply(urls, registered_roi_table=name)
    )


@pytest.mark.parametrize("template", ["{0}", "{x}", "{input_roi_table.__class__}", "}"])
def test_name_of_the_registered_table_is_not_evaluated(
    tmp_path: Path, urls: list[str], template: str
) -> None:
    """`str.format` looked up attributes, and raised `AttributeError` without any."""

    def call() -> None:
        run_consensus(urls, registered_roi_table=template)

    assert "placeholder" in refused(tmp_path, call, InvalidInputError)


@pytest.mark.parametrize(
    ("task", "arguments"), [(run_calculate, {"level_path": "0"}), (run_consensus, {})]
)
@pytest.mark.parametrize("name", ["../../1/tables/FOV_ROI_table", "", "/etc", "a\0"])
def test_input_table_can_only_be_one_of_the_list(
    tmp_path: Path, urls: list[str], task: Any, arguments: dict[str, str], name: str
) -> None:
    message = refused(
        tmp_path,
        lambda: task(urls, input_roi_table=name, **arguments),
        FractalTasksError,
    )
    assert "table" in message


@pytest.mark.parametrize("suffix", ["/../../x", "..", "", "_", "a\0", "x" * 300, "é/"])
def test_output_image_lies_beside_its_input(
    tmp_path: Path, urls: list[str], suffix: str
) -> None:
    def call() -> None:
        run_apply(urls, overwrite_input=False, output_image_suffix=suffix)

    assert "output_image_suffix" in refused(tmp_path, call, InvalidInputError)


# Symbolic links


@pytest.mark.parametrize("link", ["A", "A/01", "A/01/1"])
def test_no_image_is_replaced_through_a_link_out_of_the_plate(
    tmp_path: Path, plate: Path, urls: list[str], link: str
) -> None:
    real = tmp_path / "outside" / "real"
    shutil.move(plate / link, real)
    (plate / link).symlink_to(real)
    message = refused(tmp_path, lambda: run_apply(urls[1:]), InvalidInputError)
    assert "symbolic link" in message


@pytest.mark.parametrize("task", [calculate, consensus])
@pytest.mark.parametrize("inner", ["", TABLE, ".zattrs"])
@pytest.mark.sampled(3)
def test_no_table_is_written_through_a_link(
    tmp_path: Path, urls: list[str], inner: str, task: Task
) -> None:
    linked, real = Path(urls[1]) / "tables" / inner, tmp_path / "outside" / "real"
    shutil.move(linked, real)
    linked.symlink_to(real)
    outside = tree_of(tmp_path / "outside")
    task(urls)
    assert tree_of(tmp_path / "outside") == outside
    assert read_table(urls[1]).rois


def test_plate_that_is_a_link_is_the_plate_it_leads_to(
    tmp_path: Path, plate: Path
) -> None:
    link = tmp_path / "link.zarr"
    link.symlink_to(plate)
    run_apply(image_urls(link, 2)[1:])
    record = zarr.open_group(plate / WELL / "1", mode="r").attrs["registration"]
    assert isinstance(record, dict)
    assert link.is_symlink()


@pytest.mark.parametrize("inner", ["1", "labels/nuclei", "tables/nuclei_features"])
@pytest.mark.sampled(2)
def test_replacing_an_image_deletes_nothing_behind_its_links(
    tmp_path: Path, urls: list[str], inner: str
) -> None:
    linked, real = Path(urls[1]) / inner, tmp_path / "outside" / "real"
    shutil.move(linked, real)
    linked.symlink_to(real)
    outside = tree_of(tmp_path / "outside")
    run_apply(urls[1:])
    assert tree_of(tmp_path / "outside") == outside
    assert linked.is_dir()
    assert not linked.is_symlink()


# Deleting


def workspace_of(plate: Path, target: str | None) -> Path:
    workspace = plate / WELL / f".fractal-tasks-1-{'0' * 32}"
    (workspace / "new").mkdir(parents=True)
    (workspace / "new" / "data").write_text("mine")
    if target is not None:
        (workspace / "marker.json").write_text(json.dumps({"target": target}))
    return workspace


@pytest.mark.parametrize(
    "target", [None, "../../../outside/x", "0", "/outside", "1/../0", "", [], "1\0"]
)
def test_folder_without_our_marker_is_never_deleted(
    tmp_path: Path, plate: Path, target: str | None
) -> None:
    workspace_of(plate, target)
    before = tree_of(tmp_path)
    heal(plate / WELL / "1")
    assert tree_of(tmp_path) == before


@pytest.mark.parametrize("name", ["1", "fractal-tasks-1-x", ".fractal-tasks-1-0"])
def test_folder_of_another_name_is_never_deleted(
    tmp_path: Path, plate: Path, name: str
) -> None:
    folder = plate / WELL / name
    folder.mkdir(exist_ok=True)
    (folder / "marker.json").write_text(json.dumps({"target": "1"}))
    before = tree_of(tmp_path)
    heal(plate / WELL / "1")
    assert tree_of(tmp_path) == before


@pytest.mark.parametrize("name", ["new", "old", "else"])
def test_clearing_our_folder_deletes_nothing_behind_links(
    tmp_path: Path, plate: Path, name: str
) -> None:
    workspace = workspace_of(plate, "1")
    shutil.rmtree(workspace / "new")
    (workspace / name).symlink_to(tmp_path / "outside")
    outside = tree_of(tmp_path / "outside")
    heal(plate / WELL / "1")
    assert not workspace.exists()
    assert tree_of(tmp_path / "outside") == outside
    assert (plate / WELL / "1" / ".zattrs").is_file()


def make_link(path: Path) -> None:
    ours = path.with_name("elsewhere.json")
    ours.write_text(json.dumps({"target": "1"}))
    path.symlink_to(ours)


def make_folder(path: Path) -> None:
    path.mkdir()
    (path / "results.csv").write_text("dear")


@pytest.mark.parametrize("is_alone", [True, False])
@pytest.mark.parametrize("make", [make_folder, make_link, os.mkfifo])
def test_marker_that_no_task_wrote_proves_nothing(
    tmp_path: Path, plate: Path, make: Callable[[Path], None], is_alone: bool
) -> None:
    workspace = workspace_of(plate, None)
    if is_alone:
        shutil.rmtree(workspace / "new")
    make(workspace / "marker.json")
    before = sorted(tmp_path.rglob("*"))
    heal(plate / WELL / "1")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("keeps_input", [True, False])
@pytest.mark.sampled(2)
def test_hard_linked_copy_of_a_plate_stays_as_it_was(
    tmp_path: Path, plate: Path, keeps_input: bool
) -> None:
    """A backup may share the files that did not change."""
    shutil.copytree(plate, tmp_path / "backup.zarr", copy_function=os.link)
    before = tree_of(tmp_path / "backup.zarr")
    urls = image_urls(plate, 2)
    run_calculate(urls, level_path="0")
    run_consensus(urls)
    run_apply(urls, overwrite_input=not keeps_input)
    assert tree_of(tmp_path / "backup.zarr") == before


# Code in data


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self._folder),)


@pytest.mark.parametrize("task", WRITERS)
@pytest.mark.parametrize(
    ("array", "filters", "compressor"),
    [
        ("0", [{"id": "pickle"}], None),
        ("0", [{"id": "vlen-utf8"}], {"id": "pickle"}),
        (f"tables/{TABLE}/X", [{"id": "vlen-utf8"}, {"id": "pickle"}], None),
        (f"tables/{TABLE}/obs/FieldIndex", [{"id": "vlen-utf8"}], {"id": "pickle"}),
    ],
)
def test_pickled_data_are_never_loaded(
    tmp_path: Path,
    urls: list[str],
    task: Task,
    array: str,
    filters: Any,
    compressor: Any,
) -> None:
    folder = Path(urls[1]) / array
    for file in folder.iterdir():
        if file.name not in {".zarray", ".zattrs"}:
            shutil.rmtree(file) if file.is_dir() else file.unlink()
    edit(
        folder / ".zarray",
        lambda content: content.update(
            dtype="|O", fill_value="", filters=filters, compressor=compressor
        ),
    )
    dimensions = len(json.loads((folder / ".zarray").read_text())["shape"])
    bomb = tmp_path / "exploded"
    (folder / ".".join("0" * dimensions)).write_bytes(pickle.dumps(Bomb(bomb)))
    refused(tmp_path, lambda: task(urls[1:] if task is run_apply else urls))
    assert not bomb.exists()
