"""Dirt that is in one acquisition only, and brighter than all cells, decides nothing.

Truth is the closed form of the drawn cells. A pixel is what consensus and apply need;
the cells without dirt are measured to 0.15 pixels (test_methods).
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pytest

from fractal_tasks.registration.base import RegistrationMethod
from fractal_tasks.registration.brightness import limit_to_common, saturate
from fractal_tasks.registration.chi2_shift import Chi2Shift
from fractal_tasks.registration.estimate import Estimate
from fractal_tasks.registration.phase_cross_correlation import PhaseCrossCorrelation
from fractal_tasks.registration.prepare import band_pass
from tests.registration.scene import SPACING_UM, Image, draw_cells, photograph
from tests.registration.test_methods import (
    assert_rejected,
    confidence_of,
    each_method,
    register,
)
from tests.registration.truth import target_errors_px

SHAPE = 256, 288
SHIFT_PX = 9.3, -21.6
METHOD = PhaseCrossCorrelation()
BRIGHTEST = 50.0
"""In units of a cell, which is about 1 high."""

Draw = Callable[[np.random.Generator], Image]
"""One object, at most 1 high."""


def draw_ball(rng: np.random.Generator) -> Image:
    """Draw a sharp disc."""
    return (distance_from(draw_place(rng)) < rng.uniform(4, 11)).astype(np.float32)


def draw_fibre(rng: np.random.Generator) -> Image:
    """Draw a straight piece, 3 to 5 pixels wide."""
    y, x = draw_place(rng)
    angle, half_length = rng.uniform(0, np.pi), rng.uniform(20, 45)
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    along = (rows - y) * np.sin(angle) + (columns - x) * np.cos(angle)
    across = (rows - y) * np.cos(angle) - (columns - x) * np.sin(angle)
    inside = (np.abs(along) < half_length) & (np.abs(across) < rng.uniform(1.5, 2.5))
    return inside.astype(np.float32)


def draw_clump(rng: np.random.Generator) -> Image:
    """Draw a heap of small grains."""
    middle = draw_place(rng)
    grains = [
        np.exp(-0.5 * (distance_from(middle + rng.normal(0, 8, 2)) / 2.5) ** 2)
        for _ in range(6)
    ]
    return np.max(grains, axis=0).astype(np.float32)


each_kind = pytest.mark.parametrize(
    "draw",
    [draw_ball, draw_fibre, draw_clump],
    ids=lambda draw: draw.__name__[5:],
)


def draw_place(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    return rng.uniform((0, 0), SHAPE)


def distance_from(place: npt.NDArray[np.float64]) -> Image:
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    distance: Image = np.hypot(rows - place[0], columns - place[1])
    return distance.astype(np.float32)


def draw_debris(seed: int, draw: Draw, count: int) -> Image:
    """Draw objects of 3 times the brightness of a cell, or up to `BRIGHTEST`."""
    rng = np.random.default_rng(seed)
    light = np.zeros(SHAPE, np.float32)
    for _ in range(count):
        light += np.exp(rng.uniform(np.log(3), np.log(BRIGHTEST))) * draw(rng)
    return light


@lru_cache
def draw_sample(seed: int) -> tuple[Image, Image]:
    """Draw the light of cells, and of the same cells shifted."""
    spacing_um = SPACING_UM[2]
    fixed = draw_cells(seed, SHAPE, spacing_um)
    return fixed, draw_cells(seed, SHAPE, spacing_um, SHIFT_PX)


def draw_dirty_pair(seed: int, draw: Draw, count: int = 10) -> tuple[Image, Image]:
    """Photograph cells, with other debris in either image."""
    fixed, moving = draw_sample(seed)
    return (
        photograph(seed, fixed + draw_debris(100 + seed, draw, count)),
        photograph(seed + 50, moving + draw_debris(200 + seed, draw, count)),
    )


def assert_right(estimate: Estimate, limit_px: float = 1) -> None:
    errors = target_errors_px(estimate, SHIFT_PX, SHAPE, SPACING_UM[2])
    assert np.abs(errors).max() < limit_px, confidence_of(estimate)


def draw_cloud(rng: np.random.Generator) -> Image:
    """Draw a blurred spot as large as a cell."""
    distance = distance_from(draw_place(rng)) / rng.uniform(8, 14)
    return np.exp(-0.5 * distance**2).astype(np.float32)


@each_method
@pytest.mark.parametrize("seed", range(2))
def test_blurred_debris_in_one_image_does_not_decide(
    method: RegistrationMethod, seed: int
) -> None:
    fixed, moving = draw_sample(seed)
    moving = moving + draw_debris(200 + seed, draw_cloud, 10)
    estimate = register(method, photograph(seed, fixed), photograph(seed + 50, moving))
    assert_right(estimate, limit_px=2)


@each_method
@each_kind
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.sampled(4)
def test_debris_in_both_images_does_not_decide(
    method: RegistrationMethod, draw: Draw, seed: int
) -> None:
    fixed, moving = draw_dirty_pair(seed, draw)
    assert_right(register(method, fixed, moving))


@each_kind
def test_different_fields_full_of_debris_are_rejected(draw: Draw) -> None:
    for method in (METHOD, Chi2Shift()):
        fixed, _ = draw_dirty_pair(0, draw)
        _, moving = draw_dirty_pair(1, draw)
        assert_rejected(register(method, fixed, moving))


def test_what_stands_out_counts_by_how_much_hardly_does() -> None:
    """The closed form c / (1 + |c| / s), s ten times the difference of neighbours."""
    image = 7 + np.tile(np.float32([-1, 0, 1, 0]), (64, 16))
    image[30, 10:14] = 7 + np.float32([-10, 10, 1000, 1e9])
    found = saturate(image)[30, 10:14]
    np.testing.assert_allclose(found, [-5, 5, 1000 / 101, 10], rtol=1e-5)


def test_brightness_is_limited_to_what_both_images_show() -> None:
    """Squares of 100 counts in both images, and one of 5000 in either."""
    rng = np.random.default_rng(0)
    fixed, moving = rng.normal(200, 1, (2, 1, 64, 64)).astype(np.float32)
    for y, x in [(10, 8), (20, 40), (35, 15), (45, 45), (50, 25)]:
        fixed[:, y : y + 5, x : x + 5] += 100
        moving[:, y : y + 5, x : x + 5] += 100
    fixed[:, 30:37, 30:37] += 5000
    moving[:, 5:12, 22:29] += 5000
    details = band_pass(saturate(fixed)), band_pass(saturate(moving))
    for _, highest in limit_to_common((fixed, moving), details, 1.0):
        assert 300 < highest < 400


def test_images_without_detail_are_not_limited() -> None:
    flat = np.full((1, 32, 32), 7, np.float32)
    nothing = np.zeros_like(flat)
    for limits in limit_to_common((flat, flat), (nothing, nothing), 1.0):
        assert limits == (-np.inf, np.inf)
