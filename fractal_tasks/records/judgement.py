"""The judgement in which an image has its place, before and after it is replaced.

*Consensus* freezes in every image of a well all that *apply* needs. Once the first of
them is replaced the estimates cannot be judged again, and need not be: what is left to
do is to apply the judgement to the others.
"""

from collections.abc import Iterable, Mapping, Sequence

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.records.applied import AppliedRecord, read_applied_record
from fractal_tasks.records.provenance import Record
from fractal_tasks.storage.files import open_group
from fractal_tasks.storage.library_errors import reading
from fractal_tasks.storage.plate.roi_table_data import RECORD_KEY
from fractal_tasks.storage.urls import ImageUrl

_OF_IMAGE = "image "
"""Begins the names of those inputs of a judgement that are images."""


def name_input(image: ImageUrl, home: ImageUrl) -> str:
    """Name an image among the inputs of the judgement of its well."""
    return _OF_IMAGE + image.seen_from(home)


def read_applied_judgement(image: ImageUrl) -> Record | None:
    """Read from which judgement an image was replaced by its registered version.

    Returns:
        None if it was not, or if that cannot be read.
    """
    applied = _read_replacing(image)
    return None if applied is None else applied.consensus


def read_replacing_records(image: ImageUrl) -> list[Record]:
    """Read what made the registered image that has replaced an image, step by step.

    Returns:
        Empty if it was not replaced; steps that it does not tell of are left out.
    """
    return _list_steps(_read_replacing(image))


def read_applied_steps(image: ImageUrl) -> list[Record]:
    """Read what made a registered image, whether in the place of its input or beside.

    Returns:
        Empty if it is none; steps that it does not tell of are left out.
    """
    return _list_steps(_read_applied(image))


def _list_steps(applied: AppliedRecord | None) -> list[Record]:
    if applied is None:
        return []
    steps = (applied.measured, applied.consensus, applied)
    return [one for one in steps if one is not None]


def _read_replacing(image: ImageUrl) -> AppliedRecord | None:
    """Read the record of a registered image that is in the place of its input."""
    applied = _read_applied(image)
    if applied is None or applied.input_image != image.image_path:
        return None
    return applied


def _read_applied(image: ImageUrl) -> AppliedRecord | None:
    try:
        return read_applied_record(image)
    except InvalidDataError:  # damaged images are reported where they are used
        return None


def read_table_record(image: ImageUrl, table: str) -> Record | None:
    """Read what made a ROI table, without its rows.

    Returns:
        None if there is no such table, or no record of it that can be read.
    """
    folder = image.location / "tables" / table
    try:
        with reading(f"{folder.url}: found no table", "Restore or remove it."):
            stored = open_group(folder).attrs.get(RECORD_KEY)
    except InvalidDataError:  # reported where it is needed
        return None
    if not isinstance(stored, dict):
        return None
    # What is frozen beside the record of a judgement is long, and not needed here.
    fields = {"schema", *Record.model_fields}
    return Record.read({key: stored[key] for key in stored if key in fields})


def find_pending(
    images: Iterable[ImageUrl], registered_roi_table: str
) -> dict[ImageUrl, Record]:
    """Find the images that have a place in a judgement which others are replaced by.

    Args:
        images: Images of any number of wells.
        registered_roi_table: The table of the judgement.

    Returns:
        Of each that is not replaced, while another one is, the judgement of both.
    """
    own = {image: read_table_record(image, registered_roi_table) for image in images}
    near = {
        other
        for image, judgement in own.items()
        if judgement is not None
        for other in (image, *_images_beside(image, judgement))
    }
    applied = {image: read_applied_judgement(image) for image in near}
    begun = {one.model_dump_json() for one in applied.values() if one is not None}
    return {
        image: judgement
        for image, judgement in own.items()
        if judgement is not None
        and applied[image] is None
        and judgement.model_dump_json() in begun
    }


def _images_beside(image: ImageUrl, judgement: Record) -> list[ImageUrl]:
    """Give the images of a judgement that are in the folder of one of them."""
    names = [
        name.removeprefix(_OF_IMAGE)
        for name in judgement.inputs
        if name.startswith(_OF_IMAGE)
    ]
    return [image.sibling(name) for name in names if "/" not in name]


def find_differences(record: Record, settings: Mapping[str, object]) -> list[str]:
    """Say in which settings a run differs from what an earlier one made.

    Args:
        record: Of the earlier one.
        settings: Those of the run, and any others.

    Returns:
        A text for each, e.g. ``min_confidence=0.5 (was 0.9)``.
    """
    return [
        f"{name}={settings[name]!r} (was {value!r})"
        for name, value in record.settings.items()
        if name in settings and settings[name] != value
    ]


def judged_otherwise(image: ImageUrl, differences: Sequence[str]) -> InvalidDataError:
    """Make the error of an order that is not that by which a well was begun."""
    return InvalidDataError(
        f"{image.zarr_url}: found {', '.join(differences)}, but other images of its "
        "well are registered already, and cannot be judged again. Finish it with the "
        "arguments it was begun with, or restore the input of the whole well."
    )


def registered_otherwise(differences: Sequence[str]) -> InvalidDataError:
    """Make the error of an order that is not that by which an image was replaced."""
    return InvalidDataError(
        f"Found {', '.join(differences)}, but the image is registered already, in the "
        "place of its input. Restore the input (in an output folder, remove the plate "
        "or image there) to register it with these arguments, or give those it was "
        "registered with."
    )


def not_judged(image: ImageUrl) -> InvalidDataError:
    """Make the error of an image that is new in a well that was begun without it."""
    return InvalidDataError(
        f"{image.zarr_url}: others of its well are registered, or being so, by a "
        "judgement in which it has no place. Finish these first, with 'register' on "
        "the plate; then name all images of the well one by one to register this one "
        "to them, or restore the input of the whole well."
    )
