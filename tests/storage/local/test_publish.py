"""At every instant, whatever happens, the old or the new version exists as a whole."""

import ctypes
import errno
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from fractal_tasks.errors import InvalidInputError, PublishError
from fractal_tasks.storage.local import publish
from fractal_tasks.storage.local.publish import heal, replace_directory, replace_file

DRIVER = Path(__file__).with_name("publish_driver.py")


def run_driver(*arguments: str, directory: Path) -> dict[str, Any]:
    command = [sys.executable, str(DRIVER), *arguments, str(directory)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image with one table, each a directory with one file that says 'old'."""
    path = tmp_path / "plate.zarr" / "B" / "03" / "1"
    (path / "tables" / "FOV").mkdir(parents=True)
    (path / "zarr.json").write_text("old")
    (path / "tables" / "FOV" / "zarr.json").write_text("old")
    return path


@pytest.fixture
def two_renames(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that cannot exchange directories, as NFS."""
    monkeypatch.setattr(publish, "_exchange", lambda first, second: False)


def accept(build: Path) -> None:
    """Find nothing wrong with a build."""


def build_new(path: Path) -> None:
    path.mkdir()
    (path / "zarr.json").write_text("new")


def replace(target: Path, image: Path) -> None:
    with replace_directory(target, image=image, validate=accept) as build:
        build_new(build)


def fail_in_body(image: Path, error: BaseException) -> None:
    with replace_directory(image, image=image, validate=accept) as build:
        build_new(build)
        raise error


def versions(well: Path) -> dict[str, str]:
    """Content of each file of a well by its path."""
    return {
        path.relative_to(well).as_posix(): path.read_text()
        for path in well.rglob("*")
        if path.is_file()
    }


OLD = {"1/zarr.json": "old", "1/tables/FOV/zarr.json": "old"}


SWITCHES = [
    pytest.param("exchange", "exists", {"old", "new"}, id="exchange"),
    pytest.param("two renames", "exists", {"old", "missing", "new"}, id="two-renames"),
    pytest.param("exchange", "missing", {"missing", "new"}, id="nothing-there-before"),
]
LINKED = [
    pytest.param("exchange", "linked", {"old", "new"}, id="link"),
    pytest.param("two renames", "linked", {"old", "missing", "new"}, id="link-renamed"),
]
"""Of images links are not replaced."""


@pytest.mark.parametrize(
    ("tree", "switch", "before", "seen"),
    [
        pytest.param(tree, *case.values, id=f"{tree}-{case.id}")
        for tree, cases in {"image": SWITCHES, "table": SWITCHES + LINKED}.items()
        for case in cases
    ],
)
@pytest.mark.sampled(2)
def test_a_kill_at_any_point_leaves_old_or_new_and_healing_clears_the_rest(
    tmp_path: Path, tree: str, switch: str, before: str, seen: set[str]
) -> None:
    """Healing, too, is killed at each of its points, and then done again."""
    result = run_driver("kill", switch, tree, before, directory=tmp_path)

    assert result["ended"] == {"killed": result["points"]}
    assert result["struck"].keys() == seen
    # Without an exchange the directory is missing between the two renames only.
    assert before == "missing" or result["struck"].get("missing", 0) <= 1
    assert result["heal struck"].keys() == seen
    assert result["healed"].keys() == {
        "missing" if before == "missing" else "old",
        "new",
    }
    assert result["clean"].keys() == {"True"}
    assert result["rerun"] == {"new": result["states"]}


@pytest.fixture
def fuse_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder on a FUSE file system, which refuses the exchange by itself."""
    if shutil.which("bindfs") is None:
        pytest.skip("needs bindfs(1)")
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    (tmp_path / "behind").mkdir()
    mount = ["bindfs", str(tmp_path / "behind"), str(mounted)]
    tried = subprocess.run(mount, capture_output=True, text=True)
    if tried.returncode != 0:
        pytest.skip(f"needs the right to mount: {tried.stderr.strip()}")
    yield mounted
    subprocess.run(["umount", str(mounted)], check=True)


@pytest.mark.parametrize("fault", ["kill", "fail once"])
def test_on_a_fuse_file_system_two_renames_are_struck_at_any_point(
    fuse_folder: Path, fault: str
) -> None:
    """Here nothing stands in for the file system's refusal."""
    result = run_driver(fault, "exchange", "table", "exists", directory=fuse_folder)
    assert result["struck"].keys() == {"old", "missing", "new"}
    assert result["healed"].keys() == {"old", "new"}
    assert result["clean"].keys() == {"True"}
    assert result["rerun"] == {"new": result["states"]}


@pytest.mark.parametrize("fault", ["fail once", "fail from then on"])
@pytest.mark.parametrize(("switch", "before", "seen"), SWITCHES + LINKED)
@pytest.mark.sampled(3)
def test_a_disk_that_fails_at_any_point_gives_an_error_unless_the_new_is_in_place(
    tmp_path: Path, fault: str, switch: str, before: str, seen: set[str]
) -> None:
    result = run_driver(fault, switch, "table", before, directory=tmp_path)

    assert result["ended"].keys() == {"PublishError", "done"}
    assert result["ended"]["done"] == result["struck"]["new"]
    assert result["struck"].keys() == seen
    assert result["healed"].keys() == {
        "missing" if before == "missing" else "old",
        "new",
    }
    assert result["clean"].keys() == {"True"}
    assert result["rerun"] == {"new": result["states"]}


@pytest.mark.parametrize("fault", ["kill", "fail once"])
@pytest.mark.parametrize("before", ["exists", "linked", "missing"])
def test_a_file_is_written_as_a_whole_or_not_at_all_and_healing_clears_the_rest(
    tmp_path: Path, fault: str, before: str
) -> None:
    old = "missing" if before == "missing" else "old"
    result = run_driver(fault, "exchange", "file", before, directory=tmp_path)

    assert result["struck"].keys() == {old, "new"}
    assert result["healed"].keys() == {old, "new"}
    assert result["clean"].keys() == {"True"}
    assert result["rerun"] == {"new": result["states"]}


def test_a_file_outside_the_well_or_in_a_linked_folder_is_not_written(
    image: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (image / "linked").symlink_to(outside)
    for target in (image.parents[1] / "zarr.json", image / "linked" / "zarr.json"):
        with pytest.raises(InvalidInputError, match="leads to"):
            replace_file(target, b"new", image=image)
    assert versions(image.parent) == OLD
    assert list(outside.iterdir()) == []


def test_a_reader_of_a_directory_that_is_exchanged_sees_whole_versions_only(
    tmp_path: Path,
) -> None:
    result = run_driver("read", "exchange", "image", "exists", directory=tmp_path)
    assert result.keys() <= {"old", "new"}
    assert result["old"] > 0


def test_a_table_is_replaced_and_nothing_else(image: Path) -> None:
    replace(image / "tables" / "FOV", image)
    assert versions(image.parent) == {
        "1/zarr.json": "old",
        "1/tables/FOV/zarr.json": "new",
    }
    assert [path.name for path in image.parent.iterdir()] == ["1"]


def test_an_image_is_added_beside_another(image: Path) -> None:
    added = image.with_name("1_registered")
    replace(added, added)
    assert versions(image.parent) == OLD | {"1_registered/zarr.json": "new"}


def test_the_old_is_in_place_until_the_body_and_the_validation_are_done(
    image: Path,
) -> None:
    def validate(build: Path) -> None:
        assert (build / "zarr.json").read_text() == "new"
        assert (image / "zarr.json").read_text() == "old"

    with replace_directory(image, image=image, validate=validate) as build:
        build_new(build)
        assert (image / "zarr.json").read_text() == "old"
    assert versions(image.parent) == {"1/zarr.json": "new"}


def test_the_build_is_validated_and_on_disk_before_the_switch(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []

    def record(name: str, step: Callable[..., None]) -> Callable[..., None]:
        def run(*arguments: Path) -> None:
            steps.append(name)
            step(*arguments)

        return run

    for name in ("_flush_file_system", "_switch"):
        monkeypatch.setattr(publish, name, record(name, getattr(publish, name)))
    with replace_directory(
        image, image=image, validate=record("validate", accept)
    ) as build:
        build_new(build)
    assert steps == ["validate", "_flush_file_system", "_switch"]


def test_a_plate_reached_through_a_symbolic_link_is_written_where_it_is(
    image: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(image.parents[2])
    linked = link / "B" / "03" / "1"
    heal(linked)
    replace(linked / "tables" / "FOV", linked)
    assert link.is_symlink()
    assert versions(image.parent) == OLD | {"1/tables/FOV/zarr.json": "new"}


def test_only_the_standard_library_is_imported() -> None:
    """A task heals before it reads: this must not cost the import of ngio."""
    code = (
        "import sys; from fractal_tasks.storage.local import publish, locks;"
        "print({'ngio', 'zarr', 'numpy', 'pydantic'} & sys.modules.keys())"
    )
    command = [sys.executable, "-c", code]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert output == "set()\n"


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_an_error_of_the_body_passes_and_leaves_all_as_it_was(
    image: Path, error: BaseException
) -> None:
    with pytest.raises(type(error)) as caught:
        fail_in_body(image, error)
    assert caught.value is error
    assert versions(image.parent) == OLD


def test_a_build_that_is_not_valid_is_not_published(image: Path) -> None:
    def refuse(build: Path) -> None:
        raise ValueError("level 2 is missing")

    with (
        pytest.raises(ValueError, match="level 2"),
        replace_directory(image, image=image, validate=refuse) as build,
    ):
        build_new(build)
    assert versions(image.parent) == OLD


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_full_disk_is_an_error_that_says_the_old_is_untouched(
    image: Path, code: int
) -> None:
    error = OSError(code, os.strerror(code), "c/0/0")
    with pytest.raises(PublishError, match="before is untouched") as caught:
        fail_in_body(image, error)
    assert str(image) in str(caught.value)
    assert "c/0/0" in str(caught.value)
    assert caught.value.__cause__ is error
    assert versions(image.parent) == OLD


def test_an_error_that_shows_only_when_the_disk_is_flushed_is_not_missed(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS and delayed allocation report a full disk as late as that."""
    refuse = failing_call(errno.ENOSPC)
    monkeypatch.setattr(publish, "_libc", SimpleNamespace(syncfs=refuse))
    with pytest.raises(PublishError, match="No space left"):
        replace(image, image)
    assert versions(image.parent) == OLD


def test_all_file_systems_are_flushed_where_one_alone_cannot_be(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(publish, "_libc", SimpleNamespace())
    monkeypatch.setattr(os, "sync", lambda: calls.append("sync"))
    replace(image, image)
    assert calls == ["sync"]
    assert versions(image.parent) == {"1/zarr.json": "new"}


def test_a_second_rename_that_fails_says_where_the_versions_are_and_is_healed(
    image: Path, monkeypatch: pytest.MonkeyPatch, two_renames: None
) -> None:
    rename = Path.rename

    def refuse(path: Path, target: Path) -> None:
        if path.name == "new":
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refuse)
        with pytest.raises(PublishError, match="could not be put in place") as caught:
            replace(image, image)
    (workspace,) = image.parent.iterdir()
    assert str(workspace / "old") in str(caught.value)
    assert versions(workspace / "old") == {
        "zarr.json": "old",
        "tables/FOV/zarr.json": "old",
    }
    heal(image)
    assert versions(image.parent) == {"1/zarr.json": "new"}


def test_an_old_version_that_cannot_be_removed_is_left_to_the_next_task(
    image: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A reader on NFS keeps the files it has open from being removed."""

    def refuse(path: Path) -> None:
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(path))

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", refuse)
        replace(image, image)
    (message,) = caplog.messages
    assert "could not be removed" in message
    assert versions(image) == {"zarr.json": "new"}
    heal(image)
    assert versions(image.parent) == {"1/zarr.json": "new"}


def refuses(target: Path, image: Path, error: type[Exception], match: str) -> None:
    with (
        pytest.raises(error, match=match),
        replace_directory(target, image=image, validate=accept),
    ):
        pytest.fail("the body ran")


@pytest.mark.parametrize(
    "target", ["2", "", "1/../2", "1/tables/../../2", "../../C/03/1", "/tmp"]
)
def test_a_target_outside_the_image_is_refused(image: Path, target: str) -> None:
    refuses(image.parent / target, image, InvalidInputError, r"not inside|'\.\.'")


def test_nothing_is_written_behind_a_symbolic_link(image: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = image.with_name("2")
    link.symlink_to(tmp_path / "elsewhere")
    (image / "labels").symlink_to(tmp_path / "elsewhere")
    refuses(link, link, InvalidInputError, "symbolic link")
    refuses(image / "labels" / "x", image, InvalidInputError, "symbolic link")


@pytest.mark.parametrize(("closed", "is_refused"), [("tables", True), ("empty", False)])
def test_an_image_of_which_a_part_cannot_be_removed_is_refused(
    image: Path, monkeypatch: pytest.MonkeyPatch, closed: str, is_refused: bool
) -> None:
    (image / "empty").mkdir()
    may = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: path != image / closed and may(path, mode)
    )
    if is_refused:
        refuses(image, image, PublishError, f"no permission to write in {image}/tables")
    else:
        replace(image, image)


def test_a_well_that_does_not_exist_is_refused(image: Path) -> None:
    missing = image.parents[1] / "04" / "1"
    refuses(missing, missing, InvalidInputError, "04/1: its well")
    with pytest.raises(InvalidInputError, match="04/1: its well"):
        heal(missing)


def test_a_parent_group_that_does_not_exist_is_refused(image: Path) -> None:
    refuses(image / "labels" / "nuclei", image, PublishError, "labels is not a dir")


def test_a_file_is_not_replaced(image: Path) -> None:
    refuses(image / "zarr.json", image, PublishError, "zarr.json is not a directory")


@pytest.mark.parametrize("read_only", [".", "1/tables", "1/tables/FOV"])
def test_a_directory_without_write_permission_is_refused(
    image: Path, monkeypatch: pytest.MonkeyPatch, read_only: str
) -> None:
    """The last: to move a directory to another parent takes writing it."""
    closed = image.parent / read_only
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != closed)
    refuses(image / "tables" / "FOV", image, PublishError, f"write in {closed}")


def test_a_target_on_another_file_system_is_refused(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = Path.stat

    def stat_elsewhere(path: Path, **options: bool) -> os.stat_result:
        status = list(stat(path, **options))
        device = 2
        status[device] += path == image
        return os.stat_result(status)

    monkeypatch.setattr(Path, "stat", stat_elsewhere)
    refuses(image, image, PublishError, "another file system")


def interrupt(image: Path, target: str, *content: str) -> Path:
    """What a killed run leaves: a workspace with `content` ('new', 'old')."""
    workspace = image.with_name(f".fractal-tasks-{image.name}-{uuid4().hex}")
    workspace.mkdir()
    (workspace / "marker.json").write_text(json.dumps({"target": target}))
    for name in content:
        (workspace / name).mkdir()
        (workspace / name / "zarr.json").write_text(f"set aside as {name}")
    return workspace


def test_healing_says_in_one_line_what_it_clears(
    image: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    first = interrupt(image, "1", "new")
    second = interrupt(image, "1/tables/FOV", "new")
    heal(image)
    heal(image)
    assert sorted(caplog.messages) == sorted(
        [
            f"Clearing {first}: replacing {image} was interrupted.",
            f"Clearing {second}: replacing {image}/tables/FOV was interrupted.",
        ]
    )
    assert versions(image.parent) == OLD


def test_healing_an_image_leaves_the_work_on_other_images_alone(image: Path) -> None:
    others = {
        interrupt(image.with_name(name), name, "new") for name in ("10", "1-1", "2")
    }
    heal(image)
    assert set(image.parent.iterdir()) == {image} | others


def test_healing_restores_an_image_that_is_missing(image: Path) -> None:
    missing = image.with_name("2+")
    interrupt(missing, "2+", "old", "new")
    heal(missing)
    assert versions(image.parent) == OLD | {"2+/zarr.json": "set aside as new"}


@pytest.mark.parametrize("marker", ["", '{"targ'])
def test_healing_removes_a_workspace_whose_marker_was_never_finished(
    image: Path, marker: str
) -> None:
    (interrupt(image, "") / "marker.json").write_text(marker)
    heal(image)
    assert list(image.parent.iterdir()) == [image]


def test_healing_clears_what_is_left_of_an_image_that_was_deleted(image: Path) -> None:
    gone = image.with_name("2")
    interrupt(gone, "2/tables/FOV", "new")
    heal(gone)
    assert versions(image.parent) == OLD


@pytest.mark.parametrize(
    "content", [("old", "new"), ("old",)], ids=["added", "removed"]
)
def test_a_version_set_aside_is_never_removed_if_others_changed_its_place(
    image: Path, content: tuple[str, ...]
) -> None:
    """Someone created the directory between the renames, or removed it after them."""
    target = image if "new" in content else image.with_name("2")
    workspace = interrupt(target, target.name, *content)
    before = versions(image.parent)
    with pytest.raises(PublishError, match="someone else") as caught:
        heal(target)
    assert str(workspace) in str(caught.value)
    assert versions(image.parent) == before


@pytest.mark.parametrize(
    "marker",
    [
        "",
        "[]",
        "{}",
        '{"target": 1}',
        '{"target": "2"}',
        '{"target": "../03/2"}',
        '{"target": "1/../2"}',
        '{"target": "/tmp"}',
        '{"target": "1/link/x"}',
    ],
)
def test_a_workspace_whose_marker_proves_nothing_is_left_alone(
    image: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, marker: str
) -> None:
    (image / "link").symlink_to(tmp_path)
    workspace = interrupt(image, "", "old", "new")
    (workspace / "marker.json").write_text(marker)
    before = versions(image.parent)
    heal(image)
    assert versions(image.parent) == before
    (message,) = caplog.messages
    assert message.startswith(f"Left {workspace} alone")


def test_folders_of_others_are_left_alone(image: Path) -> None:
    name = f".fractal-tasks-1-{uuid4().hex}"
    for foreign in (".hidden", ".fractal-tasks", ".fractal-tasks-1-x", f"{name}-x"):
        (image.parent / foreign / "new").mkdir(parents=True)
        (image.parent / foreign / "marker.json").write_text('{"target": "1"}')
    (image.parent / name).write_text("a file")
    (image.parent / f".fractal-tasks-1-{uuid4().hex}" / "data").mkdir(parents=True)
    before = set(image.parent.rglob("*"))
    heal(image)
    assert set(image.parent.rglob("*")) == before


def test_no_symbolic_link_is_followed(image: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "marker.json").write_text('{"target": "1"}')
    (precious / "data").write_text("precious")
    before = versions(precious)
    foreign = image.parent / f".fractal-tasks-1-{uuid4().hex}"
    foreign.symlink_to(precious)
    (interrupt(image, "1") / "new").symlink_to(precious)
    (interrupt(image, "1", "new") / "new" / "link").symlink_to(precious)
    (image / "link").symlink_to(precious)
    heal(image)
    replace(image, image)
    assert versions(precious) == before
    assert set(image.parent.iterdir()) == {image, foreign}
    assert versions(image) == {"zarr.json": "new"}


def failing_call(code: int) -> Callable[..., int]:
    def call(*_: object) -> int:
        ctypes.set_errno(code)
        return -1

    return call


def test_an_exchange_swaps_both_directories_or_none(image: Path) -> None:
    other = image.with_name("2")
    build_new(other)
    swapped = publish._exchange(image, other)
    expected = ("new", "old") if swapped else ("old", "new")
    found = [(path / "zarr.json").read_text() for path in (image, other)]
    assert tuple(found) == expected


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, None])
def test_two_renames_do_where_the_file_system_cannot_exchange(
    image: Path, monkeypatch: pytest.MonkeyPatch, code: int | None
) -> None:
    calls = {} if code is None else {"renameat2": failing_call(code)}
    monkeypatch.setattr(publish, "_libc", SimpleNamespace(**calls))
    monkeypatch.setattr(os, "sync", lambda: None)
    replace(image, image)
    assert versions(image.parent) == {"1/zarr.json": "new"}


def test_an_exchange_that_fails_for_another_reason_is_an_error(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = SimpleNamespace(renameat2=failing_call(errno.EACCES))
    monkeypatch.setattr(publish, "_libc", calls)
    monkeypatch.setattr(os, "sync", lambda: None)
    with pytest.raises(PublishError, match="Permission denied"):
        replace(image, image)
    assert versions(image.parent) == OLD


def test_a_stale_handle_is_an_error_and_no_version_is_lost(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error taken for 'there is no old' would have both removed."""
    workspace = interrupt(image.with_name("2"), "2", "old", "new")
    before = versions(image.parent)
    lstat = os.lstat

    def refuse(path: Path) -> os.stat_result:
        if Path(path).parent == workspace:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path))
        return lstat(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "lstat", refuse)
        with pytest.raises(
            PublishError, match=r"Stale file handle.*run the task again"
        ):
            heal(image.with_name("2"))
    assert versions(image.parent) == before
    heal(image.with_name("2"))
    assert versions(image.parent) == OLD | {"2/zarr.json": "set aside as new"}


def test_an_image_that_another_node_moved_and_that_is_still_seen_is_healed(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client of a file server may see names for seconds that are no more."""
    moved = image.with_name("2")
    interrupt(moved, "2", "old", "new")
    stat = os.stat

    def remember(path: Path, **options: Any) -> os.stat_result:
        return stat(image if Path(path) == moved else path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", remember)
        assert moved.exists()
        heal(moved)
    assert versions(image.parent) == OLD | {"2/zarr.json": "set aside as new"}
