"""Locks exclude, whoever dies, and leave nothing behind."""

import errno
import fcntl
import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import zarr
from filelock import Timeout
from ngio.utils import ZarrGroupHandler

from fractal_tasks.errors import PublishError
from fractal_tasks.storage.locks import image_lock, well_lock

DRIVER = Path(__file__).with_name("lock_driver.py")
WORKERS, TURNS = 4, 150


def run_workers(mode: str, directory: Path) -> dict[str, object]:
    command = [sys.executable, str(DRIVER), mode, str(directory)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "plate.zarr" / "B" / "03" / "1"
    path.mkdir(parents=True)
    return path


def test_processes_that_hammer_a_lock_are_inside_one_at_a_time(tmp_path: Path) -> None:
    assert run_workers("plain", tmp_path) == {
        "codes": [0] * WORKERS,
        "count": WORKERS * TURNS,
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["counter", "plate.zarr"]


def test_a_lock_excludes_where_unlinking_an_open_file_only_renames_it(
    tmp_path: Path,
) -> None:
    """NFS clients do so; the link count then does not tell that a lock was retired."""
    assert run_workers("nfs", tmp_path) == {
        "codes": [0] * WORKERS,
        "count": WORKERS * TURNS,
    }


def test_a_lock_passes_on_when_its_holder_is_killed(tmp_path: Path) -> None:
    turns_before_death = 10
    assert run_workers("killed", tmp_path) == {
        "codes": [0, -9, 0, -9],
        "count": 2 * TURNS + 2 * turns_before_death,
    }


def test_lock_files_lie_beside_the_plate_while_held_and_nowhere_after(
    image: Path,
) -> None:
    plate = image.parents[2]
    with image_lock(image.parent / "0"), image_lock(image):
        directory = plate.with_name("plate.zarr.fractal-tasks-locks")
        names = sorted(path.name for path in directory.iterdir())
        assert names == ["B_03_0.lock", "B_03_1.lock"]
        assert [path.name for path in plate.rglob("*")] == ["B", "03", "1"]
    assert list(plate.parent.iterdir()) == [plate]


def test_the_lock_of_a_well_is_the_one_that_ngio_takes_and_leaves_nothing(
    image: Path,
) -> None:
    plate, well = image.parents[2], image.parent
    for group in (plate, well):
        zarr.create_group(group)
    ngio_lock = ZarrGroupHandler(plate).get_handler("B/03").lock
    with well_lock(well), pytest.raises(Timeout):
        ngio_lock.acquire(timeout=0)
    with ngio_lock:
        descriptor = os.open(ngio_lock.lock_file, os.O_RDWR)
        with pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)
    with well_lock(well):
        pass
    assert list(plate.parent.iterdir()) == [plate]


def test_a_lock_is_released_when_its_holder_raises(image: Path) -> None:
    with pytest.raises(KeyError), image_lock(image):
        raise KeyError
    with image_lock(image):
        pass


def test_different_images_do_not_wait_for_each_other(image: Path) -> None:
    with image_lock(image), image_lock(image.with_name("2")):
        pass


def test_two_paths_to_one_image_share_its_lock(image: Path) -> None:
    plate = image.parents[2]
    link = plate.with_name("link.zarr")
    link.symlink_to(plate)
    with image_lock(link / "B" / "03" / "1"):
        names = {path.name for path in plate.parent.iterdir()}
    assert names == {"plate.zarr", "link.zarr", "plate.zarr.fractal-tasks-locks"}


def test_waiting_for_a_lock_logs_one_line_that_names_it(
    image: Path, caplog: pytest.LogCaptureFixture
) -> None:
    waiting = threading.Event()
    caplog.handler.addFilter(lambda record: waiting.set() or True)
    caplog.set_level(logging.INFO, "fractal_tasks.storage.locks")

    def wait() -> None:
        with image_lock(image):
            pass

    waiter = threading.Thread(target=wait)
    with image_lock(image):
        waiter.start()
        assert waiting.wait(timeout=30)
    waiter.join()
    (message,) = caplog.messages
    assert str(image.parents[2]) + ".fractal-tasks-locks/B_03_1.lock" in message


def test_a_forked_child_does_not_keep_the_lock_of_its_parent(image: Path) -> None:
    """The child's copy of the descriptor is the same lock as the parent's."""
    path = image.parents[3] / "plate.zarr.fractal-tasks-locks" / "B_03_1.lock"
    with image_lock(image):
        inherited = [os.dup(number) for number in descriptors_of(path)]
        waiting = os.open(path, os.O_RDWR)
    fcntl.flock(waiting, fcntl.LOCK_EX | fcntl.LOCK_NB)
    for descriptor in (waiting, *inherited):
        os.close(descriptor)
    assert len(inherited) == 1


def descriptors_of(path: Path) -> list[int]:
    """The descriptors by which this process has a file open."""
    status = path.stat()
    found = []
    for number in range(3, 1024):
        try:
            if os.path.samestat(os.fstat(number), status):
                found.append(number)
        except OSError:
            continue
    return found


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_folder_that_cannot_hold_locks_is_an_error_that_says_so(
    image: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(path: Path) -> None:
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(os, "mkdir", refuse)
    with (
        pytest.raises(PublishError, match="beside the plate") as caught,
        image_lock(image),
    ):
        pass
    assert str(image.parents[3]) in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)


def test_a_missing_folder_of_the_plate_is_an_error(tmp_path: Path) -> None:
    image = tmp_path / "nowhere" / "plate.zarr" / "B" / "03" / "1"
    with pytest.raises(PublishError, match="nowhere"), image_lock(image):
        pass


def test_a_lock_folder_that_leads_nowhere_is_an_error(image: Path) -> None:
    plate = image.parents[2]
    folder = plate.with_name(f"{plate.name}.fractal-tasks-locks")
    folder.symlink_to(plate.with_name("nowhere"))
    with pytest.raises(PublishError, match="beside the plate"), image_lock(image):
        pass


def test_a_file_system_without_flock_is_an_error(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(PublishError, match="supports flock"), image_lock(image):
        pass
