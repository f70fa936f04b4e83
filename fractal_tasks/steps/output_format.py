"""Whether an image can be stored in another way than the one that it is made from."""

from collections.abc import Sequence

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.model.output_format import OutputFormat
from fractal_tasks.steps.unknown_files import check_keys
from fractal_tasks.storage.plate.formats import array_options, changes_version
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.storage.plate.table_formats import check_convertible
from fractal_tasks.storage.plate.tables import read_table_types
from fractal_tasks.storage.plate.wells import is_in_plate
from fractal_tasks.storage.upstream import get_label


def check_format(
    image: OpenImage, labels: Sequence[str], output_format: OutputFormat
) -> None:
    """Find out whether an image can be stored otherwise, with all that is in it.

    Args:
        image: What is to be stored.
        labels: Names of those of its labels that are to be stored as well.
        output_format: How.

    Raises:
        InvalidInputError: It cannot.
    """
    if output_format == OutputFormat():
        return
    if changes_version(image.level, output_format):
        _check_version(image, labels, output_format)
    array_options(image.level, output_format, image.where())
    for name in labels:
        label = get_label(image.container, name)
        array_options(label, output_format, image.where(f"label {name!r}"))


def _check_version(
    image: OpenImage, labels: Sequence[str], output_format: OutputFormat
) -> None:
    # ngio opens all images of a plate by the version of the plate: with a single one of
    # another version, its list of images cannot be opened any more.
    if is_in_plate(image.url):
        raise InvalidInputError(
            f"{image.zarr_url}: output_format.ngff_version="
            f"{output_format.ngff_version!r}, but the image is in a plate of another "
            "version, and software reads a plate by one. Leave it out, or convert the "
            "whole plate before it is registered."
        )
    for name, table_type in read_table_types(image).items():
        if not table_type.endswith("roi_table"):
            check_convertible(image, name)
    check_keys(image, labels)
