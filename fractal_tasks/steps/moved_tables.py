"""Tables of the registered image.

The reference's ROI tables describe the registered image; the rows of the registered
table keep the acquisition's verdicts. The acquisition's own further ROI tables move
along, masking ROI tables are made anew from the registered label, and measurements are
carried over, with a note of the columns that do not hold any more.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fractal_tasks.model import Placement
from fractal_tasks.records.plans import RegistrationPlan
from fractal_tasks.steps.measured_columns import list_outdated
from fractal_tasks.storage.files import files_of, open_group
from fractal_tasks.storage.pixels.label_boxes import build_masking_rois
from fractal_tasks.storage.plate.formats import ZarrFormat
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.storage.plate.roi_table_data import RoiTableData
from fractal_tasks.storage.plate.roi_tables import load_roi_table, write_rois
from fractal_tasks.storage.plate.rois import roi_extent_um
from fractal_tasks.storage.plate.table_formats import convert_table
from fractal_tasks.storage.plate.tables import list_columns, read_table_types
from fractal_tasks.storage.upstream import get_label, open_container
from fractal_tasks.storage.urls import Location
from fractal_tasks.transforms import FloatArray, Transform, Translation
from fractal_tasks.transforms.base import list_points, to_vector
from fractal_tasks.transforms.box_index import BoxIndex
from fractal_tasks.transforms.boxes import AXES, box_from_um

if TYPE_CHECKING:
    from ngio import Roi

logger = logging.getLogger(__name__)

OUTDATED_KEY = "outdated_by_registration"
"""Attribute of a table: its columns that tell of the image before."""

OWN_SUFFIX = "_acquisition"
"""Added to the name of an own table, as often as needed to have one of its own, if a
ROI table of the reference has the same."""


def write_moved_tables(
    source: OpenImage, build: Location, plan: RegistrationPlan, labels: Sequence[str]
) -> None:
    """Write all tables of the registered image.

    Args:
        source: The image as it is.
        build: Where the registered image lies, with its labels.
        plan: The reference's ROI tables, and how ROIs moved.
        labels: Names of the labels in `build`.

    Raises:
        InvalidDataError: A table cannot be read.
    """
    import zarr

    types = read_table_types(source)
    mover, movements = _Mover(source, plan), _list_movements(plan)
    tables = dict(plan.reference_tables)
    carried = {}
    for name, table_type in types.items():
        new_name = _free_name(name, set(plan.reference_tables), set(types))
        own: RoiTableData | None = None
        if not table_type.endswith("roi_table"):
            carried[new_name] = name
        elif table_type == "masking_roi_table":
            own = _remade_masking_table(source, name, build, labels)
        elif not _is_described(table := load_roi_table(source, name), plan):
            own = mover.move_table(table, new_name)
        if own is not None:
            tables[new_name] = replace(own, name=new_name)
    zarr_format = open_group(build).metadata.zarr_format
    with files_of(build).building_locally(build / "tables") as folder:
        group = zarr.create_group(folder, zarr_format=zarr_format)
        for name, table in tables.items():
            zarr.create_group(folder / name, zarr_format=zarr_format)
            rois = list(table.rois.values())
            write_rois(folder / name, rois, table.meta, source.unit_um)
        for new_name, name in carried.items():
            copy = Location(str(folder / new_name))
            _carry_over(source, name, copy, zarr_format, movements)
        group.attrs["tables"] = [*tables, *carried]


def _free_name(name: str, of_reference: set[str], of_acquisition: set[str]) -> str:
    """Give the name that an own table gets beside those of the reference."""
    while name in of_reference:
        name += OWN_SUFFIX
        while name in of_acquisition:
            name += OWN_SUFFIX
    return name


def _is_described(own: RoiTableData, plan: RegistrationPlan) -> bool:
    """Whether the reference's table of this name stands for the acquisition's."""
    reference = plan.reference_tables.get(own.name)
    return reference is not None and set(own.rois) == set(reference.rois)


class _Mover:
    """Moves ROIs along with the pixels under them."""

    def __init__(self, image: OpenImage, plan: RegistrationPlan) -> None:
        self._image = image
        self._placements = list(plan.placements.values())
        self._sources = BoxIndex([one.source for one in self._placements])

    def move_table(self, own: RoiTableData, new_name: str) -> RoiTableData:
        """Move a ROI table of the acquisition itself."""
        logger.info(
            "%s: ROI table %r of this acquisition moves along, as %r",
            self._image.zarr_url,
            own.name,
            new_name,
        )
        return replace(
            own, rois={key: self._move_roi(roi) for key, roi in own.rois.items()}
        )

    def _move_roi(self, roi: "Roi") -> "Roi":
        spacing_um = self._image.spacing_um
        start_um, length_um = roi_extent_um(roi, self._image)
        box = box_from_um(start_um, length_um, spacing_um)
        placement = self._placements[self._sources.find_most_common(box)]
        if placement.is_copied:
            first_um = start_um + np.multiply(placement.shift_px, spacing_um)
        else:
            first_um, length_um = _box_around(placement, start_um, length_um)
        for axis, first, length in zip(AXES, first_um, length_um, strict=True):
            part = roi.get(axis)
            if part is not None and axis in self._image.axes:
                if placement.is_copied:
                    length = part.length
                roi = roi.update_slice(name=axis, new_slice=(float(first), length))
        return roi


def _box_around(
    placement: Placement, start_um: FloatArray, length_um: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Give start and length of the box around a ROI that turned or stretched."""
    ends_um = np.stack([start_um, start_um + length_um])
    mapped = placement.transform.map_points(list_points(ends_um))
    first: FloatArray = mapped.min(axis=0)
    return first, mapped.max(axis=0) - first


