"""The record in a registered image: how it was made, and from what."""

from typing import Any

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.records.provenance import Record
from fractal_tasks.records.stored_plan import StoredPlacement
from fractal_tasks.storage.files import files_of, open_group
from fractal_tasks.storage.library_errors import reading
from fractal_tasks.storage.plate.images import list_tables
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.storage.plate.roi_table_data import RECORD_KEY
from fractal_tasks.storage.plate.roi_tables import read_roi_table
from fractal_tasks.storage.urls import ImageUrl


class AppliedRecord(Record):
    """What is stored in the attributes of a registered image."""

    input_image: str
    """Path in the well of the image that it was made from."""

    reference_image: str
    """Path in the well of the image that it was registered to."""

    placements: tuple[StoredPlacement, ...]

    consensus: Record | None
    """What they were made from; None if another package wrote the table."""

    measured: Record | None = None
    """By what the ROIs were measured; None of the reference."""


def is_registered(url: ImageUrl) -> bool:
    """Whether this package registered an image.

    Raises:
        InvalidDataError: There is no image.
    """
    return _read_attribute(url) is not None


def read_applied_record(url: ImageUrl) -> AppliedRecord | None:
    """Read how an image was registered; None if this version did not register it.

    Raises:
        InvalidDataError: There is no image.
    """
    return AppliedRecord.read(_read_attribute(url))


def _read_attribute(url: ImageUrl) -> dict[str, Any] | None:
    with reading(
        f"{url.zarr_url}: found no image that can be opened",
        "Restore it, or take it out of the metadata of its well.",
    ):
        record = open_group(url.location).attrs.get(RECORD_KEY)
    return record if isinstance(record, dict) else None


def is_applied(image: OpenImage, registered_roi_table: str) -> bool:
    """Whether an image is the result of applying this table.

    A registered image has the table without the plan; a later run of find consensus
    writes a new plan, and the image is registered again.
    """
    record = read_applied_record(image.url)
    if record is None:
        return False
    if record.settings.get("registered_roi_table") != registered_roi_table:
        return False
    if registered_roi_table not in list_tables(image):
        return False
    return read_roi_table(image, registered_roi_table).record is None


def check_free(target: ImageUrl, input_image: str) -> dict[str, Any] | None:
    """Refuse to write a registered image over what is not an older version of it.

    Args:
        target: Where it is to be written.
        input_image: Path in the well of the image that it is made from.

    Returns:
        What is stored in the image that is there; None if none is, or an unfinished
        one.

    Raises:
        InvalidDataError: There is something else at the url.
    """
    files = files_of(target)
    unfinished = files.read_unfinished(target)
    if unfinished not in {None, input_image}:
        raise _occupied(target)
    if unfinished is not None:
        return None
    try:
        stored = _read_attribute(target)
    except InvalidDataError as error:
        if not files.exists(target.location):
            return None
        raise _occupied(target) from error
    if stored is None or stored.get("input_image") != input_image:
        raise _occupied(target)
    return stored


def is_up_to_date(target: ImageUrl, record: AppliedRecord) -> bool:
    """Whether the output of an earlier run is there and was made in the same way.

    Raises:
        InvalidDataError: There is something else at the url.
    """
    found = AppliedRecord.read(check_free(target, record.input_image))
    return found is not None and found.is_of(record)


def _occupied(target: ImageUrl) -> InvalidDataError:
    return InvalidDataError(
        f"{target.zarr_url}: exists and is not the registered image of this input; it "
        "is left untouched. Choose another output_image_suffix, or move it away."
    )
