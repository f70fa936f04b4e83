"""Write pages and pictures: outside of OME-Zarr, and in one step."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

from fractal_tasks.errors import InvalidInputError, PublishError
from fractal_tasks.storage.plate.wells import is_in_plate
from fractal_tasks.storage.urls import ImageUrl

_OVERLAYS = "_registration_overlays"

_OME_ZARR_FILES = (".zgroup", ".zattrs", ".zarray", "zarr.json")


def find_overlay_folder(url: ImageUrl) -> Path:
    """Give the folder of the pictures, beside the plate or the image, and check it.

    Raises:
        InvalidInputError: It cannot be written.
    """
    if url.is_remote:
        raise InvalidInputError(
            f"{url.zarr_url}: save_overlays=True needs a folder beside the plate, and "
            "found an object store. Leave it out, and draw what you want to see with "
            "'fractal-tasks show'."
        )
    whole = Path(url.plate_url if is_in_plate(url) else url.zarr_url)
    folder = whole.with_name(whole.name.removesuffix(".zarr") + _OVERLAYS)
    needed = folder if folder.exists() else folder.parent
    if not needed.is_dir() or not os.access(needed, os.W_OK | os.X_OK):
        raise InvalidInputError(
            f"{url.zarr_url}: save_overlays=True writes pictures into {folder}, and "
            f"{needed} is no folder that can be written. Leave it out, or give the "
            "permission."
        )
    return folder


def check_output(path: Path) -> None:
    """Refuse a file that cannot be written, or that would lie in OME-Zarr.

    Raises:
        InvalidInputError: It does.
    """
    folder = path.parent.resolve()
    for one in (folder, *folder.parents):
        if any((one / name).exists() for name in _OME_ZARR_FILES):
            raise InvalidInputError(
                f"{path}: is inside {one}; needed is a file outside of OME-Zarr, which "
                "other software reads. Choose another."
            )
    if path.is_dir():
        raise InvalidInputError(
            f"{path}: is a folder; needed is the name of a file. Name one in it."
        )
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise InvalidInputError(
            f"{path}: {folder} is no folder that can be written. Create it, give the "
            "permission, or choose another."
        )


def name_file(name: str) -> str:
    """Give a name that any file may have, another one for every other text.

    Example:
        >>> name_file("a/b.png")
        'a%2Fb.png'
    """
    return quote(name, safe=" ()")


def replace_file(path: Path, content: bytes) -> None:
    """Write a file beside, and exchange it in one step.

    Raises:
        PublishError: It could not be written.
    """
    try:
        with TemporaryDirectory(dir=path.parent, prefix=".new-") as folder:
            beside = Path(folder) / "content"
            beside.write_bytes(content)
            os.replace(beside, path)
    except OSError as error:
        raise PublishError(
            f"{path}: the page or picture could not be written ({error}). The plate "
            "is as it was. Choose another output."
        ) from error
