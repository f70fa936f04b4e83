"""Refuse names of ROI tables that no image has."""

from collections.abc import Sequence

from fractal_tasks.errors import InvalidDataError, InvalidInputError
from fractal_tasks.model.settings import DEFAULT_REGISTERED_TABLE, DEFAULT_ROI_TABLE
from fractal_tasks.report.pairs import Tables
from fractal_tasks.storage.files import files_of
from fractal_tasks.storage.plate.images import list_tables
from fractal_tasks.storage.plate.open_image import open_image
from fractal_tasks.storage.urls import ImageUrl


def check_tables(images: Sequence[ImageUrl], tables: Tables) -> None:
    """Refuse names that no image has, and that *consensus* would not give either.

    The usual names pass: a plate that nobody has registered has a report, too.

    Raises:
        InvalidInputError: There is no such table.
    """
    estimates, registered = tables.estimates, tables.registered
    coming = {DEFAULT_REGISTERED_TABLE, f"{estimates}_registered"}
    for argument, name, usual in (
        ("input_roi_table", estimates, {DEFAULT_ROI_TABLE}),
        ("registered_roi_table", registered, coming),
    ):
        if name not in usual and not any(_has_table(one, name) for one in images):
            raise InvalidInputError(
                f"{argument}={name!r}: found no image that has a table of this name; "
                f"there are {_list_of_any(images)}. Choose one of them, or leave it "
                "out."
            )


def _has_table(image: ImageUrl, name: str) -> bool:
    return files_of(image).exists(image.location / "tables" / name)


def _list_of_any(images: Sequence[ImageUrl]) -> list[str]:
    """List the tables of the first image that can be read."""
    for image in images:
        try:
            return list_tables(open_image(image))
        except InvalidDataError:  # reported once the names are right
            continue
    return []