def _remade_masking_table(
    image: OpenImage, name: str, build: Location, labels: Sequence[str]
) -> RoiTableData | None:
    """Make a masking ROI table from the registered label; None without its label."""
    old = load_roi_table(image, name)
    label = image.container.get_masking_roi_table(name).reference_label
    if label is None or label not in labels:
        logger.warning(
            "%s: masking ROI table %r is left out, its label %r is not in the "
            "registered image",
            image.zarr_url,
            name,
            label,
        )
        return None
    built = open_container(files_of(build).open_store(build))
    registered = get_label(built, label)
    extras = {roi.label: roi.model_extra or {} for roi in old.rois.values()}
    rois = {
        str(roi.name): roi.model_copy(update=extras.get(roi.label, {}))
        for roi in build_masking_rois(registered, image.label_spacing_um(registered))
    }
    return RoiTableData(name, rois, old.meta)


def _carry_over(
    image: OpenImage,
    name: str,
    copy: Location,
    zarr_format: ZarrFormat,
    movements: Sequence[Transform],
) -> None:
    """Copy a table of measurements, if need be into another zarr format.

    Its values stay. Which columns do not hold any more is noted in its attributes: in
    what unit places are, only their maker knows.
    """
    table = image.url.location / "tables" / name
    if open_group(table).metadata.zarr_format == zarr_format:
        files_of(table).copy_folder(table, copy)
    else:
        convert_table(table, copy, zarr_format)
    columns = list_columns(image, name)
    outdated = list_outdated(columns, (), movements) if movements else []
    if not outdated:
        logger.info("%s: table %r is carried over as it is", image.zarr_url, name)
        return
    group = open_group(copy, mode="r+")
    before: Any = group.attrs.get(OUTDATED_KEY, [])
    group.attrs[OUTDATED_KEY] = [*dict.fromkeys([*before, *outdated])]
    logger.warning(
        "%s: table %r is carried over; its columns %s are those before registration, "
        "as its attribute %r says. 'fractal-tasks points' maps places",
        image.zarr_url,
        name,
        outdated,
        OUTDATED_KEY,
    )


def _list_movements(plan: RegistrationPlan) -> list[Transform]:
    """Give what was done to pixels, of ROIs that are not where they were."""
    done: list[Transform] = []
    for one in plan.placements.values():
        if not one.is_copied:
            done.append(one.transform)
        elif any(one.shift_px):
            done.append(Translation(to_vector(one.shift_px)))
    return done
