"""The power fails at each step of a replacement: a short `stress.power_loss`."""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from stress.disks import Disk, Tree, states
from stress.plates import Stages
from stress.power_loss import Recording, cut_power, find_needless, record_jobs
from stress.recording import Operation

JOBS = [("calculate", False), ("calculate", True), ("apply", True)]


@pytest.fixture(scope="module")
def recordings(
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[tuple[str, bool], Recording]:
    """What tasks did to plates of their own."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace(1), which exists for Linux only")
    folder = tmp_path_factory.mktemp("power")
    stages = Stages(folder / "stages", "csv", columns=1)
    cases = [(*job, ()) for job in JOBS]
    return dict(zip(JOBS, record_jobs(folder, stages, cases), strict=True))


@pytest.mark.parametrize(("job", "limit"), list(zip(JOBS, (32, 32, 1), strict=True)))
@pytest.mark.sampled(3)
def test_a_power_loss_at_any_step_leaves_old_or_new_and_at_the_end_the_new(
    recordings: dict[tuple[str, bool], Recording],
    tmp_path: Path,
    job: tuple[str, bool],
    limit: int,
) -> None:
    counts = cut_power(recordings[job], tmp_path, limit, random.Random(0))
    assert counts["different states"] > 100
    assert counts["flushes with nothing to do"] == 0


@pytest.mark.parametrize("two_renames", [False, True])
def test_no_flush_can_be_left_out(
    recordings: dict[tuple[str, bool], Recording], tmp_path: Path, two_renames: bool
) -> None:
    """Which also shows that what is torn is seen."""
    recording = recordings["calculate", two_renames]
    assert find_needless(recording, tmp_path, 32, random.Random(0)) == []


def disk_after(*operations: Operation) -> Disk:
    disk = Disk({"a": b"old", "folder": None})
    for operation in operations:
        disk.do(operation)
    return disk


def found(disk: Disk) -> list[Tree]:
    unique: list[Tree] = []
    for state in states(disk, 1000, random.Random(0)):
        unique += [state] if state not in unique else []
    return unique


def contents(disk: Disk, path: str) -> Iterator[bytes | None]:
    return (state.get(path, b"(nothing)") for state in found(disk))


def test_what_is_written_is_whole_zeros_half_or_nothing_until_it_is_flushed() -> None:
    write = Operation("write", "a", offset=3, data=b"new!")
    assert set(contents(disk_after(write), "a")) == {
        b"old", b"oldnew!", b"oldne", b"old\0\0\0\0"
    }  # fmt: skip
    flushed = disk_after(write, Operation("flush", "a"))
    assert list(contents(flushed, "a")) == [b"oldnew!"]


def test_a_flushed_file_may_still_lose_its_name() -> None:
    make = Operation("make file", "folder/b")
    write = Operation("write", "folder/b", data=b"b")
    disk = disk_after(make, write, Operation("flush", "folder/b"))
    assert set(contents(disk, "folder/b")) == {b"(nothing)", b"b"}
    disk.do(Operation("flush", "folder"))
    assert list(contents(disk, "folder/b")) == [b"b"]


@pytest.mark.parametrize("order", [["", "folder"], ["folder", ""]])
def test_a_rename_is_done_or_not_until_both_folders_are_flushed(
    order: list[str],
) -> None:
    old: Tree = {"a": b"old", "folder": None}
    new: Tree = {"folder": None, "folder/b": b"old"}
    disk = disk_after(Operation("rename", "a", "folder/b"))
    for folder in order:
        assert found(disk) == [old, new]
        disk.do(Operation("flush", folder))
    assert found(disk) == [new]


def test_changes_may_be_lost_in_any_order() -> None:
    disk = disk_after(
        Operation("make folder", "folder/c"),
        Operation("rename", "a", "b"),
        Operation("remove", "b"),
    )
    # Any of them, or none, of each of two: the removal without the rename does nothing.
    assert len(found(disk)) == 2 * 3
    disk.do(Operation("flush all"))
    assert found(disk) == [{"folder": None, "folder/c": None}]
