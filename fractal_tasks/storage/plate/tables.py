"""The tables of an image, of any type: what they are, whether they are whole."""

import json
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.storage.files import files_of, open_group
from fractal_tasks.storage.library_errors import reading
from fractal_tasks.storage.plate.images import list_tables
from fractal_tasks.storage.plate.ngio_tables import (
    check_table,
    finding_files,
    read_stored_type,
)
from fractal_tasks.storage.plate.open_image import OpenImage, open_image
from fractal_tasks.storage.plate.roi_tables import (
    load_roi_table,
    own_columns_known,
    read_roi_table,
)
from fractal_tasks.storage.urls import ImageUrl
from fractal_tasks.transforms.warp import FOLDER

if TYPE_CHECKING:
    from pandas import DataFrame

logger = logging.getLogger(__name__)

_DIGEST = re.compile(r"[0-9a-f]{32}")
"""Names of folders that `displacements` makes."""


def read_table_types(
    image: OpenImage, names: Sequence[str] | None = None
) -> dict[str, str]:
    """Read the types of tables of an image, by name.

    A table without type metadata is a ROI table if it can be read as one.

    Args:
        image: Whose tables they are.
        names: Which of them; left out, all.

    Raises:
        InvalidDataError: One of them cannot be opened.
    """
    types = {}
    for name in list_tables(image) if names is None else names:
        with reading(
            image.where(f"table {name!r} cannot be opened"),
            "Remove it from the image, or make it again.",
        ):
            table_type = read_stored_type(image, name)
        if table_type is None:
            table_type = _guess_type(image, name)
        types[name] = table_type
    return types


def remove_unused_displacements(url: ImageUrl) -> None:
    """Remove displacements that no transform in an image names any more.

    Where a table cannot be read, nothing is known of what it names, and all stay.

    Args:
        url: The image; the caller holds its lock.
    """
    folder = url.location / FOLDER
    if not files_of(url).exists(folder):
        return
    image = open_image(url)
    texts = [json.dumps(open_group(url.location).attrs.asdict())]
    try:
        for name, table_type in read_table_types(image).items():
            if table_type.endswith("roi_table"):
                table = load_roi_table(image, name)
                texts.append(json.dumps(table.record))
                for roi in table.rois.values():
                    texts += map(str, (roi.model_extra or {}).values())
    except InvalidDataError as error:
        logger.warning(
            "%s: displacements of transforms that may be gone are kept (%s)",
            url.zarr_url,
            error,
        )
        return
    named = "".join(texts)
    for name in files_of(url).list_folders(folder):
        if _DIGEST.fullmatch(name) and name not in named:
            files_of(url).remove_folder(folder / name)


def open_tables(image: OpenImage, *, skip: str) -> None:
    """Read all tables of an image but `skip`, which are then known to be whole.

    Raises:
        InvalidDataError: One of them cannot be read.
    """
    names = [name for name in list_tables(image) if name != skip]
    for name, table_type in read_table_types(image, names).items():
        if table_type.endswith("roi_table"):
            load_roi_table(image, name)
            continue
        with _loading(image, name):
            image.container.get_table(name).set_table_data()


def read_table_rows(image: OpenImage, name: str) -> "DataFrame":
    """Read the rows of a table; what names them is a column, too.

    Raises:
        InvalidDataError: It cannot be read.
    """
    with _loading(image, name):
        frame: DataFrame = image.container.get_table(name).dataframe
    return frame.reset_index() if frame.index.name else frame


def list_columns(image: OpenImage, name: str) -> list[str]:
    """Give the names of the columns of a table, of measurements and others.

    Raises:
        InvalidDataError: It cannot be read.
    """
    from anndata import AnnData

    with _loading(image, name):
        table = image.container.get_table(name).table_data
        if isinstance(table, AnnData):
            return [*map(str, table.var_names), *map(str, table.obs.columns)]
        return [*map(str, table.columns)]


@contextmanager
def _loading(image: OpenImage, name: str) -> Iterator[None]:
    """Check a table of any type, and say what is wrong if the body cannot read it."""
    with (
        reading(
            image.where(f"table {name!r} cannot be loaded"),
            "Remove it from the image, or make it again.",
        ),
        own_columns_known(),
    ):
        check_table(image, name)
        with finding_files(image, name):
            yield


def _guess_type(image: OpenImage, name: str) -> str:
    try:
        read_roi_table(image, name)
    except InvalidDataError:
        return "generic_table"
    return "roi_table"
