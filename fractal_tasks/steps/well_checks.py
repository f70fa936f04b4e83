"""What would make judging a well fail, or lose something, asked before it is judged."""

from collections.abc import Sequence

import numpy as np

from fractal_tasks.errors import InvalidDataError, InvalidInputError
from fractal_tasks.model import Canvas, ConsensusSettings
from fractal_tasks.records.provenance import Record
from fractal_tasks.records.well_rows import AcquisitionRows, WellRows
from fractal_tasks.storage.files import files_of
from fractal_tasks.storage.plate.images import (
    check_fill_value,
    list_labels,
    list_tables,
    open_labels,
)
from fractal_tasks.storage.plate.levels import spatial_shape
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.storage.plate.roi_table_data import RoiTableData
from fractal_tasks.storage.plate.roi_tables import (
    check_table_replaceable,
    read_roi_table,
)
from fractal_tasks.storage.plate.tables import open_tables, read_table_types
from fractal_tasks.storage.plate.wells import is_in_plate
from fractal_tasks.storage.urls import ImageUrl

_MOST_FINER = 40
"""By which pixels may become smaller: objectives of 4 and 100 times differ by less."""


def check_one_well(images: Sequence[ImageUrl]) -> None:
    """Refuse images of several wells. Those that are in no plate belong together.

    Raises:
        InvalidInputError: They are.
    """
    wells = sorted({image.well_url for image in images})
    if len(wells) > 1 and not any(is_in_plate(image) for image in images):
        return
    if len(wells) > 1:
        raise InvalidInputError(
            f"init_args.zarr_url_list: found images of the wells {wells}; needed are "
            "images of one. Run 'Find Registration Consensus' with its init task."
        )


def check_well(well: WellRows, settings: ConsensusSettings) -> None:
    """Refuse what no table could be written for, before anything is judged.

    Raises:
        InvalidInputError: A table of another kind has the name of the registered one.
        InvalidDataError: An acquisition was compared with another reference, a ROI
            lies out of its image, or files, labels or tables are not as *apply* needs
            them.
        PublishError: A folder is not writable, or on another file system.
    """
    for rows in well.acquisitions:
        _ = rows.boxes
    for rows in well.written:
        check_table_replaceable(rows.image.url, settings.registered_roi_table)
        # Apply carries all over, and would meet what is damaged when others of the well
        # are replaced already.
        files_of(rows.image.url).check_readable(rows.image.url.location)
        open_labels(rows.image, list_labels(rows.image))
        open_tables(rows.image, skip=settings.registered_roi_table)
        check_not_foreign(rows.image, rows.table, settings.registered_roi_table)
    for rows in well.others:
        _check_same_reference(rows, well.reference.image.url)
    for rows in well.acquisitions:
        check_output_grid(rows.image, well.reference.image, settings.output_grid)
    if settings.keep != "intersection":
        for rows in well.written:
            check_fill_value(rows.image, settings.fill_value)


def check_output_grid(image: OpenImage, reference: OpenImage, output_grid: str) -> None:
    """Refuse pixels so large that a level of an image would have none, or too many.

    Raises:
        InvalidInputError: They are.
    """
    canvas = Canvas.of(reference.grid, output_grid)
    _, *found = canvas.grid_of(image.grid).shape
    paths = image.container.level_paths
    last = spatial_shape(image.container.get_image(path=paths[-1]))
    needed = np.ceil(np.divide(image.shape, last)).astype(int)[1:]
    finer = max(np.divide(image.spacing_um, canvas.grid.spacing_um)[1:])
    if finer > _MOST_FINER:
        raise InvalidInputError(
            f"{image.zarr_url}: with output_grid={output_grid!r} its pixels would "
            f"become {finer:.4g} times smaller, which makes {finer**2:.3g} times as "
            f"many; at most {_MOST_FINER} times is allowed. Choose larger pixels."
        )
    if np.less(found, needed).any():
        raise InvalidInputError(
            f"{image.zarr_url}: with output_grid={output_grid!r} the registered "
            f"image would have {found} pixels (y, x); needed for its {len(paths)} "
            f"levels are at least {needed.tolist()}. Choose smaller pixels."
        )


def check_not_foreign(image: OpenImage, table: RoiTableData, name: str) -> None:
    """Refuse to replace a table that cannot be an older version of the new one.

    Args:
        image: Whose table it would be.
        table: The table of which it is the registered one.
        name: Name of the registered table.

    Raises:
        InvalidInputError: A table of another kind has the name.
    """
    if name not in list_tables(image) or _is_replaceable(image, table, name):
        return
    raise InvalidInputError(
        f"{image.zarr_url}: registered_roi_table={name!r}, but the image has a "
        f"table of this name that is no registered table of {table.name!r}, and "
        "would be lost. Choose another name, or remove it."
    )


def _is_replaceable(image: OpenImage, table: RoiTableData, name: str) -> bool:
    """Whether a table is ours, or another package's of the same ROIs, or damaged."""
    try:
        if read_table_types(image, [name])[name] != "roi_table":
            return False
        found = read_roi_table(image, name)
    except InvalidDataError:  # it is made anew
        return True
    return found.record is not None or set(found.rois) <= set(table.rois)


def _check_same_reference(rows: AcquisitionRows, reference: ImageUrl) -> None:
    """Refuse estimates against another image than the reference."""
    needed = reference.seen_from(rows.image.url)
    stored = Record.read(rows.table.record)
    compared = (
        needed if stored is None else stored.inputs.get("reference_image", needed)
    )
    if compared != needed:
        raise InvalidDataError(
            f"Acquisition {rows.acquisition} ({rows.image.zarr_url}): found estimates "
            f"against image {compared!r}; needed are those against {needed!r}. Run "
            "'Calculate Registration (image-based)' again, with the same "
            "reference_acquisition and reference for all tasks."
        )
