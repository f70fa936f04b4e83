"""Wells with estimates that are known, without looking at any pixels."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from fractal_tasks.model import Candidate, ConsensusSettings, Outcome
from fractal_tasks.records.rows import RoiRecord
from fractal_tasks.records.well_rows import WellRows, read_well_rows
from fractal_tasks.steps.judge_well import judge_well
from fractal_tasks.storage.plate.open_image import open_image
from fractal_tasks.storage.plate.wells import read_acquisition_of_each
from fractal_tasks.storage.urls import ImageUrl
from fractal_tasks.transforms import Translation
from tests.records.plans import SETTINGS
from tests.records.plates import (
    PIXEL_UM,
    PIXELS,
    TABLE,
    image_url,
    read_rows,
    write_rows,
)


def moved_by(y_px: float, x_px: float, confidence: float | None = 0.99) -> Candidate:
    """Give an estimate in pixels of level 0."""
    vector = (0.0, y_px * PIXEL_UM, x_px * PIXEL_UM)
    return Candidate(Translation(vector), confidence, 0.02)


def store_estimates(
    url: ImageUrl, estimates: Mapping[str, Candidate], table: str = TABLE
) -> None:
    """Write the rows that *calculate* would have written."""
    image = open_image(url)
    rois = [
        RoiRecord.of(roi, image, (estimates[name],), PIXELS, status="measured").to_roi(
            roi
        )
        for name, roi in read_rows(image, table).rois.items()
    ]
    write_rows(url, rois, table)


def well_urls(plate: Path, well: str = "A/01") -> list[ImageUrl]:
    """Give the images of a well with two acquisitions, reference first."""
    return [image_url(plate, 0, well), image_url(plate, 1, well)]


def read_well(plate: Path) -> WellRows:
    acquisitions = read_acquisition_of_each(well_urls(plate))
    return read_well_rows(acquisitions, TABLE)


def judge(
    plate: Path, *, rerun: bool = False, **settings: Any
) -> dict[ImageUrl, Outcome]:
    """Judge the well of a tiny plate."""
    changed = ConsensusSettings(**{**SETTINGS.model_dump(), **settings})
    return judge_well(well_urls(plate), None, changed, rerun=rerun)


def read_level(folder: Path, path: str = "0") -> npt.NDArray[Any]:
    """Read all pixels of a level, whatever lies in it."""
    array = zarr.open_array(folder / path, mode="r")
    return np.asarray(array[...])


def tree_of(folder: Path) -> dict[str, bytes]:
    """Give the content of every file below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def versions_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Give inode and time of change of every file below a folder."""
    return {
        str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
