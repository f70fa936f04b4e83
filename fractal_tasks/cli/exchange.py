"""What the commands share that take transforms of an acquisition to other files."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cyclopts import Parameter

from fractal_tasks.discovery import absolute_url
from fractal_tasks.errors import InvalidInputError, PublishError
from fractal_tasks.model.settings import DEFAULT_REGISTERED_TABLE
from fractal_tasks.storage.urls import (
    ImageUrl,
    parse_image_url,
    parse_storage_options,
)


@Parameter(name="*")
@dataclass(frozen=True)
class RecordOptions:
    """Where the transforms of an acquisition are, and how to get there."""

    registered_roi_table: str = DEFAULT_REGISTERED_TABLE
    """The table that "Find Registration Consensus" wrote; of a registered image it is
    known."""

    storage_options: str | None = None
    """How to reach an object store, as a JSON object."""

    def locate(self, image: str) -> ImageUrl:
        """Give where an image is that may be named from where the user is."""
        options = parse_storage_options(self.storage_options)
        return parse_image_url(absolute_url(image), options)


def check_new(paths: Mapping[Path, object]) -> None:
    """Refuse to write over files.

    Raises:
        InvalidInputError: Some are there already.
    """
    there = [str(path) for path in paths if path.exists()]
    if there:
        raise InvalidInputError(
            f"{', '.join(there)}: is there already, and is left as it is. Name "
            "something else as output."
        )


def write_new(files: Mapping[Path, str | bytes]) -> None:
    """Write files that are not there yet, and the folders around them.

    Raises:
        InvalidInputError: Some are there already; none is written.
        PublishError: One cannot be written.
    """
    check_new(files)
    for path, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                file.write(data)
        except OSError as error:
            raise PublishError(
                f"{path}: could not be written ({error}). Check folder, free space "
                "and permissions."
            ) from error
