"""Plates whose sample was stretched and sheared: elastix finds that."""

from pathlib import Path

import numpy as np
import pytest
from ngio import open_ome_zarr_container
from scipy import ndimage

from fractal_tasks.registration.elastix import Elastix
from fractal_tasks.synthetic import load_truth
from fractal_tasks.transforms import Affine
from tests.conftest import MakePlate
from tests.records.plates import PIXEL_UM
from tests.tasks.plates import (
    WELL,
    image_urls,
    read_pixels,
    run_apply,
    run_calculate,
    run_consensus,
)
from tests.tasks.test_turned_plates import (
    columns_of,
    fields_of,
    likeness,
    transforms_in,
)

SIDE = 384
STRETCH = np.array([[1.0, 0, 0], [0, 1.008, 0.006], [0, 0, 0.995]])


def stretch(plate: Path) -> None:
    """Stretch each field of the acquisition about its middle."""
    image = open_ome_zarr_container(image_urls(plate, 2)[1]).get_image()
    pixels = image.get_as_numpy()
    matrix = STRETCH[1:, 1:]
    middle = np.full(2, (SIDE - 1) / 2)
    for y in (0, SIDE):
        for x in (0, SIDE):
            field = pixels[..., y : y + SIDE, x : x + SIDE]
            for plane in field.reshape(-1, SIDE, SIDE):
                plane[:] = ndimage.affine_transform(
                    plane, matrix, middle - matrix @ middle, order=1, mode="nearest"
                )
    image.set_array(pixels)
    image.consolidate(mode="dask")


@pytest.mark.e2e
def test_stretched_fields_are_registered_pixel_by_pixel(make_plate: MakePlate) -> None:
    plate = make_plate(
        fields_y=2,
        fields_x=2,
        field_size_px=SIDE,
        acquisitions=2,
        channels=1,
        levels=3,
        plate_shift_um=5.0,
        stage_jitter_um=0.5,
    )
    stretch(plate)
    urls = image_urls(plate, 2)
    run_calculate(urls, method=Elastix())
    run_consensus(urls)
    size_um = SIDE * PIXEL_UM
    for index, (name, found) in enumerate(transforms_in(urls[1]).items()):
        assert columns_of(urls[1], name)["registration_status"] == "measured"
        first = np.array([0.0, *np.multiply(divmod(index, 2), size_um)])
        moved = load_truth(plate).field(WELL, 1, name).matrix
        translation = tuple(np.array(moved)[:, 3].tolist())
        middle = first + np.array((0.5, size_um / 2, size_um / 2))
        truth = Affine.about(middle, STRETCH, translation)
        steps = np.array([(0, y, x) for y in (0.0, 1.0) for x in (0.0, 1.0)])
        corners = first + np.array((0.5, 0, 0)) + steps * size_um
        apart = found.map_points(corners) - truth.map_points(corners)
        assert np.hypot(*apart.T[1:]).max() / PIXEL_UM < 0.5
    before = read_pixels(urls[1])[0, 0]
    for url in urls:
        run_apply([url])
    reference, acquisition = (read_pixels(url)[0, 0] for url in urls)
    for _, place in fields_of(urls[1]):
        was = likeness(reference[place], before[place])
        assert likeness(reference[place], acquisition[place]) > max(was + 0.05, 0.9)
