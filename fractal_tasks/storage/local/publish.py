"""Replace or add a directory of a plate so that no crash can lose or tear it.

The only way a task replaces an image group, a table group or a metadata file. The new
version is built in a hidden workspace in the well,
`<well>/.fractal-tasks-<image>-<uuid>/`:

    marker.json   proof that the workspace is ours, and which directory it replaces
    new           the version being built
    old           what was there before, only where the switch needs two renames
    file          a metadata file being written; one rename puts it in place

The switch is one atomic exchange of `new` with the directory, or one rename where there
was none. A file system that cannot exchange (NFS) needs two renames, between which the
directory does not exist: to `old`, then from `new`. The layout is the journal: `new` is
on disk as a whole before the first rename, so

    no `old`                          the directory is whole: remove the workspace
    `old`, `new` and no directory     between the renames: do the second
    `old` and directory, no `new`     switched: remove the workspace

and `heal` ends a run that was interrupted anywhere, itself included. A complete build
that was not yet switched is removed, not finished: others may have changed the
directory since, and only the moment between two system calls is lost.

The caller holds the image's lock (`fractal_tasks.storage.local.locks`). Local file
systems only: an object store has no rename.
"""

import ctypes
import errno
import json
import logging
import os
import re
import shutil
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from fractal_tasks import __version__
from fractal_tasks.errors import InvalidInputError, PublishError
from fractal_tasks.interrupts import undisturbed
from fractal_tasks.storage.local.access import inherit_access, keep_access
from fractal_tasks.storage.urls import real_path

logger = logging.getLogger(__name__)

_MARKER = "marker.json"
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_CHANGED_BY_OTHERS = {errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR}
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def replace_directory(
    target: Path, *, image: Path, validate: Callable[[Path], None]
) -> Iterator[Path]:
    """Give a path to build the new version of a directory; switch to it at the end.

    At every instant, under kill -9, power loss or a full disk, `target` is the old or
    the new version as a whole. A program that reads file by file while the switch
    happens may still meet both.

    Args:
        target: Directory to replace or to add: `image` itself or one below it
            (`<image>/tables/<name>`). Its parent must exist. Where it is a symbolic
            link, the new version takes the place of the link.
        image: Image directory of the plate, `<plate>/<row>/<column>/<image>`. The
            caller holds its lock and has called `heal`.
        validate: Reopens the build and raises if it is not what it should be.

    Yields:
        Path where the body creates the new directory; it does not exist yet.

    Raises:
        InvalidInputError: `target` is not inside `image`, or behind a symbolic link.
        PublishError: Writing failed (disk full, read-only, no permission); `target` is
            what it was. Other errors of the body or of `validate` pass unchanged, and
            leave `target` what it was, too.
    """
    image, target = check_replaceable(target, image)
    workspace = _workspace_for(image)
    build = workspace / "new"
    try:
        _create_workspace(workspace, target)
        yield build
        validate(build)
        if target.exists() and not target.is_symlink():
            keep_access(target, build)
        elif target != image:
            inherit_access(target.parent, build)
        _flush_file_system(build)
        with undisturbed():
            _switch(workspace, target)
    except OSError as error:
        raise PublishError(
            f"{target}: the new version could not be written ({error}). What was there "
            "before is untouched. Check free space, quota and permissions, then run "
            "the task again."
        ) from error
    finally:
        with undisturbed():
            _settle(workspace, target)


def check_replaceable(target: Path, image: Path) -> tuple[Path, Path]:
    """Find out what would make `replace_directory` fail, before any work.

    Args:
        target: Directory to replace or to add.
        image: Image directory of the plate it is in.

    Returns:
        Where image and target really lie: the plate, the well or the image may be
        links.

    Raises:
        InvalidInputError: `target` is not inside `image`, or behind a symbolic link.
        PublishError: A permission or folder is missing, or is on another file system.
    """
    if target == image and image.is_symlink():
        check_not_linked(image)
    image, target = _resolve(image, target)
    well = image.parent
    directories = [well, target.parent]
    if target.exists() and not target.is_symlink():
        # Moving a directory to another parent writes its own `..`.
        directories.append(target)
    for directory in directories:
        if not directory.is_dir():
            raise PublishError(
                f"{target} cannot be written: {directory} is not a directory. If it is "
                "missing, create the group that is to hold the new one first."
            )
        if os.statvfs(directory).f_flag & os.ST_RDONLY:
            raise PublishError(
                f"{target} cannot be written: {directory} is on a disk that can only "
                "be read. Write elsewhere: register with --output FOLDER."
            )
        _check_permission(target, directory)
        if directory.stat().st_dev != well.stat().st_dev:
            raise PublishError(
                f"{target} cannot be replaced: {directory} is on another file system "
                f"than {well}. Keep each well on one file system."
            )
    if target.is_dir() and not target.is_symlink():
        _check_removable(target)
    return image, target


