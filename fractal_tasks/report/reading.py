"""Read from the tables of images what became of each ROI."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import numpy as np

from fractal_tasks.errors import FractalTasksError
from fractal_tasks.records.applied import is_registered
from fractal_tasks.records.judgement import read_table_record
from fractal_tasks.records.registered_rows import read_estimates, read_registered_rows
from fractal_tasks.records.rows import RoiRecord
from fractal_tasks.report.results import Bend, RoiResult
from fractal_tasks.storage.plate.images import list_tables
from fractal_tasks.storage.plate.open_image import OpenImage, open_image
from fractal_tasks.storage.plate.wells import is_in_plate, read_acquisition_of_each
from fractal_tasks.storage.urls import ImageUrl
from fractal_tasks.transforms import Affine, Translation, Vector
from fractal_tasks.transforms.base import grid_points, to_vector

Progress: TypeAlias = Callable[[int, int], None]
"""Called with how many are done, and how many there are."""

_Image: TypeAlias = tuple[ImageUrl, int]
_Answer: TypeAlias = list[RoiResult] | FractalTasksError


@dataclass(frozen=True)
class HowToRead:
    """What reads the tables of many images, and who is told."""

    executor: Executor | None = None
    """None: one after the other. Reading is work more than waiting, so that processes
    help; threads do where images are in an object store."""

    progress: Progress = lambda done, total: None
    """Told of images."""

    def run(
        self, read: Callable[[_Image], _Answer], images: Sequence[_Image]
    ) -> Iterator[_Answer]:
        """Read images, and give the answers in their order."""
        if self.executor is None:
            return map(read, images)
        return self.executor.map(read, images)


_NODES = 5
"""Nodes of a bend along y, and along x; of what is linear the corners say all."""

_MANY = 400
"""ROIs in an image; the bends of more cannot be told from each other."""


def read_results(
    images: Iterable[ImageUrl],
    registered_roi_table: str,
    failed: Callable[[ImageUrl, FractalTasksError], None] | None = None,
    input_roi_table: str | None = None,
    how: HowToRead | None = None,
) -> list[RoiResult]:
    """Read what became of every ROI; images without such a table are left out.

    Args:
        images: The images that were registered, or their registered versions.
        registered_roi_table: Name of the table.
        failed: Called with what is wrong with an image, which is left out then; by
            default it is raised.
        input_roi_table: Table of which the estimates are given, without status, where
            an image has none of the former.
        how: Whether several are read at once; by default they are not.

    Raises:
        InvalidDataError: An image, a table or a well cannot be read.
        MissingStepError: A translation is there, but not whole.
    """
    how = how or HowToRead()
    acquisitions = read_acquisition_of_each(list(images))
    read = partial(_read_image, tables=(registered_roi_table, input_roi_table))
    results: list[RoiResult] = []
    answers = how.run(read, list(acquisitions.items()))
    how.progress(0, len(acquisitions))
    for done, (url, found) in enumerate(zip(acquisitions, answers, strict=True), 1):
        if isinstance(found, FractalTasksError):
            if failed is None:
                raise found
            failed(url, found)
        else:
            results += found
        how.progress(done, len(acquisitions))
    return results


def _read_image(one: _Image, tables: tuple[str, str | None]) -> _Answer:
    url, acquisition = one
    try:
        image = open_image(url)
        rows, measured_um = _read_rows(image, *tables)
        # The rows of a registered image lie where the reference has them.
        is_moved = any(map(_is_bent, rows)) and is_registered(url)
        bends = [
            _find_bend(row, is_moved) if _is_bent(row) and len(rows) <= _MANY else None
            for row in rows
        ]
        return [
            replace(
                _to_result(row, image, acquisition),
                measured_um=measured_um.get(row.key.roi),
                bend_um=bend,
            )
            for row, bend in zip(rows, bends, strict=True)
        ]
    except FractalTasksError as error:
        return error


def _read_rows(
    image: OpenImage, registered_roi_table: str, input_roi_table: str | None
) -> tuple[list[RoiRecord], dict[str, Vector]]:
    """Read the rows of an image, and what was measured where that is not used."""
    tables = list_tables(image)
    if registered_roi_table in tables:
        rows = read_registered_rows(image, registered_roi_table)
        return rows, _read_measured(image, registered_roi_table, rows, tables)
    if input_roi_table not in tables:
        return [], {}
    return read_estimates(image, str(input_roi_table)), {}


def _read_measured(
    image: OpenImage,
    registered_roi_table: str,
    rows: Sequence[RoiRecord],
    tables: Sequence[str],
) -> dict[str, Vector]:
    others = {
        row.key.roi for row in rows if row.status in ("chosen", "imputed", "unresolved")
    }
    record = read_table_record(image.url, registered_roi_table) if others else None
    name = None if record is None else record.settings.get("input_roi_table")
    if name not in tables:
        return {}
    return {
        row.key.roi: row.displacement_um
        for row in read_estimates(image, str(name))
        if row.key.roi in others
    }


def _to_result(row: RoiRecord, image: OpenImage, acquisition: int) -> RoiResult:
    url = image.url
    best = row.candidates[0] if row.candidates else None
    error_um = None if best is None else best.error_um
    shift_um = None if best is None else row.displacement_um
    return RoiResult(
        plate_url=url.plate_url if is_in_plate(url) else "",
        well=f"{url.row}/{url.column}" if is_in_plate(url) else "",
        acquisition=acquisition,
        zarr_url=url.zarr_url,
        roi=row.key.roi,
        status=row.status,
        reason=row.reason,
        confidence=None if best is None else best.confidence,
        error_um=error_um,
        error_z_um=None if best is None else best.error_z_um,
        error_px=None if error_um is None else error_um / row.pixel_um,
        shift_um=shift_um,
        shift_px=None if shift_um is None else _in_pixels(shift_um, image),
        kept=row.kept,
        evidence={} if best is None else dict(best.evidence),
        centre_um=to_vector(np.add(row.centre_um, image.grid.origin_um)),
        size_um=row.size_um,
    )


def _in_pixels(shift_um: Vector, image: OpenImage) -> Vector:
    z, y, x = np.divide(shift_um, image.spacing_um).tolist()
    return z, y, x


def _is_bent(row: RoiRecord) -> bool:
    return any(not isinstance(one.transform, Translation) for one in row.candidates[:1])


def _find_bend(row: RoiRecord, is_moved: bool) -> Bend:
    transform = row.candidates[0].transform
    z, *centre = row.centre_um
    count = 2 if isinstance(transform, Affine) else _NODES
    sides = [
        np.linspace(place - size / 2, place + size / 2, count)
        for place, size in zip(centre, row.size_um[1:], strict=True)
    ]
    # The centre, to which all are compared, is the last one.
    nodes = np.vstack([grid_points([[z], *sides]), row.centre_um])
    if is_moved:
        moved_um = nodes - transform.pull_points(nodes)
    else:
        moved_um = transform.map_points(nodes) - nodes
    return tuple(map(to_vector, moved_um[:-1] - moved_um[-1]))
