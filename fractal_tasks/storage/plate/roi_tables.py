"""ROI tables: reading with checks, and replacing without ever losing one.

A table may have any columns beside those of its specification. Its group attributes
hold under `RECORD_KEY` what produced it, so that table and record are replaced
together; what is in either is known one layer above.
"""

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fractal_tasks.errors import InvalidDataError, PublishError
from fractal_tasks.model import USUAL_LENGTH_UNIT, LengthUnit
from fractal_tasks.storage.files import files_of, open_group
from fractal_tasks.storage.library_errors import describe_cause, library_errors, reading
from fractal_tasks.storage.pixels.stored import METADATA_FILES
from fractal_tasks.storage.plate.displacements import write_displacements
from fractal_tasks.storage.plate.given_unit import note_given_unit
from fractal_tasks.storage.plate.images import list_tables
from fractal_tasks.storage.plate.ngio_tables import (
    check_lengths,
    finding_files,
    new_table,
    open_table,
    with_lost_columns,
)
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.storage.plate.roi_table_data import (
    MICROMETRES,
    RECORD_KEY,
    RoiTableData,
)
from fractal_tasks.storage.plate.rois import (
    MAX_LENGTH_UM,
    in_other_unit,
    is_length,
    stored_unit_um,
)
from fractal_tasks.storage.upstream import (
    finished_writes,
    quiet_remarks_on_columns,
    roi_table_meta,
)
from fractal_tasks.storage.urls import ImageUrl, Location
from fractal_tasks.transforms import Displacements, Vector

if TYPE_CHECKING:
    from ngio import Roi
    from ngio.tables.backends import BackendMeta


@contextmanager
def own_columns_known() -> Iterator[None]:
    """Read or write ROI tables without remarks of ngio and anndata.

    Tables may have any columns of their own beside those of the specification.
    """
    with quiet_remarks_on_columns(), warnings.catch_warnings():
        # How anndata stores a table is what Fractal's tables need.
        warnings.filterwarnings("ignore", message="Writing zarr v2 data")
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        # An error of ours says so, with the names.
        warnings.filterwarnings("ignore", message="Observation names are not uniq")
        yield


def read_roi_table(image: OpenImage, name: str) -> RoiTableData:
    """Read a ROI table or masking ROI table, check it, and that there is a ROI in it.

    Raises:
        InvalidDataError: As `load_roi_table`, or it has no ROIs.
    """
    table = load_roi_table(image, name)
    if not table.rois:
        raise InvalidDataError(
            f"{image.where(f'table {name!r}')} has no ROIs; needed is at least one. "
            "Choose another table."
        )
    return table


def load_roi_table(image: OpenImage, name: str) -> RoiTableData:
    """Read a ROI table or masking ROI table and check it; it may be empty.

    A table without type metadata, as older software wrote it, is taken as a ROI table
    if it has the columns of one. An open image reads each table once, so that one which
    is written is to be read of an image that was opened later.

    Raises:
        InvalidDataError: No such table, not a ROI table, or with ROIs that are unnamed,
            duplicated or not finite.
    """
    if name not in image.roi_tables:
        image.roi_tables[name] = _load_roi_table(image, name)
    return image.roi_tables[name]


def _load_roi_table(image: OpenImage, name: str) -> RoiTableData:
    tables = list_tables(image)
    where = image.where(f"table {name!r}")
    if name not in tables:
        raise InvalidDataError(
            f"{where} is needed, found are {tables}. Choose another, or run the task "
            "that makes it."
        )
    with (
        reading(
            f"{where} cannot be read as a ROI table",
            "Choose a table of type 'roi_table' or 'masking_roi_table', or convert "
            "the plate again.",
        ),
        own_columns_known(),
        finding_files(image, name),
    ):
        table = open_table(image, name)
        frame = check_lengths(where, table.load_as_pandas_df())
        rois = table.rois()
    check_rois(where, [str(index) for index in frame.index], rois)
    unit_um = stored_unit_um(rois, image)
    rois = in_other_unit(with_lost_columns(rois, frame), unit_um)
    return RoiTableData(
        name,
        {str(roi.name): roi for roi in rois},
        table.meta.model_copy(),
        unit_um,
    )


