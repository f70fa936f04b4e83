"""Locks between the workers of a plate, on any number of processes.

Lock files lie beside the plate, never in it: `<plate>.fractal-tasks-locks/B_03_1.lock`.
The kernel releases a lock when its holder dies, however it dies. Nothing is left lying
about: a holder removes the file, the last one the directory; after a kill, the next.

`flock` is used directly. A lock library that polls would ask the file server 20 times
a second for hours, and one that falls back to the mere existence of a file, where
`flock` is missing, would wait forever after a kill -9.
"""

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from fractal_tasks.errors import PublishError

logger = logging.getLogger(__name__)

_RETIRED_SIZE = 12_347
"""Bytes of a lock file that its holder gave up; nobody else writes such a one."""


@contextmanager
def image_lock(image: Path) -> Iterator[None]:
    """Hold the lock of an image, waiting for it as long as it takes.

    Not re-entrant: taking a lock that the same process holds waits forever.

    Args:
        image: `<plate>/<row>/<column>/<image>`; it need not exist.

    Raises:
        PublishError: No lock file can be created or locked beside the plate.
    """
    image = image.resolve()
    plate = image.parents[2]
    directory = plate.with_name(f"{plate.name}.fractal-tasks-locks")
    with _hold(directory / ("_".join(image.parts[-3:]) + ".lock")):
        yield


@contextmanager
def well_lock(well: Path) -> Iterator[None]:
    """Hold the lock under which software that uses ngio adds images to a well.

    ngio itself polls it, gives up after 10 s and leaves the file behind.

    Args:
        well: `<plate>/<row>/<column>`.

    Raises:
        PublishError: No lock file can be created or locked beside the plate.
    """
    well = well.resolve()
    plate = well.parents[1]
    directory = plate.with_name(f"{plate.name}.ngio-locks")
    with _hold(directory / (quote("/".join(well.parts[-2:]), safe="") + ".lock")):
        yield


@contextmanager
def _hold(path: Path) -> Iterator[None]:
    descriptor = _acquire(path)
    try:
        yield
    finally:
        _release(descriptor, path)


def _acquire(path: Path) -> int:
    """Open and lock the file that the path names at the moment it is locked."""
    try:
        while True:
            # Not Path.mkdir(exist_ok=True): it fails if another worker creates the
            # directory before it and a third removes it after.
            with suppress(FileExistsError):
                os.mkdir(path.parent)
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            except FileNotFoundError:  # the last holder removed the directory
                if path.parent.is_symlink():  # or it leads nowhere
                    raise
                continue
            if _lock(descriptor, path):
                return descriptor
            os.close(descriptor)
    except OSError as error:
        raise PublishError(
            f"The lock {path} could not be taken ({error}). Workers need to create "
            f"and lock files in {path.parent.parent}, beside the plate: check that it "
            "is writable and that its file system supports flock."
        ) from error


def _lock(descriptor: int, path: Path) -> bool:
    """Wait for a lock file; False if its holder retired it meanwhile."""
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.info("Waiting for %s, which another worker holds.", path)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        status = os.fstat(descriptor)
    except OSError as error:
        if error.errno == errno.ESTALE:  # NFS: removed on the server
            return False
        raise
    return status.st_nlink > 0 and status.st_size != _RETIRED_SIZE


def _release(descriptor: int, path: Path) -> None:
    """Retire the lock file while it is held: who waits for it must start over."""
    with suppress(OSError):  # a lock file that stays does no harm
        path.unlink()
        # NFS only renames a file that is open somewhere, but all clients see its size.
        os.ftruncate(descriptor, _RETIRED_SIZE)
    # Closing would not do: a forked child may have inherited the descriptor.
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)
    with suppress(OSError):  # it holds other locks, or another worker removed it
        path.parent.rmdir()