def _check_removable(target: Path) -> None:
    """Refuse a folder of which something would stay when it is replaced."""
    try:
        for folder, folders, files in os.walk(target, onerror=_raise):
            if folders or files:
                _check_permission(target, Path(folder))
    except OSError as error:
        raise PublishError(
            f"{target} cannot be replaced: it cannot be listed ({error}). Check its "
            "permissions and the disk."
        ) from error


def _raise(error: OSError) -> None:
    raise error


def _check_permission(target: Path, directory: Path) -> None:
    if not os.access(directory, os.W_OK | os.X_OK):
        raise PublishError(
            f"{target} cannot be written: no permission to write in {directory}. "
            "Change its permissions, or write elsewhere: register with --output FOLDER."
        )


def check_not_linked(image: Path) -> None:
    """Refuse an image that only a link brings into its plate.

    Raises:
        InvalidInputError: The image, its well or its row is a symbolic link.
    """
    for place in (image, *image.parents[:2]):
        if place.is_symlink():
            raise InvalidInputError(
                f"{image} cannot be replaced: {place} is a symbolic link to "
                f"{real_path(place)}, and what others have there is not to be changed. "
                "Keep the input (overwrite_input=False), or put a copy in the place of "
                "the link."
            )


def replace_file(target: Path, content: bytes, *, image: Path) -> None:
    """Write a file in one step; no crash can tear it or leave a part of it.

    Args:
        target: Metadata file of the image, of a group in it, or of its well. Where it
            is a symbolic link, the new version takes the place of the link.
        content: What is to be in it.
        image: Image directory of the plate; it may be missing, its well may not. The
            caller holds its lock and has called `heal`.

    Raises:
        InvalidInputError: `target` is not in the well.
        OSError: Writing failed; the file is what it was.
    """
    image, _ = _resolve(image, image)
    if not real_path(target.parent).is_relative_to(image.parent):
        raise InvalidInputError(
            f"{target} leads to {real_path(target)}: needed is a file in the well "
            f"{image.parent}. Put a copy of its folder in the place of the link."
        )
    workspace = _workspace_for(image)
    try:
        _create_workspace(workspace, image)
        _write_file(workspace / "file", content)
        if target.exists() and not target.is_symlink():
            keep_access(target, workspace / "file")
        (workspace / "file").replace(target)
    finally:
        with undisturbed():
            _settle(workspace, target)


def heal(image: Path) -> None:
    """Finish or remove what interrupted runs left of an image, but what is unclear.

    Every task calls it first, holding the image's lock. It touches workspaces of this
    image only, logs a line for each, and may itself be interrupted anywhere.

    Args:
        image: Image directory of the plate; it may be missing, its well may not.

    Raises:
        InvalidInputError: The image is a symbolic link, or its well does not exist.
        PublishError: A version set aside cannot be put back without a decision, or
            the well cannot be listed.
    """
    for workspace, target in _list_workspaces(image):
        if target is None:
            logger.warning(
                "Left %s alone: its marker.json is missing, unreadable or names a "
                "directory outside %s. Remove it by hand if it is not needed.",
                workspace,
                image,
            )
            continue
        logger.info("Clearing %s: replacing %s was interrupted.", workspace, target)
        _settle(workspace, target)


def find_unclear(image: Path) -> list[Path]:
    """Find what `heal` leaves alone: workspaces that do not say what they are of."""
    return [workspace for workspace, target in _list_workspaces(image) if not target]


def find_interrupted(folder: Path) -> list[str]:
    """Find the images of a folder beside which interrupted runs left something.

    What a run that goes on is building is found, too: who holds the lock of the image
    knows that there is none.

    Args:
        folder: A well, or another folder that images lie in.

    Returns:
        Names, each once; the images need not exist.

    Raises:
        PublishError: The folder cannot be listed.
    """
    return list(dict.fromkeys(name for name, _ in _find_workspaces(folder)))


def _list_workspaces(image: Path) -> list[tuple[Path, Path | None]]:
    """Give the workspaces of an image, and what each was to replace, if it says so."""
    image, _ = _resolve(image, image)
    return [
        (workspace, _read_target(workspace, image))
        for name, workspace in _find_workspaces(image.parent)
        if name == image.name
    ]


_WORKSPACE = re.compile(r"\.fractal-tasks-(.+)-[0-9a-f]{32}")


def _find_workspaces(folder: Path) -> Iterator[tuple[str, Path]]:
    """Give the workspaces in a folder, and the names of the images that they are of."""
    for path in _list_folder(folder):
        found = _WORKSPACE.fullmatch(path.name)
        if found and path.is_dir() and not path.is_symlink():
            yield found[1], path


