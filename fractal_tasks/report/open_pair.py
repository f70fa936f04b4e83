"""Find what an acquisition was registered to, and how its ROIs moved."""

from collections.abc import Mapping

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.records.applied import AppliedRecord, read_applied_record
from fractal_tasks.records.judgement import read_table_record
from fractal_tasks.records.provenance import Record
from fractal_tasks.records.registered_rows import read_registered_rows
from fractal_tasks.records.rows import RoiRecord
from fractal_tasks.records.stored_plan import ConsensusRecord
from fractal_tasks.report.pairs import Pair, Tables
from fractal_tasks.storage.files import files_of
from fractal_tasks.storage.plate.default_rois import find_roi_table
from fractal_tasks.storage.plate.images import list_tables
from fractal_tasks.storage.plate.open_image import OpenImage, open_image
from fractal_tasks.storage.plate.roi_tables import load_roi_table
from fractal_tasks.storage.plate.wells import (
    choose_reference,
    is_in_plate,
    read_acquisitions,
)
from fractal_tasks.storage.urls import ImageUrl, parse_image_url


def open_pair(
    url: ImageUrl, registered: Mapping[ImageUrl, ImageUrl], tables: Tables
) -> Pair | None:
    """Open what shows the ROIs of an acquisition; None for a reference.

    Args:
        url: The acquisition.
        registered: Registered versions beside images.
        tables: They say how it moved; that of the estimates, if nothing else tells it.

    Raises:
        InvalidDataError: There is no reference, or an image cannot be read.
    """
    image, applied = open_image(url), read_applied_record(url)
    if applied is not None:
        table = str(applied.settings.get("registered_roi_table", tables.registered))
        tables = Tables(table, tables.estimates)
    judged = applied.consensus if applied else read_table_record(url, tables.registered)
    if judged is not None:
        table = str(judged.settings.get("input_roi_table", tables.estimates))
        tables = Tables(tables.registered, table)
    measured = applied.measured if applied else None
    measured = measured or read_table_record(url, tables.estimates)
    reference_url = _find_reference(image, applied, measured, tables)
    if reference_url is None:
        return None
    reference = open_image(reference_url)
    beside = None
    if applied is None and url in registered:
        of_reference = registered.get(reference_url)
        beside = (
            reference if of_reference is None else open_image(of_reference),
            open_image(registered[url]),
        )
    return Pair(
        image,
        reference,
        beside,
        applied,
        _find_channels(measured),
        _read_rows(image, reference, tables),
        tables,
    )


def _find_reference(
    image: OpenImage,
    applied: AppliedRecord | None,
    measured: Record | None,
    tables: Tables,
) -> ImageUrl | None:
    """Find what an image is registered to; None if it is a reference itself.

    Without a record it is the first acquisition of the well.
    """
    url, found = image.url, None
    if measured is not None and "reference_image" in measured.inputs:
        found = measured.inputs["reference_image"]
    elif applied is not None:
        found = applied.reference_image
    elif tables.registered in list_tables(image):
        stored = load_roi_table(image, tables.registered).record
        judged = ConsensusRecord.read(stored)
        found = judged.reference_image if judged else None
    if found is None and is_in_plate(url):
        return _find_first(url)
    if found is None:
        raise _unknown_reference(url, "it was never measured, or is a reference itself")
    if found == url.image_path or _is_reference(image, tables):
        return None
    if "/" in found:
        reference = parse_image_url(found, url.storage_options)
    else:
        reference = url.sibling(found)
    if is_in_plate(url) or files_of(reference).exists(reference.location):
        return reference
    gone = f"its tables name {reference.zarr_url}, which is gone"
    raise _unknown_reference(url, gone)


def _is_reference(image: OpenImage, tables: Tables) -> bool:
    """Whether an image that was moved out of its plate was the reference there."""
    if is_in_plate(image.url) or tables.registered not in list_tables(image):
        return False
    rows = read_registered_rows(image, tables.registered)
    return all(row.status == "reference" for row in rows)


def _unknown_reference(url: ImageUrl, why: str) -> InvalidDataError:
    return InvalidDataError(
        f"{url.zarr_url}: the image that it is registered to is not known: {why}. "
        "Register it with --reference, or name an image that is registered to it."
    )


def _find_first(url: ImageUrl) -> ImageUrl | None:
    numbers = read_acquisitions(url.well)
    first = min(one for one in numbers.values() if one is not None)
    references = [url.sibling(path) for path, one in numbers.items() if one == first]
    return None if url in references else choose_reference(url, references)


def _find_channels(measured: Record | None) -> tuple[int, int]:
    """Find the first of the channels that were compared; of others it is the first."""
    names = ("reference_channel", "channel")
    listed = [measured.inputs.get(name, "0") if measured else "0" for name in names]
    first, second = (int(one.partition(",")[0]) for one in listed)
    return first, second


def _read_rows(
    image: OpenImage, reference: OpenImage, tables: Tables
) -> dict[str, RoiRecord]:
    """Read how ROIs moved: as it was judged, or else as it was estimated."""
    estimated = {
        name: RoiRecord.from_roi(roi, image, image.where(f"ROI {name!r}"))
        for name, roi in find_roi_table(image, tables.estimates, reference).rois.items()
    }
    if tables.registered not in list_tables(image):
        return estimated
    judged = {
        row.key.roi: row for row in read_registered_rows(image, tables.registered)
    }
    # Another package writes how ROIs moved into the table of the estimates alone.
    return {
        name: row if row.candidates else estimated.get(name, row)
        for name, row in judged.items()
    }
