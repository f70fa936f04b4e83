"""ROI tables: reading with checks, and replacing without ever losing one.

The ROI table of an acquisition is the record of its registration. Beside the columns
(`roi_columns`), a table's group attributes hold under ``registration`` what produced it
(`RECORD_KEY`), so that table and record are replaced together.
"""

import keyword
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fractal_tasks.errors import InvalidDataError, PublishError
from fractal_tasks.storage.attributes import edit_attributes
from fractal_tasks.storage.images import list_tables
from fractal_tasks.storage.publish import check_replaceable, replace_directory
from fractal_tasks.storage.reading import describe_cause, library_errors, reading
from fractal_tasks.storage.roi_columns import MAX_LENGTH_UM, OWN_COLUMNS, is_length
from fractal_tasks.storage.stores import open_group
from fractal_tasks.storage.urls import ImageUrl

if TYPE_CHECKING:
    from ngio import OmeZarrContainer, Roi
    from ngio.tables import GenericRoiTable
    from ngio.tables.backends import BackendMeta
    from pandas import DataFrame

RECORD_KEY = "registration"


@dataclass(frozen=True)
class RoiTableData:
    """The content of a ROI table."""

    name: str
    rois: dict[str, "Roi"]
    """ROIs by name, in the order of the table."""

    meta: "BackendMeta"
    """Table metadata as ngio holds it: type, index, backend, further attributes."""

    @property
    def record(self) -> dict[str, Any] | None:
        """What this package stored beside the table; None if it did not write it."""
        extra = self.meta.model_extra or {}
        record = extra.get(RECORD_KEY)
        return record if isinstance(record, dict) else None


