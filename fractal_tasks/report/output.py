"""Write pages and pictures: outside of plates, and in one step."""

import os
from pathlib import Path
from tempfile import NamedTemporaryFile

from fractal_tasks.errors import InvalidInputError, PublishError
from fractal_tasks.storage.plate.wells import is_in_plate
from fractal_tasks.storage.urls import ImageUrl

_OVERLAYS = "_registration_overlays"


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


def check_outside(path: Path, image: ImageUrl) -> None:
    """Refuse a file inside the plate of an image, or in an image in no plate.

    Raises:
        InvalidInputError: It is.
    """
    if image.is_remote:
        return
    inside = Path(image.plate_url if is_in_plate(image) else image.zarr_url)
    if path.absolute().is_relative_to(inside):
        raise InvalidInputError(
            f"{path}: is inside {inside}; needed is a file outside of the plate, which "
            "other software reads. Choose another."
        )


def replace_file(path: Path, content: bytes) -> None:
    """Write a file beside, and exchange it in one step.

    Raises:
        PublishError: It could not be written.
    """
    try:
        with NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
            file.write(content)
        os.chmod(file.name, 0o666 & ~_umask())
        os.replace(file.name, path)
    except OSError as error:
        raise PublishError(
            f"{path}: the page or picture could not be written ({error}). The plate "
            "is as it was. Choose another output."
        ) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
