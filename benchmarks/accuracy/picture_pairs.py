"""Pairs of fields for the pictures: seeded, synthetic, and read into memory."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ngio import open_ome_zarr_container
from ours import TABLE, WELL

from fractal_tasks.registration.patch import ArrayPatch
from fractal_tasks.synthetic import PlateOptions, create_plate, load_truth

LEVELS = ("0", "1", "2")
START_LEVEL = 2


@dataclass(frozen=True)
class FieldPair:
    """One field in two acquisitions, finest level first."""

    fixed: list[ArrayPatch]
    moving: list[ArrayPatch]
    true_px: tuple[float, float]
    """From the acquisition to the reference at the field's centre, y and x."""
    rotation_deg: float
    nuclei: int


def draw_pairs(options: PlateOptions) -> list[FieldPair]:
    """Draw a plate of one well and read its fields."""
    with tempfile.TemporaryDirectory(prefix="fractal-tasks-pictures-") as folder:
        plate = create_plate(Path(folder) / "plate.zarr", options)
        truth = load_truth(plate)
        fixed, moving = (_read_fields(plate / WELL / image) for image in "01")
    acquisition = truth.wells[0].acquisitions[1]
    return [
        FieldPair(
            one,
            other,
            true_px=(
                field.translation_um[1] / options.pixel_size_um,
                field.translation_um[2] / options.pixel_size_um,
            ),
            rotation_deg=acquisition.rotation_deg,
            nuclei=field.nuclei,
        )
        for one, other, field in zip(fixed, moving, acquisition.fields, strict=True)
    ]


def swap_fields(pairs: list[FieldPair]) -> list[FieldPair]:
    """Pair each field with another one, so that nothing can match."""
    half = len(pairs) // 2
    others = pairs[half:] + pairs[:half]
    return [
        replace(one, moving=other.moving)
        for one, other in zip(pairs, others, strict=True)
    ]


def error_px(pair: FieldPair, found_px: tuple[float, float]) -> float:
    """Give the larger difference from the truth along y and x."""
    return float(np.abs(np.subtract(found_px, pair.true_px)).max())


def _read_fields(image: Path) -> list[list[ArrayPatch]]:
    container = open_ome_zarr_container(image)
    levels = [container.get_image(path=level) for level in LEVELS]
    return [
        [
            ArrayPatch(
                level.get_roi(roi)[0, 0], (level.pixel_size.y, level.pixel_size.x)
            )
            for level in levels
        ]
        for roi in container.get_roi_table(TABLE).rois()
    ]
