"""Register a synthetic plate with fractal-tasks and compare with the truth."""

import inspect
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
from conditions import Condition
from ngio import Image, OmeZarrContainer, Roi, open_ome_zarr_container
from rows import OURS, Pair, Row

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.records.rows import RoiRecord
from fractal_tasks.registration.phase_cross_correlation import PhaseCrossCorrelation
from fractal_tasks.storage.plate.open_image import open_image
from fractal_tasks.storage.plate.roi_tables import read_roi_table
from fractal_tasks.storage.urls import parse_image_url
from fractal_tasks.synthetic import load_truth
from fractal_tasks.tasks.calculate_registration import calculate_registration
from fractal_tasks.tasks.find_registration_consensus import find_registration_consensus
from fractal_tasks.tasks.init_calculate_registration import init_calculate_registration
from fractal_tasks.tasks.init_find_registration_consensus import (
    init_find_registration_consensus,
)

WELL = "A/01"
TABLE = "FOV_ROI_table"
ACCEPTANCE_LIMIT: float = (
    inspect.signature(find_registration_consensus).parameters["min_confidence"].default
)
"""Confidence from which the consensus believes an estimate, if not told otherwise."""
_FEW_NUCLEI = 5


def make_pairs(plate: Path, condition: Condition) -> list[Pair]:
    """List the ROIs; for unrelated ones, swap the fields in the ROI table first."""
    truth = load_truth(plate)
    fixed, moving = (
        open_ome_zarr_container(plate / WELL / image).get_roi_table(TABLE).rois()
        for image in "01"
    )
    fields = list(range(len(moving)))
    if condition.unrelated:
        fields = fields[len(fields) // 2 :] + fields[: len(fields) // 2]
        moving = _swap_fields(open_ome_zarr_container(plate / WELL / "1"), fields)
    spacing_um = _spacing_um(plate)
    pairs = []
    for one, other, field in zip(fixed, moving, fields, strict=True):
        true = truth.field(WELL, 1, f"FOV_{field + 1}")
        pairs.append(
            Pair(
                condition=condition.name,
                seed=truth.options.seed,
                roi=str(one.name),
                informative=condition.informative and true.nuclei >= _FEW_NUCLEI,
                true_px=(np.array(true.translation_um) / spacing_um).tolist(),
                start_px=(_start_px(one, spacing_um), _start_px(other, spacing_um)),
            )
        )
    return pairs


def run_ours(plate: Path, pairs: list[Pair], levels: Iterable[str]) -> Iterator[Row]:
    """Run *calculate* from each level, and *find consensus* on what it stored."""
    images = [f"{plate}/{WELL}/{image}" for image in "01"]
    urls: dict[str, Any] = {"zarr_urls": images, "zarr_dir": str(plate.parent)}
    for level in levels:
        with _timed_estimates() as seconds:
            for unit in init_calculate_registration(**urls)["parallelization_list"]:
                calculate_registration(
                    **unit, wavelength_id="A01_C01", level_path=level
                )
        measured = read_records(images[1], TABLE)
        try:
            init = init_find_registration_consensus(**urls)
            for unit in init["parallelization_list"]:
                find_registration_consensus(**unit)
        except InvalidDataError:
            # All ROIs of the well were rejected.
            final = {}
        else:
            final = read_records(images[1], f"{TABLE}_registered")
        for pair in pairs:
            record, end = measured[pair.roi], final.get(pair.roi)
            confidence = record.measurement.best.confidence
            assert confidence is not None
            yield Row(
                pair,
                method=OURS,
                level=level,
                found_px=_displacement_px(record, plate),
                score=confidence,
                cpu_s=sum(seconds) / len(pairs),
                status=(end.status or "") if end else "refused",
                final_px=_displacement_px(end, plate) if end else None,
            )


def read_pixels(plate: Path, pairs: list[Pair]) -> dict[str, npt.NDArray[Any]]:
    """Read what the other packages get: all ROIs of both images at levels 0 and 2.

    Returns:
        ``fixed_<level>`` and ``moving_<level>`` of shape ``(roi, z, y, x)``,
        ``step_<level>``, the size of a pixel in pixels of level 0 (z, y, x),
        ``start_fixed`` and ``start_moving``, the corners of the ROIs, and
        ``pixel_size_um``.
    """
    spacing_um = _spacing_um(plate)
    arrays: dict[str, npt.NDArray[Any]] = {"pixel_size_um": spacing_um[-1]}
    for side, (name, image) in enumerate((("fixed", "0"), ("moving", "1"))):
        container = open_ome_zarr_container(plate / WELL / image)
        rois = {roi.name: roi for roi in container.get_roi_table(TABLE).rois()}
        arrays[f"start_{name}"] = np.array([pair.start_px[side] for pair in pairs])
        for level in ("0", "2"):
            level_image = container.get_image(path=level)
            arrays[f"{name}_{level}"] = np.stack(
                [level_image.get_roi(rois[pair.roi])[0] for pair in pairs]
            )
            arrays[f"step_{level}"] = _pixel_size_um(level_image) / spacing_um
    return arrays


@contextmanager
def _timed_estimates() -> Iterator[list[float]]:
    """Note the CPU seconds of every estimate, reading its pixels included."""
    seconds: list[float] = []
    estimate = PhaseCrossCorrelation.estimate

    def timed(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (any signature)
        start = time.process_time()
        result = estimate(*args, **kwargs)
        seconds.append(time.process_time() - start)
        return result

    with patch.object(PhaseCrossCorrelation, "estimate", timed):
        yield seconds


def _swap_fields(container: OmeZarrContainer, fields: list[int]) -> list[Roi]:
    """Let each ROI show another field, and give the ROIs."""
    table = container.get_roi_table(TABLE)
    rois = table.rois()
    for roi, field in zip(rois, fields, strict=True):
        table.add(roi.model_copy(update={"slices": rois[field].slices}), overwrite=True)
    container.add_table(TABLE, table, overwrite=True, backend="json")
    return container.get_roi_table(TABLE).rois()


def read_records(url: str, table: str) -> dict[str, RoiRecord]:
    """Read what is stored of each ROI of an image, by name."""
    image = open_image(parse_image_url(url))
    return {
        name: RoiRecord.from_roi(roi, image, image.where(f"ROI {name!r}"))
        for name, roi in read_roi_table(image, table).rois.items()
    }


def _displacement_px(record: RoiRecord, plate: Path) -> list[float]:
    """Give how far the best candidate moves the ROI's centre."""
    measurement = record.measurement
    displacement_um = np.array(measurement.displacement_um(measurement.best))
    px: list[float] = (displacement_um / _spacing_um(plate)).tolist()
    return px


def _spacing_um(plate: Path) -> npt.NDArray[np.floating]:
    return _pixel_size_um(open_ome_zarr_container(plate / WELL / "0").get_image())


def _pixel_size_um(image: Image) -> npt.NDArray[np.floating]:
    size = image.pixel_size
    return np.array([size.z, size.y, size.x])


def _start_px(roi: Roi, spacing_um: npt.NDArray[np.floating]) -> list[float]:
    starts = [
        (roi.get(axis), step) for axis, step in zip("zyx", spacing_um, strict=True)
    ]
    return [
        0.0 if one is None else float((one.start or 0.0) / step) for one, step in starts
    ]
