"""What a folder is: a plate, a well or an image of OME-Zarr."""

from typing import Any

from fractal_tasks.errors import FractalTasksError, InvalidInputError
from fractal_tasks.storage.files import open_group
from fractal_tasks.storage.library_errors import describe_cause, library_errors
from fractal_tasks.storage.urls import Location


def read_ome_metadata(folder: Location) -> dict[str, Any]:
    """Read the OME-Zarr metadata of a group, of any version.

    Raises:
        InvalidInputError: There is no group.
    """
    try:
        attributes = open_group(folder).attrs.asdict()
    except FractalTasksError:
        raise
    except library_errors() as error:
        raise InvalidInputError(
            f"{folder.url}: found no Zarr group that can be opened "
            f"({describe_cause(error)}). Needed is the folder of an OME-Zarr plate, a "
            "well, or an image."
        ) from error
    ome = attributes.get("ome")
    return ome if isinstance(ome, dict) else attributes


def is_image(folder: Location) -> bool:
    """Whether a folder is an image, and not a plate or a well.

    Raises:
        InvalidInputError: There is no group.
    """
    return "multiscales" in read_ome_metadata(folder)
