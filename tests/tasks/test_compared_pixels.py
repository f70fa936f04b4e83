"""Which pixels are compared: masks of labels, tables and thresholds; more channels."""

import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from ngio import Roi, open_ome_zarr_container
from ngio.tables import MaskingRoiTable

from fractal_tasks.errors import InvalidDataError, InvalidInputError
from fractal_tasks.synthetic import load_truth
from tests.conftest import MakePlate
from tests.tasks.plates import (
    WELL,
    image_urls,
    read_pixels,
    read_table,
    run_calculate,
    tree_of,
)

PIXEL_UM = 0.325
SIZE = 256
OPTIONS = {
    "fields_y": 1,
    "fields_x": 2,
    "field_size_px": SIZE,
    "levels": 3,
    "acquisitions": 2,
    "channels": 2,
}
OTHER_PX = 14
"""How far the lower part of each field went further."""


def write_pixels(zarr_url: str, pixels: npt.NDArray[np.generic]) -> None:
    image = open_ome_zarr_container(zarr_url).get_image()
    image.set_array(pixels)
    image.consolidate(mode="auto")


def add_label(zarr_url: str, name: str, ids: npt.NDArray[np.generic]) -> None:
    label = open_ome_zarr_container(zarr_url).derive_label(name, overwrite=True)
    label.set_array(ids.reshape(label.shape))
    label.consolidate(mode="auto")


