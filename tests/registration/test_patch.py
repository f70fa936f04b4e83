import numpy as np
import pytest

from fractal_tasks.registration.patch import (
    ArrayPatch,
    ClippedPatch,
    MaxProjectionPatch,
    Patch,
    ResampledPatch,
    intensity_limits,
    iterate_boxes,
)
from tests.registration.test_methods import CountingPatch


def read_all(patch: Patch) -> np.ndarray:
    return patch.read(tuple(slice(0, n) for n in patch.shape))


@pytest.mark.parametrize("spacing_um", [(0.5, 0.5), (0.4, 0.65), (0.3, 1.1)])
def test_resampling_reproduces_a_ramp_at_pixel_centres(
    spacing_um: tuple[float, float],
) -> None:
    """Linear interpolation of a linear image is exact, but for half a border pixel."""
    y, x = (np.arange(40) + 0.5) * 0.5, (np.arange(60) + 0.5) * 0.6
    ramp = (3 * y[:, None] - 2 * x).astype(np.float32)
    resampled = ResampledPatch(ArrayPatch(ramp, (0.5, 0.6)), spacing_um)
    rows, columns = resampled.shape
    assert rows == int(20 / spacing_um[0] + 1e-6)
    assert columns == int(36 / spacing_um[1] + 1e-6)
    y_new = (np.arange(rows) + 0.5) * spacing_um[0]
    x_new = (np.arange(columns) + 0.5) * spacing_um[1]
    expected = 3 * y_new[:, None] - 2 * x_new
    inside = np.ix_(
        (y_new >= 0.25) & (y_new <= 19.75), (x_new >= 0.3) & (x_new <= 35.7)
    )
    assert read_all(resampled)[inside] == pytest.approx(expected[inside], abs=1e-4)


def test_a_resampled_box_equals_the_crop_and_reads_only_a_halo() -> None:
    pixels = np.random.default_rng(0).random((4, 50, 60)).astype(np.float32)
    source = CountingPatch(ArrayPatch(pixels, (1.0, 0.5, 0.5)))
    resampled = ResampledPatch(source, (1.5, 0.65, 0.35))
    whole = read_all(resampled)
    source.reads.clear()
    box = (slice(0, 2), slice(10, 20), slice(30, 50))
    np.testing.assert_array_equal(resampled.read(box), whole[box])
    # 2 x 1.5, 10 x 1.3 and 20 x 0.7 pixels, and up to 2 more per axis.
    assert source.reads[0] <= 4 * 15 * 16


def test_max_projection_ignores_invalid_pixels_and_reads_bounded_slabs() -> None:
    stack = np.random.default_rng(1).random((5, 1100, 1100)).astype(np.float32)
    stack[2, 5] = np.nan
    stack[:, 7, 7] = np.nan
    source = CountingPatch(ArrayPatch(stack, (1.0, 0.5, 0.5)))
    projected = MaxProjectionPatch(source)
    result = read_all(projected)
    assert projected.spacing_um == (0.5, 0.5)
    assert max(source.reads) <= 2**22
    assert np.isnan(result[7, 7])
    assert result[5, 9] == stack[[0, 1, 3, 4], 5, 9].max()
    assert result[9, 5] == stack[:, 9, 5].max()


def test_upper_limit_is_a_quantile_of_what_stands_out() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.normal(100, 3, (200, 200)).astype(np.float32)
    pixels[10:20, 10:20] = np.arange(1000, 1100, dtype=np.float32).reshape(10, 10)
    pixels[0, :50] = np.nan
    patch = ArrayPatch(pixels, (1.0, 1.0))
    lower, upper = intensity_limits(patch, 0.0, 0.99)
    assert lower == np.nanmin(pixels)
    # 100 pixels of 40 000 are bright: 0.99 of all pixels would be the background.
    assert upper == pytest.approx(1000 + 0.99 * 99, abs=0.1)
    clipped = read_all(ClippedPatch(patch, lower, upper))
    assert np.nanmax(clipped) == np.float32(upper)
    empty = ArrayPatch(np.full((9, 9), np.nan, np.float32), (1.0, 1.0))
    assert intensity_limits(empty, 0.0, 0.99) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("shape", "factors"),
    [((5000, 3000), (8, 8)), ((7, 900, 5000), (4, 16, 16)), ((3, 10, 10), (1, 1, 1))],
)
def test_boxes_cover_each_pixel_once_and_keep_bins_whole(
    shape: tuple[int, ...], factors: tuple[int, ...]
) -> None:
    visits = np.zeros(shape, np.uint8)
    for box in iterate_boxes(shape, factors):
        visits[box] += 1
        assert visits[box].size <= 2**22
        assert all(axis.start % f == 0 for axis, f in zip(box, factors, strict=True))
    assert (visits == 1).all()
