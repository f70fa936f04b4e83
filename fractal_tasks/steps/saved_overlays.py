"""Pictures of ROIs beside the plate, for whoever asks a task for them."""

import io
from collections.abc import Mapping
from pathlib import Path

from fractal_tasks.model import DEFAULT_ROI_TABLE
from fractal_tasks.report.open_pair import open_pair
from fractal_tasks.report.output import find_overlay_folder, name_file, replace_file
from fractal_tasks.report.pairs import Tables
from fractal_tasks.report.show import draw_pairs
from fractal_tasks.steps.apply_order import ApplyOrder
from fractal_tasks.storage.plate.wells import is_in_plate
from fractal_tasks.storage.plate.work import working_on
from fractal_tasks.storage.urls import ImageUrl

_QUALITY = 90


def save_estimated_overlays(url: ImageUrl, folder: Path, input_roi_table: str) -> None:
    """Write pictures of what *calculate* found, whatever was judged before.

    Raises:
        InvalidDataError: An image cannot be read.
        PublishError: A picture could not be written.
    """
    _save(url, folder, Tables("", input_roi_table), "estimated", {})


def save_registered_overlays(order: ApplyOrder) -> None:
    """Write pictures of what *apply* made.

    Raises:
        InvalidDataError: An image cannot be read.
        PublishError: A picture could not be written.
    """
    folder = find_overlay_folder(order.url)
    tables = Tables(order.registered_roi_table, DEFAULT_ROI_TABLE)
    registered = {} if order.replaces_input else {order.url: order.target}
    _save(order.url, folder, tables, "registered", registered)


def _save(
    url: ImageUrl,
    folder: Path,
    tables: Tables,
    step: str,
    registered: Mapping[ImageUrl, ImageUrl],
) -> None:
    """Write a picture per ROI of an acquisition; none of a reference."""
    pair = open_pair(url, registered, tables)
    if pair is None:
        return
    place = f"{url.row}{url.column}_" if is_in_plate(url) else ""
    folder.mkdir(exist_ok=True)
    # Whoever replaces the reference waits until its pixels are read.
    with working_on(url, pair.reference.url, *registered.values()):
        for roi in pair.rows:
            file = io.BytesIO()
            draw_pairs([pair], roi).save(file, "JPEG", quality=_QUALITY, subsampling=0)
            name = f"{place}{url.image_path}_{roi}_{step}.jpg"
            replace_file(folder / name_file(name), file.getvalue())
