"""The parts of the correlation methods, against brute force."""

import numpy as np
import pytest
from scipy import ndimage

from fractal_tasks.registration.coarse import map_similarity
from fractal_tasks.registration.patch import ArrayPatch
from fractal_tasks.registration.prepare import band_pass, read_binned, remove_outliers


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
