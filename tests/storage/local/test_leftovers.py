"""What the dead, older versions and others left beside a plate, and wrong clocks."""

import json
import logging
import os
import shutil
from pathlib import Path

import pytest

from fractal_tasks.discovery import discover_images
from fractal_tasks.errors import PublishError
from fractal_tasks.storage.local.locks import image_lock
from fractal_tasks.storage.local.publish import heal
from fractal_tasks.synthetic import create_plate
from tests.conftest import SMALL
from tests.storage.tiny import without_versions
from tests.tasks.plates import (
    WELL,
    image_urls,
    run_apply,
    run_calculate,
    run_consensus,
    tree_of,
)

HEX = "0123456789abcdef" * 2
PAST, FUTURE = 0, 4_102_444_800  # 1970 and 2100
OLDER = {"target": "1", "version": "0.0.1", "created": "1970-01-01T00:00:00+00:00"}
FROM_THE_FUTURE = {
    "target": "1/tables/FOV_ROI_table",
    "version": "99.0",
    "created": "2100-01-01T00:00:00+00:00",
    "host": "a host that is no more",
    "pid": 1,
    "unknown": {"to": ["this", "version"]},
}


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "plate.zarr" / WELL / "1"
    (path / "tables" / "FOV_ROI_table").mkdir(parents=True)
    (path / "tables" / "FOV_ROI_table" / "zarr.json").write_text("the table")
    return path


def leave_workspace(image: Path, marker: object, number: int = 0) -> Path:
    """What a killed run leaves while it builds."""
    uuid = f"{number}{HEX[1:]}"
    workspace = image.with_name(f".fractal-tasks-{image.name}-{uuid}")
    (workspace / "new").mkdir(parents=True)
    (workspace / "new" / "zarr.json").write_text("half")
    (workspace / "marker.json").write_text(json.dumps(marker))
    return workspace


def leave_lock(image: Path, content: bytes) -> Path:
    plate = image.parents[2]
    directory = plate.with_name(f"{plate.name}.fractal-tasks-locks")
    directory.mkdir(exist_ok=True)
    lock = directory / ("_".join(image.parts[-3:]) + ".lock")
    lock.write_bytes(content)
    return lock


@pytest.mark.parametrize(
    "content", [b"", b"1", b"pid 4711 on a host that is no more\n", bytes(100_000)]
)
def test_a_lock_file_of_the_dead_is_taken_whatever_is_in_it(
    image: Path, content: bytes
) -> None:
    lock = leave_lock(image, content)
    with image_lock(image):
        assert lock.read_bytes() == content
    assert lock.read_bytes() == content


def test_lock_files_of_other_images_are_left_alone(image: Path) -> None:
    other = leave_lock(image.with_name("2"), b"another worker's")
    with image_lock(image):
        pass
    assert other.read_bytes() == b"another worker's"


@pytest.mark.parametrize(
    "marker", [{"target": "1"}, OLDER, FROM_THE_FUTURE], ids=["bare", "older", "newer"]
)
def test_a_workspace_of_another_version_is_healed(
    image: Path, marker: dict[str, object]
) -> None:
    """All it takes is what was to be replaced; version and date decide nothing."""
    before = tree_of(image)
    leave_workspace(image, marker)
    heal(image)
    assert list(image.parent.iterdir()) == [image]
    assert tree_of(image) == before


def test_a_workspace_of_another_version_that_holds_the_image_is_put_back(
    image: Path,
) -> None:
    """Killed between two renames, before the update and with the clock ahead."""
    workspace = leave_workspace(image, OLDER)
    image.rename(workspace / "old")
    for path in (workspace, *workspace.rglob("*")):
        os.utime(path, (FUTURE, FUTURE))
    heal(image)
    assert tree_of(image.parent) == {"1/zarr.json": b"half"}


def test_folders_of_others_are_left_alone_without_a_word(
    image: Path, caplog: pytest.LogCaptureFixture
) -> None:
    well = image.parent
    for name in (".snapshot", ".fractal-tasks", ".fractal-tasks-1-old", ".1.tmp"):
        (well / name).mkdir()
        (well / name / "marker.json").write_text('{"target": "1"}')
    (well / f".fractal-tasks-1-{HEX}").write_text("a file")
    (well / f".fractal-tasks-1-0{HEX[1:]}"[:-1]).mkdir()
    (well / f".fractal-tasks-1-{HEX[::-1]}").symlink_to(image)
    before = tree_of(well)
    with caplog.at_level(logging.INFO):
        heal(image)
    assert tree_of(well) == before
    assert caplog.messages == []


def test_a_workspace_that_cannot_be_looked_into_is_left_alone_with_a_warning(
    image: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    workspace = leave_workspace(image, OLDER)
    before = tree_of(image.parent)
    close(monkeypatch, workspace)
    heal(image)
    monkeypatch.undo()
    assert tree_of(image.parent) == before
    (message,) = caplog.messages
    assert message.startswith(f"Left {workspace} alone")


def test_a_well_that_cannot_be_listed_is_an_error_that_says_so(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close(monkeypatch, image.parent)
    with pytest.raises(PublishError, match=f"{image.parent} cannot be .*permissions"):
        heal(image)


def close(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Take away the right to list a folder, also from root."""
    listdir = os.listdir

    def refuse(path: Path) -> list[str]:
        if Path(path) == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return listdir(path)

    monkeypatch.setattr(os, "listdir", refuse)


def run_all(plate: Path) -> dict[str, bytes]:
    urls = image_urls(plate, 2)
    run_calculate(urls, level_path="1")
    run_consensus(urls, min_confidence=0.0)
    run_apply(urls)
    return without_versions(tree_of(plate))


@pytest.mark.e2e
def test_clocks_and_leftovers_change_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"field_size_px": 64, "acquisitions": 2, "channels": 1, "levels": 3}
    plate = create_plate(
        tmp_path / "plain" / "plate.zarr", SMALL.model_copy(update=options)
    )
    left = Path(shutil.copytree(plate, tmp_path / "left" / "plate.zarr"))
    expected = run_all(plate)

    image = left / WELL / "1"
    for number, marker in enumerate((OLDER, FROM_THE_FUTURE)):
        leave_workspace(image, marker, number)
    foreign = leave_workspace(image, {"made by": "someone else"}, number=2)
    for path in (image, image.with_name("0")):
        leave_lock(path, b"held by the dead")
    for number, path in enumerate(sorted(left.parent.rglob("*"))):
        time = (PAST, FUTURE)[number % 2]
        os.utime(path, (time, time))
    assert discover_images([str(left)]).images == image_urls(left, 2)
    found = run_all(left)

    prefix = f"{WELL}/{foreign.name}/"
    assert {path: data for path, data in found.items() if prefix not in path} == (
        expected
    )
    assert {path for path in found if prefix in path} == {
        f"{prefix}marker.json",
        f"{prefix}new/zarr.json",
    }
    assert any(f"Left {foreign} alone" in message for message in caplog.messages)
    assert sorted(path.name for path in left.parent.iterdir()) == [
        "plate.zarr", "plate.zarr.fractal-tasks-locks"
    ]  # fmt: skip