def two_parts() -> npt.NDArray[np.uint32]:
    """Give two objects: the upper part of both fields, and the lower one."""
    ids = np.zeros((SIZE, 2 * SIZE), np.uint32)
    ids[: SIZE * 7 // 16] = 1
    ids[SIZE * 9 // 16 :] = 2
    return ids


@pytest.fixture
def torn(make_plate: MakePlate) -> Path:
    """A plate of which the lower 3/5 of an acquisition went further than the rest."""
    plate = make_plate(**OPTIONS)
    url = image_urls(plate, 2)[1]
    pixels = read_pixels(url)
    lower = SIZE * 2 // 5
    pixels[..., lower:, :] = np.roll(pixels[..., lower:, :], OTHER_PX, axis=-1)
    write_pixels(url, pixels)
    return plate


def errors_px(plate: Path, further_px: float = 0.0) -> list[float]:
    """Give how far estimates are from the truth of the upper part.

    Args:
        plate: Whose acquisition 1 was measured.
        further_px: How much further its content is thought to be.
    """
    truth, url = load_truth(plate), image_urls(plate, 2)[1]
    found = []
    for name, roi in read_table(url).rois.items():
        _, y_um, x_um = truth.field(WELL, 1, name).translation_um
        off = (roi.translation_y - y_um, roi.translation_x - x_um)
        found.append(float(np.hypot(off[0], off[1] + further_px * PIXEL_UM)) / PIXEL_UM)
    return found


def test_mask_decides_which_part_is_measured(torn: Path) -> None:
    urls = image_urls(torn, 2)
    run_calculate(urls)
    assert max(errors_px(torn, OTHER_PX)) < 1
    for masked in (urls[0], urls[1]):
        add_label(masked, "upper", two_parts() == 1)
        run_calculate(urls, mask="upper")
        assert max(errors_px(torn)) < 1
    run_calculate(urls, mask="none")
    assert max(errors_px(torn, OTHER_PX)) < 1


def test_masking_table_names_the_objects_that_count(torn: Path) -> None:
    urls = image_urls(torn, 2)
    add_label(urls[0], "parts", two_parts())
    container = open_ome_zarr_container(urls[0])
    table = MaskingRoiTable(
        [
            Roi.from_values(
                name="1", label=1, slices={"y": (0, 30), "x": (0, 60), "z": (0, 1)}
            )
        ],
        reference_label="parts",
    )
    container.add_table("kept_parts", table)
    run_calculate(urls, mask="kept_parts")
    assert max(errors_px(torn)) < 1
    run_calculate(urls, mask="parts")
    assert max(errors_px(torn, OTHER_PX)) < 1


def test_other_label_under_the_same_name_is_measured_anew(torn: Path) -> None:
    urls = image_urls(torn, 2)
    add_label(urls[0], "part", two_parts() == 2)
    run_calculate(urls, mask="part")
    add_label(urls[0], "part", two_parts() == 1)
    run_calculate(urls, mask="part")
    assert max(errors_px(torn)) < 1


def test_field_outside_of_the_mask_is_not_believed_and_named(
    make_plate: MakePlate, caplog: pytest.LogCaptureFixture
) -> None:
    plate = make_plate(**OPTIONS)
    ids = np.zeros((SIZE, 2 * SIZE), np.uint8)
    ids[:, :SIZE] = 1
    urls = image_urls(plate, 2)
    add_label(urls[0], "left", ids)
    with caplog.at_level(logging.WARNING):
        run_calculate(urls, mask="left")
    assert "ROI 'FOV_2': the mask 'left' holds nothing of it" in caplog.text
    assert "'FOV_1': the mask" not in caplog.text
    first, second = read_table(urls[1]).rois.values()
    assert first.registration_confidence > 0.9
    assert second.registration_confidence < 0.5
    assert errors_px(plate)[0] < 0.5


def test_what_is_bright_is_enough(make_plate: MakePlate) -> None:
    plate = make_plate(**OPTIONS)
    run_calculate(image_urls(plate, 2), mask="otsu")
    assert max(errors_px(plate)) < 0.3


@pytest.mark.parametrize("dimensions", ["2d", "3d"])
def test_stacks_are_masked_too(make_plate: MakePlate, dimensions: str) -> None:
    plate = make_plate(**{**OPTIONS, "planes": 8, "z_shift_um": 1.0})
    urls = image_urls(plate, 2)
    ids = np.zeros((8, SIZE, 2 * SIZE), np.uint8)
    ids[2:6, SIZE // 4 :] = 1
    add_label(urls[0], "inside", ids)
    run_calculate(urls, mask="inside", dimensions=dimensions)
    assert max(errors_px(plate)) < 1


def test_mask_that_nobody_has_changes_nothing(make_plate: MakePlate) -> None:
    plate = make_plate(**OPTIONS)
    before = tree_of(plate)
    with pytest.raises(InvalidInputError, match="mask='cells' is neither a label"):
        run_calculate(image_urls(plate, 2), mask="cells")
    with pytest.raises(InvalidInputError, match="table of type 'roi_table'"):
        run_calculate(image_urls(plate, 2), mask="FOV_ROI_table")
    assert tree_of(plate) == before


def test_label_of_another_size_is_no_mask(make_plate: MakePlate) -> None:
    plate = make_plate(**OPTIONS)
    urls = image_urls(plate, 2)
    half = np.ones((1, SIZE // 2, 2 * SIZE), np.uint8)
    container = open_ome_zarr_container(urls[0])
    label = container.derive_label("half", shape=half.shape)
    label.set_array(half)
    with pytest.raises(InvalidDataError, match="label 'half': found"):
        run_calculate(urls, mask="half")


def test_channel_that_shows_nothing_is_helped_by_another(
    make_plate: MakePlate,
) -> None:
    plate = make_plate(**OPTIONS)
    rng = np.random.default_rng(1)
    for url in image_urls(plate, 2):
        pixels = read_pixels(url)
        pixels[0] = rng.normal(200, 10, pixels[0].shape)
        write_pixels(url, pixels)
    run_calculate(image_urls(plate, 2))
    rois = read_table(image_urls(plate, 2)[1]).rois.values()
    assert all(roi.registration_confidence < 0.5 for roi in rois)
    run_calculate(image_urls(plate, 2), more_wavelength_ids=["A02_C02"])
    assert max(errors_px(plate)) < 0.5


def test_channels_that_show_halves_of_a_field_show_all_of_it(
    make_plate: MakePlate,
) -> None:
    plate = make_plate(**OPTIONS)
    for url in image_urls(plate, 2):
        pixels = read_pixels(url)
        background = np.median(pixels[1])
        pixels[1] = pixels[0]
        pixels[0, ..., SIZE // 3 :, :] = background
        pixels[1, ..., : SIZE // 3, :] = background
        write_pixels(url, pixels)
    run_calculate(image_urls(plate, 2), more_wavelength_ids=["A02_C02"])
    assert max(errors_px(plate)) < 0.5


def test_further_channel_must_be_there(make_plate: MakePlate) -> None:
    plate = make_plate(**OPTIONS)
    before = tree_of(plate)
    with pytest.raises(InvalidInputError, match="'A09_C09' fits no channel"):
        run_calculate(image_urls(plate, 2), more_wavelength_ids=["A09_C09"])
    assert tree_of(plate) == before
