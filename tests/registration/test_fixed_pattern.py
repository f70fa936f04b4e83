"""What the camera shows is left out, what the sample shows is not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from scipy import ndimage

from fractal_tasks.registration.fixed_pattern import (
    FixedPattern,
    MaskedPatch,
    find_fixed_pattern,
)
from fractal_tasks.registration.patch import ArrayPatch, Box, Patch
from tests.registration.scene import (
    SPACING_UM,
    Image,
    build_pyramid,
    draw_cells,
    photograph,
)

SHAPE = 256, 288
BINS = 1, 2
"""Pixels per bin: at most 256 bins along an axis."""

SHIFT_PX = 13.4, -27.2
STILL = 0.0, 0.0
HOT = [(30, 40), (77, 203), (120, 121), (200, 60), (233, 250)]
DUST = [(60, 130, 5.0), (180, 190, 8.0)]
"""Centre and standard deviation of a shadow, in pixels."""

Camera = tuple[npt.NDArray[np.float64], Image]
"""Gain and additional counts of every pixel."""


def flawed_camera() -> Camera:
    """Give a camera with clusters of 3 x 3 hot pixels and two shadows."""
    counts = np.zeros(SHAPE, np.float32)
    for y, x in HOT:
        counts[y - 1 : y + 2, x - 1 : x + 2] = 3000
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    gain = np.ones(SHAPE)
    for y, x, sigma in DUST:
        distance = ((rows - y) ** 2 + (columns - x) ** 2) / sigma**2
        gain *= 1 - 0.4 * np.exp(-0.5 * distance)
    return gain, counts


def uneven_camera() -> Camera:
    """Give a camera whose pixels differ weakly, in patches of some pixels."""
    noise = np.random.default_rng(5).normal(size=SHAPE)
    smooth = ndimage.gaussian_filter(noise, 2)
    return 1 + 0.02 * smooth / smooth.std(), np.zeros(SHAPE, np.float32)


def good_camera() -> Camera:
    return np.ones(SHAPE), np.zeros(SHAPE, np.float32)


@dataclass
class Views:
    """The same fields in two acquisitions."""

    fixed: list[ArrayPatch]
    moving: list[ArrayPatch]


def view(
    camera: Camera,
    samples: Sequence[int | None],
    shift_px: tuple[float, float] = SHIFT_PX,
    haze: float = 1.0,
    brightness: float = 1.0,
) -> Views:
    """Photograph fields; each is the seed of its cells, or None for no cells."""
    gain, counts = camera
    views = Views([], [])
    seeds = iter(range(1000))
    for sample in samples:
        for side, shift in ((views.fixed, (0.0, 0.0)), (views.moving, shift_px)):
            light = np.zeros(SHAPE, np.float32)
            if sample is not None:
                spacing_um = SPACING_UM[2]
                light = draw_cells(sample, SHAPE, spacing_um, shift, per_mm2=1500)
                light *= np.float32(brightness)
            image = photograph(next(seeds), light + np.float32(haze)) * gain + counts
            side.append(ArrayPatch(image.astype(np.float32), (0.325, 0.325)))
    return views


def find(views: Views) -> FixedPattern:
    pattern = find_fixed_pattern(views.fixed, views.moving)
    assert pattern is not None
    return pattern


@pytest.fixture(scope="module")
def flawed() -> FixedPattern:
    return find(view(flawed_camera(), range(10)))


def test_hot_clusters_and_dust_are_masked(flawed: FixedPattern) -> None:
    assert flawed.factors == BINS
    for y, x in HOT:
        around = flawed.mask[y - 1 : y + 2, (x - 1) // 2 : (x + 1) // 2 + 1]
        assert around.all(), (y, x)
    for y, x, _ in DUST:
        assert flawed.mask[y, x // 2], (y, x)


def test_nearly_nothing_else_is_masked(flawed: FixedPattern) -> None:
    """Beyond what the filter of 4 sigma can bring from a flaw."""
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1] : 2]
    flawless = np.ones_like(flawed.mask)
    for y, x, radius in [*((y, x, 12.0) for y, x in HOT), *DUST]:
        reach = max(radius, 3 * radius + 8)
        flawless &= np.hypot(rows - y, columns - x) > reach
    assert flawless.mean() > 0.5
    assert flawed.mask[flawless].mean() < 0.001


def test_without_flaws_nothing_is_masked() -> None:
    assert not find(view(good_camera(), range(8))).mask.any()


@pytest.mark.parametrize("count", [2, 3])
def test_fewer_than_four_fields_mask_nothing(count: int) -> None:
    assert not find(view(flawed_camera(), range(count))).mask.any()


def test_one_field_cannot_tell() -> None:
    views = view(flawed_camera(), [0])
    assert find_fixed_pattern(views.fixed, views.moving) is None


def test_fields_of_several_shapes_cannot_tell() -> None:
    views = view(flawed_camera(), range(4))
    views.moving[2] = ArrayPatch(views.moving[2].array[:-2], (0.325, 0.325))
    assert find_fixed_pattern(views.fixed, views.moving) is None


def test_cells_at_the_same_place_in_two_of_six_fields_are_not_masked() -> None:
    assert not find(view(good_camera(), [0, 0, 2, 3, 4, 5])).mask.any()


def test_planes_of_a_stack_are_judged_by_their_mean() -> None:
    views = view(flawed_camera(), range(6))
    flat = find(views)
    for side in (views.fixed, views.moving):
        # The outer planes differ from the middle one by what cancels in the mean.
        side[:] = [
            ArrayPatch(
                np.multiply.outer((0.5, 1.0, 1.5), one.array),
                (1.0, 0.325, 0.325),
            )
            for one in side
        ]
    deep = find(views)
    np.testing.assert_array_equal(deep.mask, flat.mask)
    assert deep.factors == (1, *BINS)


@pytest.mark.parametrize("fields", [4, 8])
def test_a_common_weak_pattern_explains_two_views_of_an_empty_field(
    fields: int,
) -> None:
    samples = [None, *range(fields - 1)]
    views = view(uneven_camera(), samples)
    pattern = find(views)
    assert pattern.explains(views.fixed[0], views.moving[0], STILL)


@pytest.mark.parametrize("camera", [good_camera, flawed_camera, uneven_camera])
def test_no_camera_explains_two_views_of_the_same_cells(
    camera: Callable[[], Camera],
) -> None:
    pattern = find(view(camera(), range(6)))
    still = view(camera(), range(20, 23), shift_px=(0.2, -0.3))
    for fixed, moving in zip(still.fixed, still.moving, strict=True):
        assert not pattern.explains(fixed, moving, STILL)
        assert not pattern.explains(moving, fixed, STILL)


@pytest.mark.parametrize("samples", [[None, None, 7, 8], [None, None, None, 7]])
@pytest.mark.parametrize("shift_px", [SHIFT_PX, (0.2, -0.3)], ids=["moved", "still"])
def test_camera_shows_in_empty_fields_and_not_in_those_with_cells(
    samples: list[int | None], shift_px: tuple[float, float]
) -> None:
    """Most pairs of fields are not alike, as one of them has cells or both have."""
    views = view(dusty_camera(), samples, shift_px, brightness=20)
    pattern = find(views)
    assert pattern.still.mean < pattern.still.least_visible
    for sample, *pair in zip(samples, views.fixed, views.moving, strict=True):
        assert pattern.shows_in(*pair) == (sample is None)


def dusty_camera() -> Camera:
    """Give a camera that shows nothing but shadows."""
    gain, counts = flawed_camera()
    return gain, np.zeros_like(counts)


def striped_camera() -> Camera:
    """Give a camera that shows stripes, much brighter than noise."""
    stripes = np.sin(np.arange(SHAPE[1]) / 3) + np.sin(np.arange(SHAPE[0]) / 5)[:, None]
    return np.ones(SHAPE), (300 * (1 + stripes)).astype(np.float32)


def test_camera_explains_empty_fields_that_show_nothing_else() -> None:
    """Different fields are as similar then as two views of one: nearly 1."""
    views = view(striped_camera(), [None] * 3)
    pattern = find(views)
    assert pattern.still.mean > 0.95
    for fixed, moving in zip(views.fixed, views.moving, strict=True):
        assert pattern.explains(fixed, moving, STILL)


def test_camera_explains_a_short_shift_if_it_is_all_there_is() -> None:
    """Of a broad shadow, a place besides the peak is still similar to it."""
    pattern = find(view(uneven_camera(), [None, *range(5)]))
    empty = view(uneven_camera(), [None])
    short_um = 2 * pattern.spacing_um[0], 0.0
    assert pattern.explains(empty.fixed[0], empty.moving[0], short_um)
    cells = view(uneven_camera(), [20], shift_px=(2.0, 0.0))
    assert not pattern.explains(cells.fixed[0], cells.moving[0], short_um)


def test_camera_explains_a_shift_by_a_period_of_its_stripes() -> None:
    views = view(striped_camera(), [None] * 3)
    pattern = find(views)
    period_um = 0.0, round(6 * np.pi / BINS[1]) * pattern.spacing_um[1]
    assert pattern.explains(views.fixed[0], views.moving[0], period_um)


@pytest.mark.parametrize("bins", [40, 300])
def test_camera_explains_no_long_shift(bins: int) -> None:
    pattern = find(view(uneven_camera(), [None, *range(5)]))
    empty = view(uneven_camera(), [None])
    far_um = bins * pattern.spacing_um[0], 0.0
    assert not pattern.explains(empty.fixed[0], empty.moving[0], far_um)


def test_fields_without_any_signal_are_explained() -> None:
    flat = [ArrayPatch(np.full(SHAPE, 100.0), (0.325, 0.325)) for _ in range(4)]
    pattern = find(Views(flat, flat))
    assert not pattern.mask.any()
    assert pattern.explains(flat[0], flat[1], STILL)


def read_box(patch: Patch, box: Box) -> Image:
    return MaskedPatch(patch, MASK).read(box)


MASK = FixedPattern(
    mask=np.random.default_rng(0).random((64, 72)) < 0.1,
    factors=(4, 4),
    spacing_um=(1.3, 1.3),
    views=(np.zeros((2, 64, 72), np.float32), np.zeros((2, 64, 72), np.float32)),
)


@pytest.mark.parametrize("level", [0, 1, 2, 3])
@pytest.mark.parametrize("planes", [None, 3])
def test_every_level_masks_the_same_places(level: int, planes: int | None) -> None:
    """A bin has 4 x 4 pixels of level 0; a pixel of level 3 has 2 x 2 bins.

    The latter occurs: of a stack, a coarser level than `level_path` may be searched.
    """
    shape = SHAPE if planes is None else (planes, *SHAPE)
    ones = np.ones(shape, np.float32)
    patch = build_pyramid(ones, SPACING_UM[len(shape)], 4)[level]
    whole = read_box(patch, tuple(slice(0, n) for n in patch.shape))
    flawed = np.kron(MASK.mask, np.ones((4, 4), bool))
    side = 2**level
    blocks = flawed.reshape(SHAPE[0] // side, side, SHAPE[1] // side, side)
    expected = np.broadcast_to(blocks.any(axis=(1, 3)), patch.shape)
    np.testing.assert_array_equal(np.isnan(whole), expected)
    box = (*(slice(1, 2),) * (len(shape) - 2), slice(5, 17), slice(9, 30))
    np.testing.assert_array_equal(read_box(patch, box), whole[box])


def test_an_incomplete_bin_at_the_border_is_judged_by_the_last_one() -> None:
    patch = ArrayPatch(np.ones((259, 290), np.float32), (0.325, 0.325))
    whole = read_box(patch, (slice(0, 259), slice(0, 290)))
    for row in (256, 257, 258):
        np.testing.assert_array_equal(whole[row], whole[255])
    np.testing.assert_array_equal(whole[:, 289], whole[:, 287])


def test_masking_leaves_the_pixels_of_the_patch_alone() -> None:
    """An array in memory may be given out as it is, not as a copy."""
    patch = ArrayPatch(np.ones(SHAPE, np.float32), (0.325, 0.325))
    read_box(patch, (slice(0, 256), slice(0, 288)))
    assert np.isfinite(patch.array).all()


@pytest.mark.parametrize(
    "corners",
    [[(20, 30)] * 4, [(20, 30), (35, 12), (10, 40), (44, 44)]],
    ids=["one place", "different places"],
)
def test_what_all_fields_show_but_moved_is_no_camera(
    corners: list[tuple[int, int]],
) -> None:
    """One square in each of four fields, without noise: alike at many shifts."""
    shift = 3, -5
    views = Views([], [])
    for y, x in corners:
        for side, (dy, dx) in ((views.fixed, (0, 0)), (views.moving, shift)):
            image = np.zeros((64, 64), np.float32)
            image[y - dy : y - dy + 10, x - dx : x - dx + 10] = 1000
            side.append(ArrayPatch(image, (0.325, 0.325)))
    pattern = find(views)
    shift_um = 0.325 * shift[0], 0.325 * shift[1]
    for fixed, moving in zip(views.fixed, views.moving, strict=True):
        assert not pattern.explains(fixed, moving, shift_um)


def test_bright_spots_on_dark_ground_are_no_camera() -> None:
    """Such images have something in common at any shift: that most of them is dark."""
    rng = np.random.default_rng(4)
    views = Views([], [])
    for side in (views.fixed, views.moving) * 4:
        light = np.zeros((64, 64), np.float32)
        light[tuple(rng.integers(0, 64, (2, 40)))] = rng.exponential(500, 40)
        light = ndimage.gaussian_filter(light, 1.0) + np.float32(100)
        side.append(ArrayPatch(light, (1.0, 1.0)))
    pattern = find(views)
    for fixed, moving in zip(views.fixed, views.moving, strict=True):
        for shift_um in rng.uniform(2, 15, (5, 2)):
            assert not pattern.explains(fixed, moving, tuple(shift_um))
