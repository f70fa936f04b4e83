"""Write transforms that other software made as if they had been measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.model import Candidate, RowKey
from fractal_tasks.records.applied import read_applied_record
from fractal_tasks.records.provenance import Record
from fractal_tasks.records.rows import RoiRecord, displacements_of_rows
from fractal_tasks.storage.files import files_of
from fractal_tasks.storage.plate.default_rois import find_roi_table
from fractal_tasks.storage.plate.open_image import OpenImage, open_image
from fractal_tasks.storage.plate.roi_table_data import RoiTableData
from fractal_tasks.storage.plate.roi_tables import (
    check_table_replaceable,
    replace_roi_table,
)
from fractal_tasks.storage.plate.rois import roi_extent_um
from fractal_tasks.storage.plate.tables import remove_unused_displacements
from fractal_tasks.storage.plate.work import working_on
from fractal_tasks.storage.urls import ImageUrl
from fractal_tasks.transforms import (
    Affine,
    PixelSizes,
    Transform,
    Translation,
    Warp,
    find_affine,
)
from fractal_tasks.transforms.base import list_points

if TYPE_CHECKING:
    from ngio import Roi

_MOST_STRETCH = 4.0
"""Lengths that change by more between two images of one sample are a wrong unit."""


@dataclass(frozen=True)
class ImportedTransform:
    """A transform and where it was found."""

    transform: Transform
    """Acquisition to reference, between the centres of first voxels of the images."""

    source: str
    """Name of the file."""


def check_not_registered(url: ImageUrl) -> None:
    """Refuse an image whose pixels were moved already: its transforms are done.

    Raises:
        InvalidInputError: It is one.
    """
    applied = read_applied_record(url)
    if applied is not None:
        raise InvalidInputError(
            f"{url.zarr_url}: its pixels are registered already, and transforms that "
            "are imported now would not be used. Import them into the image that was "
            f"registered ({applied.input_image!r}), as it was before that."
        )


def import_transforms(
    url: ImageUrl,
    reference: ImageUrl,
    found: Mapping[str, ImportedTransform] | ImportedTransform,
    input_roi_table: str,
) -> list[RoiRecord]:
    """Write transforms into the ROI table of an acquisition.

    *Consensus* uses them as they are, and *calculate* leaves them.

    Args:
        url: The acquisition.
        reference: The image that they lead to.
        found: By the name of the ROI; or one, for all ROIs.
        input_roi_table: Table that gets them.

    Returns:
        The rows that were written.

    Raises:
        InvalidInputError: The image is registered already, a ROI has another name, or a
            transform cannot be that of these images.
        InvalidDataError: An image or table cannot be read.
        PublishError: The table could not be replaced; the old one is untouched.
    """
    check_not_registered(url)
    files_of(url).check_writable(url)
    with working_on(url):
        image = open_image(url)
        fixed = open_image(reference, image.missing_unit)
        check_table_replaceable(url, input_roi_table)
        table = find_roi_table(image, input_roi_table, fixed)
        if isinstance(found, ImportedTransform):
            found = dict.fromkeys(table.rois, found)
        _check_names(table, found, image)
        records = [
            _make_record(table.rois[name], found[name], image, fixed) for name in found
        ]
        written = {record.key: record for record in records}
        replace_roi_table(
            url,
            input_roi_table,
            rois=[
                written[RowKey(name)].to_roi(roi) if RowKey(name) in written else roi
                for name, roi in table.rois.items()
            ],
            meta=table.meta,
            record=table.record or _make_table_record(image, fixed, input_roi_table),
            unit_um=table.unit_um,
            missing_unit=image.missing_unit,
            displacements=displacements_of_rows(records),
        )
        remove_unused_displacements(url)
    return records


def _make_table_record(
    image: OpenImage, fixed: OpenImage, input_roi_table: str
) -> dict[str, Any]:
    """Say what made a table in which nothing was measured."""
    return Record(
        task="import_transforms",
        inputs={"reference_image": fixed.url.seen_from(image.url)},
        settings={"input_roi_table": input_roi_table},
    ).to_json()


def _check_names(
    table: RoiTableData, found: Mapping[str, ImportedTransform], image: OpenImage
) -> None:
    unknown = [name for name in found if name not in table.rois]
    if unknown or not found:
        raise InvalidInputError(
            f"{image.zarr_url}: found transforms for the ROIs {list(found)}; those of "
            f"table {table.name!r} are {list(table.rois)}. Name the files after ROIs, "
            "as 'fractal-tasks transforms export' does, or give one file for all."
        )


def _make_record(
    roi: "Roi", found: ImportedTransform, image: OpenImage, fixed: OpenImage
) -> RoiRecord:
    """Make the row of a ROI, if the transform can be that of these images."""
    pixels = PixelSizes(image.spacing_um, fixed.spacing_um)
    transform = pixels.from_centres(found.transform)
    if isinstance(transform, Affine) and np.array_equal(transform.matrix, np.eye(3)):
        # Whatever a file can say: what only moves is copied, not interpolated.
        transform = Translation(transform.offset_um)
    _check(roi, transform, found.source, image, fixed)
    return RoiRecord.of(
        roi,
        image,
        (Candidate(transform, confidence=None, error_um=None),),
        pixels,
        status="imported",
        reason=f"imported from {found.source}",
    )


def _folds(warp: Warp) -> bool:
    """Whether a point has no way back, or a piece of space is turned inside out."""
    is_lost = np.isnan(warp.map_points(warp.pull_points(warp.nodes.points_um))).any()
    return bool(is_lost) or warp.field.least_volume <= 0


def _check(
    roi: "Roi", transform: Transform, source: str, image: OpenImage, fixed: OpenImage
) -> None:
    """Refuse a transform that mirrors, stretches much, or leads out of the reference.

    Raises:
        InvalidInputError: It does.
    """
    where = f"{source}, for ROI {str(roi.name)!r} of {image.zarr_url}"
    if isinstance(transform, Warp) and _folds(transform):
        raise InvalidInputError(
            f"{where}: the transform folds the image: a piece of it comes to lie on "
            "another one, or is turned inside out. Make a smoother one."
        )
    affine = find_affine(transform)
    determinant = np.linalg.det(affine.matrix)
    if determinant <= 0:
        raise InvalidInputError(
            f"{where}: the transform mirrors the image (its determinant is "
            f"{determinant:.3g}). Check the order of its axes."
        )
    least, most = affine.stretches
    if max(most, 1 / least) > _MOST_STRETCH:
        raise InvalidInputError(
            f"{where}: the transform changes lengths by a factor of "
            f"{least:.3g} to {most:.3g}; at most {_MOST_STRETCH} "
            "is possible. It must be in micrometres, and not in pixels."
        )
    start_um, length_um = roi_extent_um(roi, image)
    points_um = list_points(np.array([start_um, start_um + length_um]))
    mapped_um = transform.map_points(points_um)
    size_um = np.multiply(fixed.grid.shape, fixed.spacing_um)
    first, last = mapped_um.min(axis=0), mapped_um.max(axis=0)
    if np.any(last <= 0) or np.any(first >= size_um):
        raise InvalidInputError(
            f"{where}: the transform puts the ROI at (z, y, x) {np.round(first, 1)} to "
            f"{np.round(last, 1)} um, wholly outside the reference "
            f"{fixed.zarr_url}, which ends at {np.round(size_um, 1)}. Check its "
            "direction, its unit, and that it is of these images."
        )
