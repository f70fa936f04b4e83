"""Plates whose sample was bent: elastix finds that, and pixels follow."""

from pathlib import Path

import numpy as np
import pytest
from ngio import open_ome_zarr_container
from scipy import ndimage

from fractal_tasks.registration.elastix import Elastix
from fractal_tasks.storage.plate.displacements import displacements_of
from fractal_tasks.storage.urls import parse_image_url
from fractal_tasks.synthetic import load_truth
from fractal_tasks.transforms import FloatArray, Warp
from tests.conftest import MakePlate
from tests.records.plates import PIXEL_UM
from tests.tasks.plates import (
    REGISTERED,
    TABLE,
    WELL,
    image_urls,
    read_pixels,
    read_table,
    run_apply,
    run_calculate,
    run_consensus,
)
from tests.tasks.test_turned_plates import PIXELS, columns_of, fields_of, likeness

SIDE = 384
PERIOD_PX, BEND_PX = 420.0, 5.0
BENT = {
    "fields_y": 1,
    "fields_x": 2,
    "field_size_px": SIDE,
    "acquisitions": 2,
    "channels": 1,
    "levels": 3,
    "plate_shift_um": 5.0,
    "stage_jitter_um": 0.5,
}


def bend_of(places_px: FloatArray) -> FloatArray:
    """Give how far from a pixel (y, x) of the bent field lies what it shows."""
    waves = 2 * np.pi * places_px[..., ::-1] / PERIOD_PX
    moved: FloatArray = BEND_PX * np.sin(np.add(waves, (0.3, 1.2)))
    return moved


def bend(plate: Path) -> None:
    """Bend each field of the acquisition."""
    image = open_ome_zarr_container(image_urls(plate, 2)[1]).get_image()
    pixels = image.get_as_numpy()
    places = np.stack(np.mgrid[:SIDE, :SIDE], axis=-1).astype(float)
    shown = np.moveaxis(places + bend_of(places), -1, 0)
    for x in (0, SIDE):
        field = pixels[..., :SIDE, x : x + SIDE]
        for plane in field.reshape(-1, SIDE, SIDE):
            plane[:] = ndimage.map_coordinates(plane, shown, order=1, mode="nearest")
    image.set_array(pixels)
    image.consolidate(mode="dask")


def calculate(plate: Path) -> None:
    run_calculate(image_urls(plate, 2), method=Elastix(transform="bspline"))


def judge(plate: Path) -> None:
    run_consensus(image_urls(plate, 2))


def warps_in(url: str, table: str) -> dict[str, Warp]:
    read = displacements_of(parse_image_url(url))
    found = {}
    for name in read_table(url, table).rois:
        warp = PIXELS.from_json(columns_of(url, name, table)["transform"], read)
        assert isinstance(warp, Warp)
        found[name] = warp
    return found


def off_px(plate: Path, name: str, index: int, warp: Warp) -> FloatArray:
    """Give by how much the pixels of a field are off, those of the border not."""
    shift_um = load_truth(plate).field(WELL, 1, name).translation_um
    side = np.arange(24.0, SIDE - 24, 8)
    places = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1).reshape(-1, 2)
    first = np.array((0.0, index * SIDE))
    points = np.insert((places + first + 0.5) * PIXEL_UM, 0, 0.5, axis=1)
    truth = points.copy()
    truth[:, 1:] += bend_of(places) * PIXEL_UM
    apart = (warp.map_points(points) - truth - shift_um) / PIXEL_UM
    found: FloatArray = np.hypot(*apart.T[1:])
    return found


@pytest.mark.e2e
def test_bent_fields_are_registered_pixel_by_pixel(make_plate: MakePlate) -> None:
    plate = make_plate(**BENT, then=[bend, calculate, judge])
    urls = image_urls(plate, 2)
    for table in (TABLE, REGISTERED):
        for index, (name, warp) in enumerate(warps_in(urls[1], table).items()):
            off = off_px(plate, name, index, warp)
            assert np.median(off) < 0.3
            assert np.percentile(off, 95) < 1.0
    for url in urls:
        run_apply([url])
    reference, acquisition = (read_pixels(url)[0, 0] for url in urls)
    for _, place in fields_of(urls[1]):
        assert likeness(reference[place], acquisition[place]) > 0.95
