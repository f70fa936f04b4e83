"""Running the tasks on a plate in one process, and looking at what they wrote."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ngio import OmeZarrContainer, Roi, open_ome_zarr_container

from fractal_tasks.storage.plate.open_image import open_image
from fractal_tasks.storage.plate.roi_table_data import RoiTableData
from fractal_tasks.storage.plate.roi_tables import read_roi_table, replace_roi_table
from fractal_tasks.storage.urls import parse_image_url
from fractal_tasks.synthetic import PlateOptions, create_plate
from fractal_tasks.tasks.apply_registration_to_image import apply_registration_to_image
from fractal_tasks.tasks.calculate_registration import calculate_registration
from fractal_tasks.tasks.find_registration_consensus import find_registration_consensus
from fractal_tasks.tasks.init_calculate_registration import init_calculate_registration
from fractal_tasks.tasks.init_find_registration_consensus import (
    init_find_registration_consensus,
)

WELL = "A/01"
TABLE = "FOV_ROI_table"
REGISTERED = "FOV_ROI_table_registered"

TINY_ESTIMATE = {
    "registration_confidence": 1.0,
    "registration_error": 0.1,
    "registration_alternatives": (
        '[{"transform": {"type": "translation", "translation": [0.0, 1.0, 1.0]},'
        ' "confidence": 0.4, "error_um": 0.1, "evidence": {}}]'
    ),
    "transform": '{"type": "translation", "translation": [0.0, 0.65, 0.0]}',
}

Vector = tuple[float, float, float]


def image_urls(plate: Path, acquisitions: int = 3) -> list[str]:
    return [f"{plate}/{WELL}/{acquisition}" for acquisition in range(acquisitions)]


def make_registered_plate(plate: Path, **options: Any) -> Path:
    """Make a tiny plate on which any of the three tasks can run next.

    Two fields of 32 x 32 pixels; the acquisition is 2 px off along y.
    """
    size = {"fields_y": 1, "fields_x": 2, "field_size_px": 32, "levels": 3}
    create_plate(plate, PlateOptions(**size, acquisitions=2, channels=1, **options))
    urls = image_urls(plate, 2)
    shifts_um = dict.fromkeys(["FOV_1", "FOV_2"], (0.0, 0.65, 0.0))
    set_translations(urls[1], shifts_um, **TINY_ESTIMATE)
    run_consensus(urls)
    return plate


def read_table(zarr_url: str, name: str = TABLE) -> RoiTableData:
    return read_roi_table(open_image(parse_image_url(zarr_url)), name)


def read_pixels(zarr_url: str, path: str = "0") -> npt.NDArray[Any]:
    container = open_ome_zarr_container(zarr_url, mode="r")
    return np.asarray(container.get_image(path=path).get_as_numpy())


def write_rois_of(zarr_url: str, rois: list[Roi], name: str = TABLE) -> None:
    table = read_table(zarr_url, name)
    replace_roi_table(
        parse_image_url(zarr_url),
        name,
        rois=rois,
        meta=table.meta,
        record={},
        unit_um=table.unit_um,
    )


def set_translations(
    zarr_url: str, translations_um: dict[str, Vector], **columns: object
) -> None:
    """Store translations as *calculate* would, without looking at the images."""
    rois = []
    for name, roi in read_table(zarr_url).rois.items():
        z, y, x = translations_um[name]
        update = {"translation_z": z, "translation_y": y, "translation_x": x, **columns}
        rois.append(roi.model_copy(update=update))
    write_rois_of(zarr_url, rois)


def run_calculate(zarr_urls: list[str], **arguments: Any) -> None:
    reference_acquisition = arguments.pop("reference_acquisition", 0)
    units = init_calculate_registration(
        zarr_urls=zarr_urls, zarr_dir="", reference_acquisition=reference_acquisition
    )["parallelization_list"]
    for unit in units:
        calculate_registration(**unit, wavelength_id="A01_C01", **arguments)


def run_consensus(zarr_urls: list[str], **arguments: Any) -> list[dict[str, Any]]:
    reference_acquisition = arguments.pop("reference_acquisition", 0)
    units = init_find_registration_consensus(
        zarr_urls=zarr_urls, zarr_dir="", reference_acquisition=reference_acquisition
    )["parallelization_list"]
    return [
        update
        for unit in units
        for update in find_registration_consensus(**unit, **arguments)[
            "image_list_updates"
        ]
    ]


def run_apply(
    zarr_urls: list[str],
    **arguments: Any,
) -> list[dict[str, Any]]:
    return [
        update
        for zarr_url in zarr_urls
        for update in apply_registration_to_image(
            zarr_url=zarr_url,
            **{"registered_roi_table": REGISTERED, **arguments},
        )["image_list_updates"]
    ]


def open_container(zarr_url: str) -> OmeZarrContainer:
    return open_ome_zarr_container(zarr_url, mode="r")


def tree_of(folder: Path) -> dict[str, bytes]:
    """Give the content of every file below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def data_of(folder: Path) -> dict[str, bytes]:
    """Give the same of a folder with plates, without the lock files beside these."""
    lock = re.compile(r"[^/]+\.(fractal-tasks|ngio)-locks/[^/]+\.lock")
    tree = tree_of(folder)
    return {path: data for path, data in tree.items() if not lock.fullmatch(path)}