def check_rois(where: str, names: list[str], rois: Sequence["Roi"]) -> None:
    """Check that ROIs have names, all different, and lie somewhere.

    Args:
        where: Names the table in errors.
        names: Names as they are stored.
        rois: The ROIs.

    Raises:
        InvalidDataError: They have not.
    """
    unnamed = [name for name in names if name.strip() in {"", "nan", "None"}]
    duplicates = sorted(name for name, count in Counter(names).items() if count > 1)
    if unnamed or duplicates:
        found = [f"{len(unnamed)} without a name"] if unnamed else []
        found += [f"the duplicates {duplicates}"] if duplicates else []
        raise InvalidDataError(
            f"{where}: ROIs are paired between acquisitions by name, so each needs its "
            f"own; found {' and '.join(found)}. Give each ROI its own name in the "
            "table's index."
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


def plain_meta(backend: str) -> "BackendMeta":
    """Give the metadata of a new ROI table that is stored in `backend`."""
    return roi_table_meta()(backend=backend)


def check_table_replaceable(url: ImageUrl, name: str) -> None:
    """Find out before long work whether `replace_roi_table` would be refused.

    Raises:
        PublishError: A folder is not writable, or on another file system.
    """
    files_of(url).check_table_replaceable(url, name)


def replace_roi_table(
    url: ImageUrl,
    name: str,
    *,
    rois: Sequence["Roi"],
    meta: "BackendMeta",
    record: dict[str, Any],
    unit_um: Vector = MICROMETRES,
    missing_unit: LengthUnit = USUAL_LENGTH_UNIT,
    displacements: Mapping[str, Displacements] = MappingProxyType({}),
) -> None:
    """Write a ROI table, replacing one of the same name in a single step.

    Args:
        url: Image whose table it is; the caller holds its lock and has healed it.
        name: Name of the table.
        rois: Content of the table.
        meta: Type, index and backend of the table; an object store has its own choice
            of the backend.
        record: What produced the table; stored in its attributes.
        unit_um: How many micrometres one unit of the stored table is (z, y, x).
        missing_unit: Unit of metadata without one, to be noted for later steps.
        displacements: Those that its rows name, by their path in the image; they
            are there before it is.

    Raises:
        PublishError: The table could not be written; the old one is untouched.
    """
    import zarr

    files = files_of(url)
    tables = url.location / "tables"
    zarr_format = open_group(url.location).metadata.zarr_format
    write_displacements(url, displacements)
    files.make_own(tables, image=url)
    _make_folder(tables, zarr_format)
    backend = files.choose_table_backend(tables / name, meta.backend)
    new_meta = meta.model_copy(update={RECORD_KEY: record, "backend": backend})
    with (
        own_columns_known(),
        files.replace_table(
            url, name, validate=lambda build: _validate_table(build, rois)
        ) as build,
        finished_writes(),
    ):
        zarr.create_group(build, zarr_format=zarr_format)
        write_rois(build, rois, new_meta, unit_um)
    _list_table(url, name, missing_unit)


def _make_folder(tables: Location, zarr_format: Literal[2, 3]) -> None:
    """Make the group of an image's tables, if it has none yet.

    A folder of that name with nothing but other files becomes the group.
    """
    import zarr

    files = files_of(tables)
    if not files.exists(tables) or METADATA_FILES.isdisjoint(files.list_files(tables)):
        with files.building_locally(tables) as folder:
            zarr.create_group(
                folder, zarr_format=zarr_format, attributes={"tables": []}
            )


def write_rois(
    table_path: Path,
    rois: Sequence["Roi"],
    meta: "BackendMeta",
    unit_um: Vector = MICROMETRES,
) -> None:
    """Write ROIs, of micrometres, into an existing, empty zarr group."""
    from ngio.tables import write_table

    z, y, x = np.divide(1.0, unit_um).tolist()
    stored = in_other_unit(rois, (z, y, x))
    try:
        with own_columns_known():
            write_table(table_path, new_table(stored, meta), backend=meta.backend)
    except OSError:
        raise
    except library_errors() as error:
        raise InvalidDataError(
            f"{table_path}: its ROIs cannot be stored in a table of backend "
            f"{meta.backend!r} ({describe_cause(error)}). Correct or remove the column "
            "that is named."
        ) from error


def _validate_table(build: Path, rois: Sequence["Roi"]) -> None:
    from ngio.tables import GenericRoiTable, open_table_as

    with own_columns_known():
        found = open_table_as(build, GenericRoiTable, mode="r").rois()
    if [roi.name for roi in found] != [roi.name for roi in rois]:
        raise InvalidDataError(
            f"{build}: wrote ROIs {[roi.name for roi in rois]}, found "
            f"{[roi.name for roi in found]} on reading back."
        )


def _list_table(url: ImageUrl, name: str, missing_unit: LengthUnit) -> None:
    """Name a table in the attributes of the ``tables`` group (one atomic write)."""
    tables = url.location / "tables"
    try:
        with files_of(url).edit_attributes(tables, image=url) as attributes:
            listed = list(attributes.get("tables", []))
            if name not in listed:
                attributes["tables"] = [*listed, name]
            note_given_unit(attributes, missing_unit)
    except OSError as error:
        raise PublishError(
            f"{tables.url}: table {name!r} is in place, but could not be added to the "
            f"list of tables ({error}). Check free space, quota and permissions, then "
            "run the task again: it adds it."
        ) from error
