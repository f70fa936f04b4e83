"""ROI tables as ngio has them; of their further columns it loses some."""

import keyword
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.storage.files import files_of
from fractal_tasks.storage.pixels.chunks import check_arrays
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.storage.upstream import (
    masking_roi_table_meta,
    roi_table_meta,
    zarr_group_of,
)
from fractal_tasks.storage.urls import is_remote_url
from fractal_tasks.transforms.boxes import AXES

if TYPE_CHECKING:
    from ngio import Roi
    from ngio.tables import GenericRoiTable
    from ngio.tables.backends import BackendMeta
    from pandas import DataFrame


def open_table(image: OpenImage, name: str) -> "GenericRoiTable":
    """Open a table as a ROI table; one without a type is taken for one.

    Raises:
        InvalidDataError, ValueError: As `check_table`.
    """
    from ngio.tables import RoiTable

    check_table(image, name)
    if read_stored_type(image, name) is None:
        return image.container.get_table_as(name, RoiTable)
    return image.container.get_generic_roi_table(name)


def check_table(image: OpenImage, name: str) -> None:
    """Refuse what libraries would wait for, or read as other numbers than were stored.

    Raises:
        InvalidDataError: A file is none, or closed.
        ValueError: A chunk is short, or no file, or text has no end.
    """
    folder = image.url.location / "tables" / name
    files_of(folder).check_readable(folder)
    if not is_remote_url(folder.url):
        _check_last_line(folder.path / "table.csv")
    check_arrays(zarr_group_of(image.container.tables_container, name))


def _check_last_line(path: Path) -> None:
    """Refuse text that may be cut: of its last number less would be another one."""
    if not path.exists() or not path.stat().st_size:
        return  # the table has another backend, or whoever reads it says what is wrong
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        if file.read() != b"\n":
            raise ValueError(
                f"{path}: found no end of its last line; it may be cut. If it is "
                "whole, add a line break there"
            )


@contextmanager
def finding_files(image: OpenImage, name: str) -> Iterator[None]:
    """Read a table of which pyarrow may say that a file is not there.

    It also does so where an object store did not answer, and users would be told to
    make a table again that is whole.

    Raises:
        InvalidDataError: The file is there, or the store does still not answer.
    """
    try:
        yield
    except FileNotFoundError as error:
        folder = image.url.location / "tables" / name
        missing = PurePath(str(error)).name
        if missing in files_of(folder).list_files(folder):
            raise InvalidDataError(
                f"{folder.url}: {missing} could not be read, though it is there. Run "
                "the task again."
            ) from error
        raise


def check_lengths(where: str, frame: "DataFrame") -> "DataFrame":
    """Give a ROI table back, if ngio can make ROIs of its rows.

    Args:
        where: Names the table in errors.
        frame: The table.

    Raises:
        InvalidDataError: A length is negative, or no number. It names the first ROI.
    """
    from pandas.api.types import is_numeric_dtype

    for name in (f"len_{axis}_micrometer" for axis in AXES):
        if name not in frame.columns or not is_numeric_dtype(frame[name]):
            continue
        wrong = frame[name][~(frame[name] >= 0)]
        if len(wrong):
            raise InvalidDataError(
                f"{where}, ROI {wrong.index[0]!r}: found {name} = {wrong.iloc[0]}; "
                "needed are numbers from 0 on. Correct the table."
            )
    return frame


def read_stored_type(image: OpenImage, name: str) -> str | None:
    """Read the type of a table from its attributes; None if none is stored."""
    # ngio copies the attributes, and with a registered table all that was judged.
    table_type = zarr_group_of(image.container.tables_container, name).attrs.get("type")
    return None if table_type is None else str(table_type)


def with_lost_columns(rois: Sequence["Roi"], frame: "DataFrame") -> list["Roi"]:
    """Add what ngio loses: values of columns that could not be Python attributes.

    Args:
        rois: What ngio made of the rows of a table.
        frame: The table, with its rows in the same order.
    """
    lost = [
        name
        for name in map(str, frame.columns)
        if not name.isidentifier() or name.startswith("_") or keyword.iskeyword(name)
    ]
    if not lost:
        return list(rois)
    rows = frame[lost].to_dict("records")
    return [roi.model_copy(update=row) for roi, row in zip(rois, rows, strict=True)]


def new_table(rois: Sequence["Roi"], meta: "BackendMeta") -> "GenericRoiTable":
    """Make a table of ROIs, of the type that its metadata tell."""
    from ngio.tables import MaskingRoiTable, RoiTable

    meta = meta.model_copy()
    rois = [_with_sorted_extras(roi) for roi in rois]
    if isinstance(meta, masking_roi_table_meta()):
        return MaskingRoiTable(rois=rois, meta=meta)
    return RoiTable(rois=rois, meta=roi_table_meta()(**meta.model_dump(by_alias=True)))


def _with_sorted_extras(roi: "Roi") -> "Roi":
    """Order the further columns by name: ngio reads them in any order."""
    extras = dict(sorted((roi.model_extra or {}).items()))
    fields = {name: getattr(roi, name) for name in type(roi).model_fields}
    return type(roi)(**fields, **extras)
