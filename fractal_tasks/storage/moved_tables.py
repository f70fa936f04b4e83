"""Tables of the registered image.

The reference's ROI tables describe the registered image. The acquisition's own
further ROI tables move along, masking ROI tables are made anew from the registered
label, and measurements are carried over.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import zarr

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.storage.images import roi_extent_um, spacing_of
from fractal_tasks.storage.label_boxes import build_masking_rois
from fractal_tasks.storage.plans import RegistrationPlan, RoiMove
from fractal_tasks.storage.roi_tables import (
    RoiTableData,
    read_roi_table,
    read_table_types,
    write_rois,
)
from fractal_tasks.storage.stores import (
    building_locally,
    copy_folder,
    open_group,
    open_store,
)
from fractal_tasks.storage.urls import ImageUrl, Location
from fractal_tasks.transforms.boxes import AXES, PixelBox, box_from_um

if TYPE_CHECKING:
    from ngio import Image, OmeZarrContainer, Roi

logger = logging.getLogger(__name__)

OWN_SUFFIX = "_acquisition"
"""Added to the name of an own ROI table that the reference's would overwrite."""


def write_registered_tables(
    source: "OmeZarrContainer",
    image: ImageUrl,
    build: Location,
    plan: RegistrationPlan,
    labels: Sequence[str],
) -> None:
    """Write all tables of the registered image.

    Args:
        source: The image as it is.
        image: Its url.
        build: Where the registered image lies, with its labels.
        plan: The reference's ROI tables, and how ROIs moved.
        labels: Names of the labels in `build`.

    Raises:
        InvalidDataError: Two tables would get the same name.
    """
    types = read_table_types(source, image)
    tables = dict(plan.reference_tables)
    for name, table_type in types.items():
        if table_type == "roi_table":
            own = read_roi_table(source, image, name)
            if not _is_described(own, plan):
                _add_table(tables, _moved_table(source, image, own, plan), image)
        elif table_type == "masking_roi_table":
            remade = _remade_masking_table(source, image, name, build, labels)
            if remade is not None:
                _add_table(tables, remade, image)
    carried = [
        name
        for name, table_type in types.items()
        if not table_type.endswith("roi_table")
    ]
    zarr_format = open_group(build).metadata.zarr_format
    with building_locally(build / "tables") as folder:
        group = zarr.create_group(folder, zarr_format=zarr_format)
        for name, table in tables.items():
            zarr.create_group(folder / name, zarr_format=zarr_format)
            write_rois(folder / name, list(table.rois.values()), table.meta)
        for name in carried:
            _carry_over(image, name, folder, taken=name in tables)
        group.attrs["tables"] = [*tables, *carried]


def _add_table(
    tables: dict[str, RoiTableData], table: RoiTableData, image: ImageUrl
) -> None:
    if table.name in tables:
        raise _clash(image, table.name)
    tables[table.name] = table


def _clash(image: ImageUrl, name: str) -> InvalidDataError:
    return InvalidDataError(
        f"{image.zarr_url}: the registered image would get two tables named {name!r}, "
        "one of this acquisition and one of the reference. Rename the table in this "
        "acquisition."
    )


def _is_described(own: RoiTableData, plan: RegistrationPlan) -> bool:
    """Whether the reference's table of this name stands for the acquisition's."""
    reference = plan.reference_tables.get(own.name)
    return reference is not None and set(own.rois) == set(reference.rois)


def _moved_table(
    source: "OmeZarrContainer",
    image: ImageUrl,
    own: RoiTableData,
    plan: RegistrationPlan,
) -> RoiTableData:
    """Move an own ROI table along with the pixels under its ROIs."""
    level = source.get_image()
    rois = {key: _moved_roi(roi, level, plan) for key, roi in own.rois.items()}
    clashes = own.name in plan.reference_tables
    new_name = own.name + OWN_SUFFIX if clashes else own.name
    logger.info(
        "%s: ROI table %r of this acquisition moves along, as %r",
        image.zarr_url,
        own.name,
        new_name,
    )
    return RoiTableData(new_name, rois, own.meta)


def _moved_roi(roi: "Roi", level: "Image", plan: RegistrationPlan) -> "Roi":
    spacing_um = spacing_of(level)
    start_um, length_um = roi_extent_um(roi, level)
    move = _move_under(box_from_um(start_um, length_um, spacing_um), plan)
    for axis, shift, step in zip(AXES, move.shift_px, spacing_um, strict=True):
        part = roi.get(axis)
        if part is not None and axis in level.axes:
            start = (part.start or 0.0) + shift * step
            roi = roi.update_slice(name=axis, new_slice=(start, part.length))
    return roi


def _move_under(box: PixelBox, plan: RegistrationPlan) -> RoiMove:
    """Give the move of most of the pixels of `box`; without any, the nearest one."""

    def nearness(move: RoiMove) -> tuple[float, float]:
        overlap = box.intersection(move.source)
        pixels = 0.0 if overlap.is_empty else float(np.prod(overlap.shape))
        centres = [np.add(item.start, item.stop) / 2 for item in (box, move.source)]
        return pixels, -float(np.linalg.norm(centres[0] - centres[1]))

    return max(plan.moves.values(), key=nearness)


def _remade_masking_table(
    source: "OmeZarrContainer",
    image: ImageUrl,
    name: str,
    build: Location,
    labels: Sequence[str],
) -> RoiTableData | None:
    """Make a masking ROI table from the registered label; None without its label."""
    from ngio import open_ome_zarr_container

    old = read_roi_table(source, image, name)
    label = source.get_masking_roi_table(name).reference_label
    if label is None or label not in labels:
        logger.warning(
            "%s: masking ROI table %r is left out, its label %r is not in the "
            "registered image",
            image.zarr_url,
            name,
            label,
        )
        return None
    built = open_ome_zarr_container(open_store(build), mode="r", cache=True)
    extras = {roi.label: roi.model_extra or {} for roi in old.rois.values()}
    rois = {
        str(roi.name): roi.model_copy(update=extras.get(roi.label, {}))
        for roi in build_masking_rois(built.get_label(label))
    }
    return RoiTableData(name, rois, old.meta)


def _carry_over(image: ImageUrl, name: str, folder: Path, *, taken: bool) -> None:
    """Copy a table of measurements as it is."""
    if taken:
        raise _clash(image, name)
    logger.info(
        "%s: table %r is carried over as it is; positions in it, if any, are those "
        "before registration",
        image.zarr_url,
        name,
    )
    copy_folder(image.location / "tables" / name, Location(str(folder / name)))
