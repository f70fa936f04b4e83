"""Register a synthetic plate and compare what was found with the truth."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fractal_tasks.model import RowKey
from fractal_tasks.records.applied import read_applied_record
from fractal_tasks.records.rows import RoiRecord
from fractal_tasks.report.pairs import Tables
from fractal_tasks.storage.plate.open_image import OpenImage, open_image
from fractal_tasks.storage.plate.roi_tables import read_roi_table
from fractal_tasks.storage.urls import ImageUrl, parse_image_url
from fractal_tasks.synthetic import PlateOptions, Truth, load_truth
from fractal_tasks.workflow.overlay import choose_images, save_picture, show_images

DEMO_OPTIONS = PlateOptions(
    columns=2,
    plate_shift_um=25.0,
    stage_jitter_um=0.5,
    empty_fields=1,
    lost_cells=0.05,
    last_rotation_deg=0.6,
    last_debris=25,
    last_washed_um=40,
)
"""Shifts of up to 80 pixels, one field without cells per well; and what a report is
for: the last acquisition is turned, has debris in a field, and lost cells."""

ROI_TABLE = "FOV_ROI_table"


@dataclass(frozen=True)
class FieldResult:
    """What was found for one field, against the truth."""

    well: str
    acquisition: int
    roi: str
    true_px: tuple[float, float]
    """True translation (y, x) in level-0 pixels."""

    estimated_px: tuple[float, float]
    confidence: float
    status: str
    applied_px: tuple[int, int]
    """Whole pixels (y, x) by which the field was moved."""

    @property
    def error_px(self) -> float:
        """Distance of the estimate from the truth."""
        return float(np.hypot(*np.subtract(self.estimated_px, self.true_px)))

    @property
    def before_px(self) -> float:
        """How far the field was off before registration."""
        return float(np.hypot(*self.true_px))

    @property
    def residual_px(self) -> float:
        """How far the registered field is off: error and rounding to whole pixels."""
        return float(np.hypot(*np.subtract(self.applied_px, self.true_px)))


def compare_with_truth(plate: Path) -> list[FieldResult]:
    """Compare a registered synthetic plate, its input kept, with its truth."""
    truth = load_truth(plate)
    return [
        result
        for image in _acquisition_urls(plate, truth)
        for result in _compare_image(image, truth)
    ]


def _acquisition_urls(plate: Path, truth: Truth) -> Iterator[ImageUrl]:
    for well in truth.wells:
        for acquisition in well.acquisitions[1:]:
            yield parse_image_url(f"{plate}/{well.path}/{acquisition.acquisition}")


def _compare_image(url: ImageUrl, truth: Truth) -> Iterator[FieldResult]:
    image = open_image(url)
    measured = _read_records(image, ROI_TABLE)
    judged = _read_records(image, f"{ROI_TABLE}_registered")
    applied = read_applied_record(_registered(url))
    well, acquisition = f"{url.row}/{url.column}", int(url.image_path)
    pixel_um = truth.options.pixel_size_um
    for stored in applied.placements if applied else ():
        record = measured[stored.key]
        true_um = truth.field(well, acquisition, stored.roi).translation_um
        shift_px = np.subtract(stored.destination.start, stored.source.start)
        _, y, x = shift_px.tolist()
        yield FieldResult(
            well=well,
            acquisition=acquisition,
            roi=stored.roi,
            true_px=_yx(true_um, pixel_um),
            estimated_px=_yx(record.displacement_um, pixel_um),
            confidence=record.candidates[0].confidence or 0.0,
            status=judged[stored.key].status or "",
            applied_px=(y, x),
        )


def _read_records(image: OpenImage, table: str) -> dict[RowKey, RoiRecord]:
    records = (
        RoiRecord.from_roi(roi, image, image.where(f"ROI {name!r}"))
        for name, roi in read_roi_table(image, table).rois.items()
    )
    return {record.key: record for record in records}


def _yx(vector_um: npt.ArrayLike, pixel_um: float) -> tuple[float, float]:
    _, y, x = np.divide(vector_um, pixel_um)
    return float(y), float(x)


def _registered(image: ImageUrl) -> ImageUrl:
    return image.sibling(f"{image.image_path}_registered")


def save_demo_overlays(plate: Path, folder: Path) -> list[Path]:
    """Save the overlay of every well, as `fractal-tasks show` draws it."""
    pictures = []
    folder.mkdir(parents=True, exist_ok=True)
    tables = Tables(f"{ROI_TABLE}_registered", ROI_TABLE)
    for well in load_truth(plate).wells:
        chosen = choose_images(f"{plate}/{well.path}")
        path = folder / f"{well.path.replace('/', '')}.png"
        save_picture(show_images(chosen, tables), path)
        pictures.append(path)
    return pictures


def clear_demo(folder: Path) -> None:
    """Remove the plate of an earlier demo, and nothing else, from `folder`."""
    for name in ("plate.zarr", "pictures"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("plate.zarr.truth.json", "plate_registration.html"):
        (folder / name).unlink(missing_ok=True)
