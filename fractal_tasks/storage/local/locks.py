"""Locks between the workers of a plate, on any number of processes.

Lock files lie beside the plate, never in it: `<plate>.fractal-tasks-locks/B_03_1.lock`.
Those of images that are in no plate lie beside them. An image that is linked into a
plate from elsewhere has one lock for all that link it.
They are empty, and stay: a file that is removed and made again can be held twice, under
its old and its new inode. The lock is the kernel's (`flock`), which releases it when
its holder dies, however it dies. ADR 0004 has what this rests on in `filelock`.
"""

import errno
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from filelock import Timeout, UnixFileLock

from fractal_tasks.errors import PublishError
from fractal_tasks.storage.urls import real_path

logger = logging.getLogger(__name__)

_POLL_S = 1.0
"""Pause of a waiting worker between two attempts.

An attempt asks a file server about five times (filelock's default, 0.05 s, would be 100
requests a second from each of the workers, for as long as an image is written), and
those who hold a lock for long hold it for many seconds: one more is not felt.
"""


@contextmanager
def image_lock(image: Path) -> Iterator[None]:
    """Hold the lock of an image, waiting for it as long as it takes.

    Not re-entrant: taking a lock that the same thread holds is a `RuntimeError`.

    Args:
        image: `<plate>/<row>/<column>/<image>`; it need not exist.

    Raises:
        PublishError: No lock file can be created or locked beside the plate.
    """
    with _hold(_lock_of(image)):
        yield


@contextmanager
def free_image_lock(image: Path) -> Iterator[bool]:
    """Hold the lock of an image if nobody else does; otherwise give False.

    Raises:
        PublishError: No lock file can be created or locked beside the plate.
    """
    path = _lock_of(image)
    lock = _make_lock(path)
    try:
        with _locking(path):
            lock.acquire(blocking=False)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _lock_of(image: Path) -> Path:
    """Give the lock file of an image, the same by whatever links it is reached."""
    real = real_path(image)
    if not _is_in_plate(real):
        return real.parent / ".fractal-tasks-locks" / f"{real.name}.lock"
    plate = real.parents[2]
    directory = plate.with_name(f"{plate.name}.fractal-tasks-locks")
    return directory / ("_".join(real.parts[-3:]) + ".lock")


def _is_in_plate(image: Path) -> bool:
    metadata = (".zattrs", "zarr.json")
    plates = image.parents[2:3]  # none, of a folder near the root
    return any((plate / name).exists() for plate in plates for name in metadata)


@contextmanager
def well_lock(well: Path) -> Iterator[None]:
    """Hold the lock under which software that uses ngio adds images to a well.

    It is the file that ngio locks, so that each waits for the other; but ngio gives up
    after 10 s, and this waits as long as it takes.

    Args:
        well: `<plate>/<row>/<column>`.

    Raises:
        PublishError: No lock file can be created or locked beside the plate.
    """
    plate = real_path(well.parents[1])
    directory = plate.with_name(f"{plate.name}.ngio-locks")
    with _hold(directory / (quote("/".join(well.parts[-2:]), safe="") + ".lock")):
        yield


@contextmanager
def _hold(path: Path) -> Iterator[None]:
    """Wait for a lock, and say so once."""
    lock = _make_lock(path)
    with _locking(path):
        try:
            lock.acquire(blocking=False)
        except Timeout:
            logger.info("Waiting for %s, which another worker holds.", path)
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _check_place(path: Path) -> None:
    """Refuse what no task made in the place of a lock file, or of the folder of them.

    A symbolic link would be made, or opened for writing, where it leads to. A hard link
    does no harm: nothing is ever written into a lock file.
    """
    for place, is_ours in ((path.parent, path.parent.is_dir), (path, path.is_file)):
        if place.is_symlink():
            raise PublishError(
                f"The lock {path} could not be taken: {place} is a symbolic link to "
                f"{real_path(place)}, which no task made. Remove the link."
            )
        if place.exists() and not is_ours():
            raise PublishError(
                f"The lock {path} could not be taken: {place} is no "
                f"{'file' if place == path else 'folder'}, and no task made it. Move "
                "it away."
            )


def _make_lock(path: Path) -> UnixFileLock:
    # Not `FileLock`, which stands for another lock where Python has no `fcntl`: one of
    # which the mere existence of a file is the lock, so that a killed worker keeps it.
    return UnixFileLock(
        path, poll_interval=_POLL_S, fallback_to_soft=False, preserve_lock_file=True
    )


_CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS}
"""What a system says where nothing may be written, or of a read-only disk."""


@contextmanager
def _locking(path: Path) -> Iterator[None]:
    """Say what is needed where a lock file cannot be made or locked."""
    try:
        _check_place(path)
        # filelock would create missing parents as well, so a plate that is mistyped.
        path.parent.mkdir(exist_ok=True)
        yield
    except Timeout:
        raise
    except OSError as error:
        if error.errno in _CLOSED and path.exists() and not os.access(path, os.W_OK):
            raise PublishError(
                f"The lock {path} could not be taken ({error.strerror}): it is there, "
                f"of the user with the number {path.stat().st_uid}, and needed is to "
                "write it. Let that user change its mode to 666, or, while no task "
                "works on the plate, remove it. Or write elsewhere: register with "
                "--output FOLDER."
            ) from error
        if error.errno in _CLOSED:
            raise PublishError(
                f"The lock {path} could not be taken ({error.strerror}); "
                f"needed is to write beside the plate, in {path.parent.parent}. Change "
                "the permissions, or write elsewhere: register with --output FOLDER."
            ) from error
        raise PublishError(
            f"The lock {path} could not be taken ({error}). Workers need to create "
            f"and lock files in {path.parent.parent}, beside the plate: check that it "
            "is writable and that its file system supports flock."
        ) from error