class _ExpectedRemarks(logging.Filter):
    """Drops remarks of libraries about columns that are ours and documented."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        return not any(f"'{column}'" in message for column in OWN_COLUMNS)


@contextmanager
def own_columns_known() -> Iterator[None]:
    """Read or write ROI tables without remarks about the columns of this package."""
    names = ("ngio:ngio.tables.v1._roi_table", "anndata")
    expected = _ExpectedRemarks()
    for name in names:
        logging.getLogger(name).addFilter(expected)
    try:
        with warnings.catch_warnings():
            # How anndata stores a table is what Fractal's tables need.
            warnings.filterwarnings("ignore", message="Writing zarr v2 data")
            warnings.filterwarnings("ignore", message="Consolidated metadata")
            # An error of ours says so, with the names.
            warnings.filterwarnings("ignore", message="Observation names are not uniq")
            yield
    finally:
        for name in names:
            logging.getLogger(name).removeFilter(expected)


def read_roi_table(
    container: "OmeZarrContainer", image: ImageUrl, name: str
) -> RoiTableData:
    """Read a ROI table or masking ROI table and check it.

    A table without type metadata, as older software wrote it, is taken as a ROI table
    if it has the columns of one.

    Raises:
        InvalidDataError: No such table, not a ROI table, without ROIs, or with ROIs
            that are unnamed, duplicated or not finite.
    """
    tables = list_tables(container, image)
    where = f"{image.zarr_url}: table {name!r}"
    if name not in tables:
        raise InvalidDataError(
            f"{where} is needed, found are {tables}. Choose one of these, or run the "
            "task that makes it."
        )
    with (
        reading(
            f"{where} cannot be read as a ROI table",
            "Choose a table of type 'roi_table' or 'masking_roi_table', or convert "
            "the plate again.",
        ),
        own_columns_known(),
    ):
        table = _open_table(container, name)
        frame = table.load_as_pandas_df()
        rois = table.rois()
    check_rois(where, [str(index) for index in frame.index], rois)
    rois = _with_lost_columns(rois, frame)
    return RoiTableData(
        name, {str(roi.name): roi for roi in rois}, table.meta.model_copy(deep=True)
    )


def _with_lost_columns(rois: Sequence["Roi"], frame: "DataFrame") -> list["Roi"]:
    """Add what ngio loses: values of columns that could not be Python attributes."""
    lost = [
        name
        for name in map(str, frame.columns)
        if not name.isidentifier() or name.startswith("_") or keyword.iskeyword(name)
    ]
    if not lost:
        return list(rois)
    rows = frame[lost].to_dict("records")
    return [roi.model_copy(update=row) for roi, row in zip(rois, rows, strict=True)]


def _open_table(container: "OmeZarrContainer", name: str) -> "GenericRoiTable":
    from ngio.tables import RoiTable

    if _stored_type(container, name) is None:
        return container.get_table_as(name, RoiTable)
    return container.get_generic_roi_table(name)


def _stored_type(container: "OmeZarrContainer", name: str) -> str | None:
    group = container.tables_container._group_handler.get_handler(
        path=name, create_mode=False
    )
    table_type = group.load_attrs().get("type")
    return None if table_type is None else str(table_type)


def read_table_types(container: "OmeZarrContainer", image: ImageUrl) -> dict[str, str]:
    """Read the type of every table of an image, by name.

    A table without type metadata is a ROI table if it can be read as one.
    """
    types = {}
    for name in list_tables(container, image):
        with reading(
            f"{image.zarr_url}: table {name!r} cannot be opened",
            "Remove it from the image, or make it again.",
        ):
            table_type = _stored_type(container, name)
        if table_type is None:
            table_type = _guess_type(container, image, name)
        types[name] = table_type
    return types


def _guess_type(container: "OmeZarrContainer", image: ImageUrl, name: str) -> str:
    try:
        read_roi_table(container, image, name)
    except InvalidDataError:
        return "generic_table"
    return "roi_table"


def check_rois(where: str, names: list[str], rois: Sequence["Roi"]) -> None:
    """Check that ROIs have names, all different, and lie somewhere.

    Args:
        where: Names the table in errors.
        names: Names as they are stored.
        rois: The ROIs.

    Raises:
        InvalidDataError: They have not.
    """
    if not rois:
        raise InvalidDataError(
            f"{where} has no ROIs; needed is at least one. Choose another table."
        )
    unnamed = [name for name in names if name.strip() in {"", "nan", "None"}]
    duplicates = sorted({name for name in names if names.count(name) > 1})
    if unnamed or duplicates:
        raise InvalidDataError(
            f"{where}: ROIs are paired between acquisitions by name, so each needs its "
            f"own; found {len(unnamed)} without a name and the duplicates "
            f"{duplicates}. Give each ROI its own name in the table's index."
        )
    for roi in rois:
        for axis in roi.slices:
            values = (axis.start, axis.length)
            if any(value is not None and not is_length(value) for value in values):
                raise InvalidDataError(
                    f"{where}, ROI {roi.name!r}: found {axis.axis_name} from "
                    f"{axis.start} with length {axis.length} um; needed are numbers "
                    f"below {MAX_LENGTH_UM:g}. Correct the table."
                )


def check_same_rois(tables: Mapping[ImageUrl, RoiTableData]) -> None:
    """Check that all tables have the ROIs of the first, in whatever order.

    Raises:
        InvalidDataError: Names the ROIs that are missing on either side.
    """
    (reference, expected), *others = tables.items()
    for image, table in others:
        missing = [name for name in expected.rois if name not in table.rois]
        extra = [name for name in table.rois if name not in expected.rois]
        if missing or extra:
            raise InvalidDataError(
                f"Table {table.name!r}: ROIs only in {reference.zarr_url}: {missing}; "
                f"only in {image.zarr_url}: {extra}. Needed are the same ROIs in all "
                "acquisitions of a well; remove the others or rename them."
            )


def plain_meta(backend: str) -> "BackendMeta":
    """Give the metadata of a new ROI table that is stored in `backend`."""
    from ngio.tables.v1._roi_table import RoiTableV1Meta

    return RoiTableV1Meta(backend=backend)


def check_table_replaceable(image: ImageUrl, name: str) -> None:
    """Find out before long work whether `replace_roi_table` would be refused.

    Raises:
        PublishError: A folder is not writable, or on another file system.
    """
    if not image.is_remote:
        check_replaceable(image.path / "tables" / name, image.path)


def replace_roi_table(
    image: ImageUrl,
    name: str,
    *,
    rois: Sequence["Roi"],
    meta: "BackendMeta",
    record: dict[str, Any],
) -> None:
    """Write a ROI table, replacing one of the same name in a single step.

    Args:
        image: Image whose table it is.
        name: Name of the table.
        rois: Content of the table.
        meta: Type, index and backend of the table; an object store has its own choice
            of the backend.
        record: What produced the table; stored in its attributes.

    Raises:
        PublishError: The table could not be written; the old one is untouched.
    """
    import zarr

    from fractal_tasks.storage.writes import finished_writes

    tables = image.location / "tables"
    zarr_format = open_group(tables).metadata.zarr_format
    update: dict[str, Any] = {RECORD_KEY: record}
    if image.is_remote:
        from fractal_tasks.storage.remote_tables import choose_backend

        update["backend"] = choose_backend(tables / name)
    with (
        own_columns_known(),
        _replacing(image, name, rois) as build,
        finished_writes(),
    ):
        zarr.create_group(build, zarr_format=zarr_format)
        write_rois(build, rois, meta.model_copy(update=update))
    _list_table(image, name)


def _replacing(
    image: ImageUrl, name: str, rois: Sequence["Roi"]
) -> AbstractContextManager[Path]:
    """Give a path to build a table; replace the stored one by it at the end."""

    def validate(build: Path) -> None:
        _validate_table(build, rois)

    if image.is_remote:
        from fractal_tasks.storage.remote_tables import replace_table

        return replace_table(image.location / "tables" / name, validate=validate)
    return replace_directory(
        image.path / "tables" / name, image=image.path, validate=validate
    )


def write_rois(table_path: Path, rois: Sequence["Roi"], meta: "BackendMeta") -> None:
    """Write ROIs into an existing, empty zarr group."""
    from ngio.tables import write_table

    try:
        with own_columns_known():
            write_table(table_path, _new_table(rois, meta), backend=meta.backend)
    except OSError:
        raise
    except library_errors() as error:
        raise InvalidDataError(
            f"{table_path}: its ROIs cannot be stored in a table of backend "
            f"{meta.backend!r} ({describe_cause(error)}). Correct or remove the column "
            "that is named."
        ) from error


def _new_table(rois: Sequence["Roi"], meta: "BackendMeta") -> "GenericRoiTable":
    from ngio.tables import MaskingRoiTable, RoiTable
    from ngio.tables.v1._roi_table import MaskingRoiTableV1Meta, RoiTableV1Meta

    meta = meta.model_copy(deep=True)
    rois = [_with_sorted_extras(roi) for roi in rois]
    if isinstance(meta, MaskingRoiTableV1Meta):
        return MaskingRoiTable(rois=rois, meta=meta)
    return RoiTable(rois=rois, meta=RoiTableV1Meta(**meta.model_dump(by_alias=True)))


def _with_sorted_extras(roi: "Roi") -> "Roi":
    """Order the further columns by name: ngio reads them in any order."""
    extras = dict(sorted((roi.model_extra or {}).items()))
    fields = {name: getattr(roi, name) for name in type(roi).model_fields}
    return type(roi)(**fields, **extras)


def _validate_table(build: Path, rois: Sequence["Roi"]) -> None:
    from ngio.tables import GenericRoiTable, open_table_as

    with own_columns_known():
        found = open_table_as(build, GenericRoiTable, mode="r").rois()
    if [roi.name for roi in found] != [roi.name for roi in rois]:
        raise InvalidDataError(
            f"{build}: wrote ROIs {[roi.name for roi in rois]}, found "
            f"{[roi.name for roi in found]} on reading back."
        )


def _list_table(image: ImageUrl, name: str) -> None:
    """Name a table in the attributes of the ``tables`` group (one atomic write)."""
    tables = image.location / "tables"
    try:
        with edit_attributes(tables, image=image) as attributes:
            listed = list(attributes.get("tables", []))
            if name not in listed:
                attributes["tables"] = [*listed, name]
    except OSError as error:
        raise PublishError(
            f"{tables.url}: table {name!r} is in place, but could not be added to the "
            f"list of tables ({error}). Check free space, quota and permissions, then "
            "run the task again: it adds it."
        ) from error
