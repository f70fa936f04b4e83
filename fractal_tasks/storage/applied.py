"""What a plate says about registered images: the record in them, the well's list."""

from typing import TYPE_CHECKING, Any

from fractal_tasks.errors import InvalidDataError, PublishError
from fractal_tasks.storage.attributes import edit_attributes
from fractal_tasks.storage.images import list_tables
from fractal_tasks.storage.locks import well_lock
from fractal_tasks.storage.reading import reading
from fractal_tasks.storage.roi_tables import RECORD_KEY, read_roi_table
from fractal_tasks.storage.stores import exists, open_group, open_store
from fractal_tasks.storage.urls import ImageUrl

if TYPE_CHECKING:
    from ngio import OmeZarrContainer


def read_applied_record(image: ImageUrl) -> dict[str, Any] | None:
    """Read how an image was registered; None if this package did not register it.

    Raises:
        InvalidDataError: There is no image.
    """
    with reading(
        f"{image.zarr_url}: found no image that can be opened",
        "Restore it, or take it out of the metadata of its well.",
    ):
        record = open_group(image.location).attrs.get(RECORD_KEY)
    return record if isinstance(record, dict) else None


def is_applied(
    container: "OmeZarrContainer", image: ImageUrl, registered_roi_table: str
) -> bool:
    """Whether an image is the result of applying this table.

    A registered image has the table without the plan; a later run of find consensus
    writes a new plan, and the image is registered again.
    """
    record = read_applied_record(image)
    if record is None or record.get("registered_roi_table") != registered_roi_table:
        return False
    if registered_roi_table not in list_tables(container, image):
        return False
    return read_roi_table(container, image, registered_roi_table).record is None


def is_up_to_date(target: ImageUrl, record: dict[str, Any]) -> bool:
    """Whether the output of an earlier run is there and was made in the same way.

    Raises:
        InvalidDataError: There is something else at the url.
    """
    if _is_unfinished(target, record["input_image"]):
        return False
    try:
        found = read_applied_record(target)
    except InvalidDataError as error:
        if not exists(target.location):
            return False
        raise _occupied(target) from error
    if found is None or found.get("input_image") != record["input_image"]:
        raise _occupied(target)
    return found == record


def _is_unfinished(target: ImageUrl, input_image: str) -> bool:
    """Whether an earlier run was interrupted while it wrote to an object store.

    On a file system such an image is never at its place.
    """
    if not target.is_remote:
        return False
    from fractal_tasks.storage.remote_images import read_marker

    marker = read_marker(target)
    if marker not in {None, input_image}:
        raise _occupied(target)
    return marker == input_image


def _occupied(target: ImageUrl) -> InvalidDataError:
    return InvalidDataError(
        f"{target.zarr_url}: exists and is not the registered image of this input; it "
        "is left untouched. Choose another output_image_suffix, or move it away."
    )


def check_plate(image: ImageUrl) -> None:
    """Check that there is a plate to which an image can be added.

    Raises:
        InvalidDataError: There is no plate metadata.
    """
    from ngio import open_ome_zarr_plate

    with reading(
        f"{image.plate_url}: found no metadata of an OME-Zarr plate, which has to list "
        "the new image",
        "Check the zarr_url, or use overwrite_input=True.",
    ):
        _ = open_ome_zarr_plate(open_store(image.plate), mode="r").meta


def add_to_well(image: ImageUrl, acquisition: int) -> None:
    """List an image in its well, under the well's lock, if it is not listed yet.

    The caller holds the image's lock and has healed it.

    An object store has no lock: there the new list replaces the one it was made from.

    Raises:
        PublishError: The well could not be written.
    """
    if image.is_remote:
        from fractal_tasks.storage.remote_images import list_in_well

        list_in_well(image, acquisition)
        return
    try:
        with (
            well_lock(image.well.path),
            edit_attributes(image.well, image=image) as attributes,
        ):
            images = attributes.get("ome", attributes)["well"]["images"]
            if all(entry["path"] != image.image_path for entry in images):
                images.append({"path": image.image_path, "acquisition": acquisition})
    except (OSError, PublishError) as error:
        raise PublishError(
            f"{image.zarr_url} is in place, but could not be added to the images of "
            f"its well ({error}). Check free space, quota and permissions, then run "
            "the task again: it adds it."
        ) from error
