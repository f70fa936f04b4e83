"""Locks exclude, whoever dies, and leave nothing in the plate."""

import errno
import fcntl
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zarr
from filelock import Timeout
from ngio.utils import ZarrGroupHandler

from fractal_tasks.errors import PublishError
from fractal_tasks.storage.local import locks
from fractal_tasks.storage.local.locks import _lock_of, image_lock, well_lock

DRIVER = Path(__file__).with_name("lock_driver.py")
WORKERS, TURNS, CROWD = 4, 150, 48
TURNS_BEFORE_DEATH = 10


def run_workers(mode: str, directory: Path) -> dict[str, object]:
    command = [sys.executable, str(DRIVER), mode, str(directory)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output)


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_POLL_S", 0.01)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "plate.zarr" / "B" / "03" / "1"
    path.mkdir(parents=True)
    (path.parents[2] / ".zattrs").touch()
    return path


@pytest.fixture
def lock_file(image: Path) -> Path:
    return image.parents[3] / "plate.zarr.fractal-tasks-locks" / "B_03_1.lock"


def test_processes_that_hammer_a_lock_are_inside_one_at_a_time(tmp_path: Path) -> None:
    assert run_workers("plain", tmp_path) == {
        "codes": [0] * WORKERS,
        "count": WORKERS * TURNS,
    }
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    folder = "plate.zarr.fractal-tasks-locks"
    plate = {"plate.zarr", "plate.zarr/.zattrs"}
    assert left == {"counter", "over", *plate, folder, f"{folder}/B_03_1.lock"}


def test_a_crowd_that_waits_gets_the_lock_each_in_turn(tmp_path: Path) -> None:
    assert run_workers("crowd", tmp_path) == {"codes": [0] * CROWD, "count": CROWD}


def test_a_lock_passes_on_when_its_holder_is_killed(tmp_path: Path) -> None:
    assert run_workers("killed", tmp_path) == {
        "codes": [0, -9, 0, -9],
        "count": 2 * TURNS + 2 * TURNS_BEFORE_DEATH,
    }


def test_a_lock_passes_on_when_its_holder_is_killed_and_a_child_of_it_lives(
    tmp_path: Path,
) -> None:
    """The kernel frees a lock only with the last copy of its descriptor."""
    assert run_workers("orphan", tmp_path) == {
        "codes": [-9] * WORKERS,
        "count": WORKERS * TURNS_BEFORE_DEATH,
    }


def test_two_threads_of_a_process_exclude_each_other(tmp_path: Path) -> None:
    image = tmp_path / "plate.zarr" / "B" / "03" / "1"
    image.parents[2].mkdir()
    (image.parents[2] / ".zattrs").touch()
    inside, most = [], []

    def work() -> None:
        for _ in range(20):
            with image_lock(image):
                inside.append(threading.get_ident())
                time.sleep(0.001)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 40


def test_a_thread_that_takes_a_lock_twice_is_told_so(image: Path) -> None:
    with image_lock(image), pytest.raises(RuntimeError, match="Deadlock"):
        image_lock(image).__enter__()


def test_lock_files_lie_beside_the_plate_and_stay_there(image: Path) -> None:
    """One that is removed and made again can be held twice, on NFS above all.

    There an open file is only renamed when it is removed, so the worker that has locked
    it cannot see that others have a new one.
    """
    plate = image.parents[2]
    directory = plate.with_name("plate.zarr.fractal-tasks-locks")
    with image_lock(image.parent / "0"), image_lock(image):
        held = {path.name: path.stat().st_ino for path in directory.iterdir()}
        assert sorted(held) == ["B_03_0.lock", "B_03_1.lock"]
    with image_lock(image):
        pass
    left = {path.name: path.stat().st_ino for path in directory.iterdir()}
    assert left == held
    assert sorted(plate.parent.iterdir()) == [plate, directory]
    assert {path.name for path in plate.rglob("*")} == {".zattrs", "B", "03", "1"}


@pytest.mark.parametrize(
    ("umask", "of_folder", "of_file"), [(0o002, 0o775, 0o664), (0o022, 0o755, 0o644)]
)
def test_the_umask_decides_whether_others_of_the_group_can_lock(
    image: Path, lock_file: Path, umask: int, of_folder: int, of_file: int
) -> None:
    before = os.umask(umask)
    try:
        with image_lock(image):
            pass
    finally:
        os.umask(before)
    modes = [path.stat().st_mode & 0o777 for path in (lock_file.parent, lock_file)]
    assert modes == [of_folder, of_file]


