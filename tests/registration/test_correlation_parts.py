"""The parts of the correlation methods, against brute force."""

import numpy as np
import pytest
from scipy import ndimage

from fractal_tasks.registration.patch import ArrayPatch
from fractal_tasks.registration.prepare import (
    band_pass,
    extract_detail,
    fill_invalid,
    read_binned,
    remove_outliers,
)
from fractal_tasks.registration.similarity import map_similarity


def test_outliers_are_removed_by_the_median_of_a_cross() -> None:
    image = np.random.default_rng(0).normal(size=(3, 20, 31)).astype(np.float32)
    cross = np.array([[[0, 1, 0], [1, 1, 1], [0, 1, 0]]])
    expected = ndimage.median_filter(image, footprint=cross, mode="mirror")
    np.testing.assert_array_equal(remove_outliers(image), expected)


@pytest.mark.parametrize(
    ("fixed", "moving"), [((6, 9), (7, 5)), ((2, 5, 6), (3, 4, 8))]
)
def test_the_similarity_of_every_shift_is_that_of_its_overlap(
    fixed: tuple[int, ...], moving: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(1)
    one = rng.normal(size=fixed).astype(np.float32)
    two = rng.normal(size=moving).astype(np.float32)
    shifts = map_similarity(one, two)
    for index in np.ndindex(shifts.similarity.shape):
        shift = np.subtract(index, shifts.zero)
        first, last = np.maximum(0, shift), np.minimum(fixed, moving + shift)
        a = one[tuple(map(slice, first, last))]
        b = two[tuple(map(slice, first - shift, last - shift))]
        expected = (a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum())
        # The floor for overlaps without signal takes off up to 1 % where few pixels
        # with little energy are left.
        assert shifts.similarity[index] == pytest.approx(expected, rel=0.2, abs=1e-3)
        assert shifts.overlap[index] == pytest.approx(a.size / min(one.size, two.size))


def test_binning_averages_valid_pixels_and_leaves_incomplete_bins() -> None:
    image = np.repeat(np.arange(5, dtype=np.float32), 4)[None] * np.ones((9, 1))
    image = image.astype(np.float32)
    image[:4, :4] = np.nan
    image[4:6, 4:6] = np.nan
    binned = read_binned(ArrayPatch(image, (1.0, 1.0)), (4, 4))
    expected = np.array([[np.nan, 1, 2, 3, 4], [0, 1, 2, 3, 4]])
    np.testing.assert_array_equal(binned, expected)


@pytest.mark.parametrize("value", [0.0, 0.1, 1234.5, np.nan])
def test_an_image_without_detail_has_nothing_left_after_the_band_pass(
    value: float,
) -> None:
    flat = np.full((1, 40, 50), value, np.float32)
    np.testing.assert_array_equal(band_pass(flat), 0)


def holed_image() -> np.ndarray:
    """Give two planes of noise with scattered holes and a large one in the first."""
    rng = np.random.default_rng(3)
    image = rng.normal(100, 10, (2, 90, 120)).astype(np.float32)
    image[rng.random(image.shape) < 0.2] = np.nan
    image[0, 10:80, 40:110] = np.nan
    return image


def test_an_invalid_pixel_gets_the_mean_of_the_valid_ones_around_it() -> None:
    image = holed_image()
    filled = fill_invalid(image)
    valid = np.isfinite(image)
    np.testing.assert_array_equal(filled[valid], image[valid])
    interior = np.zeros_like(valid)
    interior[:, 16:-16, 16:-16] = True
    for plane, y, x in np.argwhere(~valid & interior)[::50]:
        around = image[plane, y - 16 : y + 17, x - 16 : x + 17]
        anywhere = around if np.isfinite(around).any() else image[plane]
        expected = np.nanmean(anywhere, dtype=np.float64)
        assert filled[plane, y, x] == pytest.approx(expected, abs=0.02)


def test_filling_knows_images_without_and_with_only_invalid_pixels() -> None:
    image = np.ones((2, 9, 9), np.float32)
    assert fill_invalid(image) is image
    image[0] = np.nan
    filled = fill_invalid(image)
    np.testing.assert_array_equal(filled[0], 0)
    np.testing.assert_array_equal(filled[1], 1)


def gaussian_mean(plane: np.ndarray, y: int, x: int, sigma: float) -> float:
    """Weigh the valid pixels within 3 sigma of one pixel."""
    radius = int(3 * sigma + 0.5)
    steps = np.arange(-radius, radius + 1)
    profile = np.exp(-0.5 * (steps / sigma) ** 2)
    around = plane[y - radius : y + radius + 1, x - radius : x + radius + 1]
    weights = np.outer(profile, profile) * np.isfinite(around)
    return float((weights * np.nan_to_num(around)).sum() / weights.sum())


def test_detail_is_the_difference_of_two_gaussian_means_of_valid_pixels() -> None:
    image = holed_image()
    detail = extract_detail(image)
    valid = np.isfinite(image)
    np.testing.assert_array_equal(detail[~valid], 0)
    interior = np.zeros_like(valid)
    interior[:, 12:-12, 12:-12] = True
    for plane, y, x in np.argwhere(valid & interior)[::100]:
        expected = gaussian_mean(image[plane], y, x, 1.0)
        expected -= gaussian_mean(image[plane], y, x, 4.0)
        assert detail[plane, y, x] == pytest.approx(expected, abs=1e-3)


def test_even_light_and_its_slope_have_no_detail() -> None:
    slope = np.linspace(50, 90, 100, dtype=np.float32)[:, None] * np.ones(80)
    detail = extract_detail(slope[None].astype(np.float32))
    np.testing.assert_allclose(detail[:, 16:-16, 16:-16], 0, atol=1e-3)
    nothing = np.full((1, 20, 20), np.nan, np.float32)
    np.testing.assert_array_equal(extract_detail(nothing), 0)
