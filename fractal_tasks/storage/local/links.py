"""Symbolic links in a plate: nothing is written through them, copies take their place.

Labs link folders of an archive into the plates that they work on. What a link leads to
belongs to others, and stays as it is.
"""

import os
import shutil
from pathlib import Path

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.storage.local.publish import replace_directory
from fractal_tasks.storage.urls import real_path
from fractal_tasks.transforms.warp import FOLDER

_ALL = 1000
_WORKSPACE = ".fractal-tasks-"


def list_links(folder: Path) -> list[str]:
    """Give the links below a folder, but not behind its links, as paths in it."""
    links = (path for path in folder.rglob("*") if path.is_symlink())
    return sorted(str(path.relative_to(folder)) for path in links)


def copy_linking(source: Path, target: Path, depth: int) -> None:
    """Copy files, and link the folders that lie deeper.

    Tables, and what belongs to them, are copied whole.

    Permissions are not copied: those of the source may forbid to write.

    Args:
        source: Folder to copy.
        target: Its copy, which does not exist yet.
        depth: How many levels of folders below it are copied.
    """
    target.mkdir()
    for entry in sorted(source.iterdir()):
        place = target / entry.name
        if entry.name.startswith(_WORKSPACE):
            continue  # left by a run that was interrupted
        if entry.is_file():
            shutil.copyfile(entry, place)
            # Files are known by their times: to later runs a copy is what it is of.
            status = entry.stat()
            os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))
        elif entry.name in {"tables", FOLDER} and entry.is_dir():
            copy_linking(entry, place, _ALL)
        elif depth > 0 and entry.is_dir():
            copy_linking(entry, place, depth - 1)
        else:
            place.symlink_to(real_path(entry))


def check_leads_to_folder(link: Path) -> None:
    """Refuse a link in the place of a folder that leads to none.

    Raises:
        InvalidInputError: It does not.
    """
    if not link.is_dir():
        raise InvalidInputError(
            f"{link} is a symbolic link to {real_path(link)}; needed is a folder. "
            "Restore what it leads to, or remove the link."
        )


def make_own(folder: Path, *, image: Path) -> None:
    """Put a copy in the place of a folder that is a link; else do nothing.

    Args:
        folder: Folder of an image that is to be written in.
        image: The image; the caller holds its lock and has called `heal`.

    Raises:
        InvalidInputError: The link leads to no folder.
        PublishError: The copy could not be written; the link is what it was.
    """
    if not folder.is_symlink():
        return
    check_leads_to_folder(folder)
    with replace_directory(folder, image=image, validate=lambda _: None) as build:
        copy_linking(folder, build, _ALL)
