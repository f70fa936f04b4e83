"""Displacements that transforms of an image need, in a folder of it.

They are stored under names made of their content: whatever names them finds the ones
that it means, or none. They are written before what names them, and removed after the
last such thing is gone.
"""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from fractal_tasks.errors import DisplacementsError, InvalidDataError
from fractal_tasks.storage.displacement_group import (
    displacements_to_files,
    read_displacements,
)
from fractal_tasks.storage.files import files_of, open_group
from fractal_tasks.storage.library_errors import reading
from fractal_tasks.storage.urls import ImageUrl
from fractal_tasks.transforms import Displacements, ReadDisplacements
from fractal_tasks.transforms.warp import FOLDER

_DIRECTIONS = ("forward", "inverse")
_PATH = re.compile(rf"{FOLDER}/([0-9a-f]{{32}})/({'|'.join(_DIRECTIONS)})")
_DIGESTS = "displacements"
"""Attribute that says what both directions of a folder hold."""

_AGAIN = (
    "Run 'Calculate Registration (image-based)' and 'Find Registration Consensus' "
    "again for this image."
)


def displacements_of(image: ImageUrl) -> ReadDisplacements:
    """Give what reads the displacements of an image by their path in it."""
    return partial(_read, image)


def _read(image: ImageUrl, path: str) -> Displacements:
    """Read displacements.

    Raises:
        DisplacementsError: They are missing, cut, or others.
    """
    match = _PATH.fullmatch(path)
    if match is None:
        raise DisplacementsError(
            f"{_where(image, path)} are named in no way of this package; needed is "
            f"'{FOLDER}/(32 hexadecimal digits)/inverse'. {_AGAIN}"
        )
    return _read_folder(image, match[1], path)[match[2]]


def _read_folder(image: ImageUrl, name: str, path: str) -> dict[str, Displacements]:
    """Read both directions, and check that they are as they were written.

    Args:
        image: Where.
        name: Of the folder.
        path: What errors say of which they are.

    Raises:
        DisplacementsError: One of them is missing, cut, or another one.
    """
    folder = image.location / FOLDER / name
    where = _where(image, path)
    try:
        with reading(f"{where} are missing or damaged", _AGAIN):
            stored: Any = open_group(folder).attrs[_DIGESTS]
            found = {
                one: read_displacements(open_group(folder / one))[0]
                for one in _DIRECTIONS
            }
    except InvalidDataError as error:
        raise DisplacementsError(str(error)) from error
    needed = {**stored, "inverse": name}
    digests = {one: found[one].digest for one in found}
    if digests != needed:
        raise DisplacementsError(
            f"{where} are not those that were written: found {digests}, needed are "
            f"{needed}. {_AGAIN}"
        )
    return found


def _where(image: ImageUrl, path: str) -> str:
    return f"{image.zarr_url}: the displacements {path!r} of a transform"


def write_displacements(
    image: ImageUrl, displacements: Mapping[str, Displacements]
) -> None:
    """Write displacements that are not there yet.

    Args:
        image: Where; the caller holds its lock and has healed it.
        displacements: By their path in it.

    Raises:
        PublishError: They could not be written.
    """
    files = files_of(image)
    folders: dict[str, dict[str, Displacements]] = {}
    for path, one in displacements.items():
        folder, _, name = path.rpartition("/")
        folders.setdefault(folder, {})[name] = one
    for folder, content in folders.items():
        if _is_whole(image, folder, content):
            continue
        with files.replace_folder(
            image.location / folder,
            image=image,
            validate=partial(_validate, content=content),
        ) as build:
            _write(build, content)


def _is_whole(
    image: ImageUrl, folder: str, content: Mapping[str, Displacements]
) -> bool:
    try:
        return _read_folder(image, folder.rpartition("/")[2], folder) == content
    except DisplacementsError:
        return False


def _write(build: Path, content: Mapping[str, Displacements]) -> None:
    import zarr

    group = zarr.create_group(build, zarr_format=3)
    group.attrs[_DIGESTS] = {name: one.digest for name, one in content.items()}
    for name, one in content.items():
        for key, data in displacements_to_files(one).items():
            path = build / name / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def _validate(build: Path, content: Mapping[str, Displacements]) -> None:
    import zarr

    for name, one in content.items():
        if read_displacements(zarr.open_group(build / name, mode="r"))[0] != one:
            raise InvalidDataError(
                f"{build / name}: the displacements read back are not those that were "
                "written. Check the disk, then run the task again."
            )