def _list_folder(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise PublishError(
            f"{folder} cannot be searched for what interrupted runs left ({error}). "
            "Check its permissions and the disk."
        ) from error


def _resolve(image: Path, target: Path) -> tuple[Path, Path]:
    """Give where an image and a directory in it really lie.

    Labs link images, wells and plates of an archive into others. In the image itself
    no link is followed: what is written takes its place.
    """
    resolved = real_path(image)
    if not resolved.parent.is_dir():
        raise InvalidInputError(
            f"{image}: its well directory does not exist. Check the zarr_url."
        )
    try:
        inner = resolved / Path(os.path.normpath(target)).relative_to(image)
    except ValueError as error:
        raise InvalidInputError(f"{target} is not inside the image {image}.") from error
    if inner != resolved and real_path(inner.parent) != inner.parent:
        raise InvalidInputError(
            f"{target} leads to {real_path(inner)}: what is behind a symbolic link in "
            "an image cannot be replaced safely. Put a copy in the place of the link."
        )
    return resolved, inner


def _workspace_for(image: Path) -> Path:
    return image.parent / f".fractal-tasks-{image.name}-{uuid.uuid4().hex}"


def _create_workspace(workspace: Path, target: Path) -> None:
    marker = {
        "target": target.relative_to(workspace.parent).as_posix(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": os.uname().nodename,
        "pid": os.getpid(),
        "version": __version__,
    }
    workspace.mkdir()
    _write_file(workspace / _MARKER, json.dumps(marker, indent=1).encode())
    # From here on no crash leaves a workspace that has content but no marker.
    _flush_directory(workspace)


def _write_file(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _read_target(workspace: Path, image: Path) -> Path | None:
    """The directory a workspace replaces; None unless its marker proves it ours."""
    try:
        entries = {entry.name for entry in workspace.iterdir()}
        path = workspace / _MARKER
        # A folder, a link or a named pipe is none of ours.
        if entries and not stat.S_ISREG(path.lstat().st_mode):
            return None
        if entries <= {_MARKER}:
            # Killed while creating or removing it: there is nothing to lose.
            return image
        marker = json.loads(path.read_text(encoding="utf-8"))
        _, target = _resolve(image, image.parent / marker["target"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return target


def _switch(workspace: Path, target: Path) -> None:
    """Put the build in place; where that takes two renames, do the first."""
    if not os.path.lexists(target):
        (workspace / "new").rename(target)
    elif not _exchange(workspace / "new", target):
        target.rename(workspace / "old")


def _settle(workspace: Path, target: Path) -> None:
    """End a replacement from wherever it stopped; the target is whole afterwards.

    What lies where says how far it came: the table at the head of this module.
    """
    if _is_there(workspace / "old"):
        _finish_switch(workspace, target)
    try:
        _remove_workspace(workspace, target)
    except OSError as error:
        logger.warning(
            "%s could not be removed (%s). %s is whole; once the permissions allow "
            "it, the next task on this image removes it.",
            workspace,
            error,
            target,
        )


def _is_there(path: Path) -> bool:
    """Like `exists`, which from Python 3.14 on takes an error for a no.

    Where there is no `old` all in the workspace is removed.
    """
    try:
        os.lstat(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise PublishError(
            f"{path} cannot be looked at ({error}), and nothing is removed before. "
            "Check the disk or the file server, then run the task again."
        ) from error
    return True


def _finish_switch(workspace: Path, target: Path) -> None:
    """Do the second of two renames, unless it was done."""
    new = workspace / "new"
    try:
        if _is_there(new):
            # Without a look at the target, which may be out of date on a file server:
            # that refuses if there is anything but an empty folder.
            new.rename(target)
        else:
            target.lstat()
    except OSError as error:
        if error.errno in _CHANGED_BY_OTHERS:
            raise PublishError(
                f"{target}: a replacement was interrupted, then someone else "
                f"created or removed {target}. {workspace} holds what was set "
                "aside ('old') and what was to take its place ('new'). Move the "
                f"one to keep to {target}, remove {workspace}, then run the task "
                "again."
            ) from error
        raise PublishError(
            f"{target} could not be put in place ({error}). Its old version is whole "
            f"in {workspace / 'old'}. Run the task again: it finishes this first."
        ) from error


def _remove_workspace(workspace: Path, target: Path) -> None:
    """Remove a workspace, the marker last: until then the rest is known to be ours."""
    if not workspace.exists():
        return
    # The renames must be on disk before the old version goes.
    _flush_directory(workspace)
    if target.parent.exists():
        _flush_directory(target.parent)
    rest = [entry for entry in workspace.iterdir() if entry.name != _MARKER]
    for entry in rest:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    if rest:
        # On disk, too, the marker must not go before the rest.
        _flush_directory(workspace)
    (workspace / _MARKER).unlink(missing_ok=True)
    workspace.rmdir()


def _exchange(first: Path, second: Path) -> bool:
    """Swap two directories in one atomic step; False where that is not supported."""
    # Linux with glibc >= 2.28; elsewhere the symbol is missing.
    rename = getattr(_libc, "renameat2", None)
    if rename is None:
        return False
    paths = (_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second))
    if rename(*paths, _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(first), None, str(second))


def _flush_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_file_system(path: Path) -> None:
    """Write everything of a file system to disk: one call, however many chunks."""
    syncfs = getattr(_libc, "syncfs", None)
    if syncfs is None:
        os.sync()
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if syncfs(descriptor) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(path))
    finally:
        os.close(descriptor)