def test_the_lock_is_on_the_file_of_its_path_if_another_was_removed_meanwhile(
    image: Path, lock_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody tidies up between opening and locking."""
    flock = fcntl.flock
    removals = iter([lock_file.unlink])

    def remove_first(descriptor: int, operation: int) -> None:
        for remove in removals:
            remove()
        flock(descriptor, operation)

    monkeypatch.setattr("fcntl.flock", remove_first)
    with image_lock(image):
        assert not can_be_locked(lock_file)


def can_be_locked(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def test_the_lock_of_a_well_is_the_one_that_ngio_takes(image: Path) -> None:
    plate, well = image.parents[2], image.parent
    for group in (plate, well):
        zarr.create_group(group)
    ngio_lock = ZarrGroupHandler(plate).get_handler("B/03").lock
    path = Path(ngio_lock.lock_file)
    with well_lock(well), pytest.raises(Timeout):
        ngio_lock.acquire(timeout=0)
    inode = path.stat().st_ino
    with ngio_lock:
        assert not can_be_locked(path)
        with pytest.raises(RuntimeError, match="Deadlock"):
            well_lock(well).__enter__()
    with well_lock(well):
        pass
    assert path.stat().st_ino == inode
    assert sorted(plate.parent.iterdir()) == [plate, path.parent]


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
    image: Path, lock_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    waiting = threading.Event()
    caplog.handler.addFilter(lambda record: waiting.set() or True)
    caplog.set_level(logging.INFO, "fractal_tasks.storage.local.locks")

    def wait() -> None:
        with image_lock(image):
            pass

    waiter = threading.Thread(target=wait)
    with image_lock(image):
        waiter.start()
        assert waiting.wait(timeout=30)
        time.sleep(0.05)  # some attempts more
    waiter.join()
    assert caplog.messages == [f"Waiting for {lock_file}, which another worker holds."]


def test_a_copy_of_the_descriptor_does_not_keep_the_lock(
    image: Path, lock_file: Path
) -> None:
    """A child forked outside Python's sight has one, and it is the same lock."""
    with image_lock(image):
        inherited = [os.dup(number) for number in descriptors_of(lock_file)]
    assert can_be_locked(lock_file)
    for descriptor in inherited:
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
    def refuse(path: Path, mode: int) -> None:
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


@pytest.mark.parametrize("is_there", [True, False], ids=["somewhere", "nowhere"])
def test_a_lock_folder_that_is_a_link_is_an_error(image: Path, is_there: bool) -> None:
    plate = image.parents[2]
    folder = plate.with_name(f"{plate.name}.fractal-tasks-locks")
    elsewhere = plate.with_name("elsewhere")
    if is_there:
        elsewhere.mkdir()
    folder.symlink_to(elsewhere)
    with pytest.raises(PublishError, match="Remove the link"), image_lock(image):
        pass
    assert elsewhere.exists() == is_there
    assert not is_there or not list(elsewhere.iterdir())


@pytest.mark.parametrize("is_hard", [True, False], ids=["hard", "symbolic"])
@pytest.mark.parametrize("kind", ["image", "well"])
def test_a_lock_file_that_is_a_link_changes_nothing_where_it_leads(
    image: Path, lock_file: Path, kind: str, is_hard: bool
) -> None:
    """Up to 4.2.0, filelock cut a hard link to no bytes, and with it all its names."""
    well = image.parent
    if kind == "well":
        folder = lock_file.parent.with_name("plate.zarr.ngio-locks")
        lock_file = folder / "B%2F03.lock"
    other = image.parents[3] / "results.csv"
    other.write_text("dear")
    lock_file.parent.mkdir()
    if is_hard:
        lock_file.hardlink_to(other)
    else:
        lock_file.symlink_to(other)
    lock = image_lock(image) if kind == "image" else well_lock(well)
    if is_hard:
        with lock:
            pass
    else:
        with (
            pytest.raises(PublishError, match=r"results\.csv, which no task made"),
            lock,
        ):
            pass
    assert other.read_text() == "dear"


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_what_lies_in_the_place_of_a_lock_file_is_named(
    image: Path, lock_file: Path, make: Callable[[Path], None]
) -> None:
    lock_file.parent.mkdir()
    make(lock_file)
    with pytest.raises(PublishError, match=r"is no file.*Move it away"):
        image_lock(image).__enter__()


def test_a_file_in_the_place_of_the_folder_of_locks_is_named(
    image: Path, lock_file: Path
) -> None:
    lock_file.parent.write_text("dear")
    with pytest.raises(PublishError, match=r"is no folder.*Move it away"):
        image_lock(image).__enter__()
    assert lock_file.parent.read_text() == "dear"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to be others")
def test_users_of_a_group_that_shares_a_folder_take_turns() -> None:
    group, users = 54321, (54322, 54323)
    with tempfile.TemporaryDirectory() as name:
        os.chown(name, users[0], group)
        Path(name).chmod(0o2770)
        image = Path(name) / "plate.zarr" / "B" / "03" / "1"
        for user in users:
            command = (
                "import os; from pathlib import Path; "
                "from fractal_tasks.storage.local.locks import image_lock\n"
                f"os.setgroups([{group}]); os.setgid({user}); os.setuid({user})\n"
                f"os.umask(0o002); image = Path({str(image)!r})\n"
                "image.mkdir(parents=True, exist_ok=True)\n"
                "(image.parents[2] / '.zattrs').touch()\n"
                "with image_lock(image): pass"
            )
            subprocess.run([sys.executable, "-c", command], check=True)
        (lock_file,) = Path(name).glob("*/*.lock")
        assert lock_file.stat().st_uid == users[0]
        assert lock_file.stat().st_gid == group


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_flock_is_an_error(
    image: Path, lock_file: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """The existence of a file is no lock: a killed worker would hold it for ever."""

    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(PublishError, match="supports flock") as caught:
        image_lock(image).__enter__()
    assert os.strerror(code) in str(caught.value)
    assert [path.read_bytes() for path in lock_file.parent.iterdir()] == [b""]


def test_a_lock_file_that_is_closed_to_the_user_is_an_error(
    image: Path, lock_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a file server may refuse what the mode allows."""
    lock_file.parent.mkdir()
    lock_file.touch()
    open_file = os.open

    def refuse(path: str, flags: int, *more: Any, **options: Any) -> int:
        if str(path) == str(lock_file) and flags & os.O_RDWR:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return open_file(path, flags, *more, **options)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PublishError, match=r"Permission denied.*beside the plate"):
        image_lock(image).__enter__()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to be others")
def test_a_lock_file_of_another_user_is_an_error_that_names_the_owner() -> None:
    """One that root made, say, in a folder in which all may write."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        image = Path(name) / "plate.zarr" / "B" / "03" / "1"
        image.mkdir(parents=True)
        (image.parents[2] / ".zattrs").touch()
        with image_lock(image):
            pass
        (lock_file,) = Path(name).glob("*/*.lock")
        lock_file.chmod(0o644)
        command = (
            "import os; from pathlib import Path; "
            "from fractal_tasks.storage.local.locks import image_lock\n"
            "os.setgroups([]); os.setgid(54321); os.setuid(54321)\n"
            f"with image_lock(Path({str(image)!r})): pass"
        )
        run = subprocess.run(
            [sys.executable, "-c", command], check=False, capture_output=True, text=True
        )
        assert "Permission denied" in run.stderr
        assert "of the user with the number 0" in run.stderr
        assert str(lock_file) in run.stderr
        lock_file.unlink()
        lock_file.parent.chmod(0o777)
        subprocess.run([sys.executable, "-c", command], check=True)


@pytest.mark.parametrize("is_in_a_plate", [True, False])
def test_an_image_that_is_linked_has_one_lock_for_all_that_link_it(
    image: Path, is_in_a_plate: bool
) -> None:
    store = image.parents[3] / "store"
    elsewhere = store / "u" / "v" / "1"
    elsewhere.mkdir(parents=True)
    if is_in_a_plate:
        (store / ".zattrs").write_text("{}")
    image.rmdir()
    image.symlink_to(elsewhere)
    other = image.with_name("other")
    other.symlink_to(elsewhere)
    own_locks = [_lock_of(one) for one in (image, other, elsewhere)]
    folder = f"{store}.fractal-tasks-locks" if is_in_a_plate else elsewhere.parent
    with image_lock(image):
        found = set(image.parents[3].rglob("*.lock"))
    first, second, plain = own_locks
    assert found == {first} == {second}
    assert first.is_relative_to(folder)
    # It is the one that the plate itself has, or an image that is in none.
    assert plain == first
