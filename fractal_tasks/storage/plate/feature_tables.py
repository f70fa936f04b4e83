"""Tables of measurements of an image, as they are."""

from typing import TYPE_CHECKING

from fractal_tasks.storage.library_errors import reading
from fractal_tasks.storage.plate.ngio_tables import check_table, finding_files
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.storage.plate.roi_tables import own_columns_known

if TYPE_CHECKING:
    from pandas import DataFrame


def read_table_rows(image: OpenImage, name: str) -> "DataFrame":
    """Read the rows of a table; what names them is a column, too.

    Raises:
        InvalidDataError: It cannot be read.
    """
    with (
        reading(
            image.where(f"table {name!r} cannot be loaded"),
            "Remove it from the image, or make it again.",
        ),
        own_columns_known(),
    ):
        check_table(image, name)
        with finding_files(image, name):
            frame: DataFrame = image.container.get_table(name).dataframe
    return frame.reset_index() if frame.index.name else frame
