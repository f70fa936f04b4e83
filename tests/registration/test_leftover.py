"""What a translation leaves off where the sample was stretched."""

import numpy as np
import numpy.typing as npt
import pytest

from fractal_tasks.registration.leftover import measure_left_px
from fractal_tasks.registration.patch import ArrayPatch, VolumePatch
from fractal_tasks.registration.phase_cross_correlation import PhaseCrossCorrelation
from tests.registration.scene import SPACING_UM, draw_cells, photograph, warp_of
from tests.registration.test_methods import register
from tests.registration.truth import centre_displacement_px

SHAPE = 512, 512
SPACING = SPACING_UM[2]
SHIFT_PX = 7.3, -11.6


def see(seed: int, **changes: float) -> npt.NDArray[np.float32]:
    return photograph(seed, draw_cells(3, SHAPE, SPACING, SHIFT_PX, **changes))


def volume(image: npt.NDArray[np.float32]) -> VolumePatch:
    return VolumePatch(ArrayPatch(image, SPACING))


@pytest.mark.parametrize("warp_px", [1.5, 3.0, -5.0])
def test_largest_displacement_of_a_warp_is_told(warp_px: float) -> None:
    fixed = photograph(1, draw_cells(3, SHAPE, SPACING))
    estimate = register(PhaseCrossCorrelation(), fixed, see(2, warp_px=warp_px))
    found_px = centre_displacement_px(estimate, SHAPE, SPACING)[1:]
    places_px = np.moveaxis(np.indices(SHAPE) + 0.5, 0, -1)
    off_px = SHIFT_PX + warp_of(places_px, warp_px) - found_px
    expected_px = np.linalg.norm(off_px, axis=-1).max()
    assert estimate.best.left_px == pytest.approx(expected_px, rel=0.25)


@pytest.mark.parametrize("rotation_deg", [1.0, 4.0])
def test_turn_is_told_far_beyond_what_is_searched(rotation_deg: float) -> None:
    fixed = volume(photograph(1, draw_cells(3, SHAPE, SPACING)))
    moving = volume(see(2, rotation_deg=rotation_deg))
    left_px = measure_left_px(fixed, moving, np.array((0.0, *SHIFT_PX)))
    expected_px = 2 * np.sin(np.deg2rad(rotation_deg) / 2) * np.hypot(256, 256)
    assert left_px == pytest.approx(expected_px, rel=0.15)


@pytest.mark.e2e
def test_stack_is_judged_by_its_middle() -> None:
    spacing_um, shape = SPACING_UM[3], (6, 384, 384)
    light = (
        draw_cells(3, shape, spacing_um, moved, scaling=scaling)
        for moved, scaling in (((0, 0, 0), 0.0), ((0, *SHIFT_PX), 0.02))
    )
    fixed, moving = (
        ArrayPatch(photograph(seed, one), spacing_um) for seed, one in enumerate(light)
    )
    left_px = measure_left_px(fixed, moving, np.array((0.0, *SHIFT_PX)))
    assert left_px == pytest.approx(0.02 * np.hypot(192, 192), rel=0.2)


def test_noise_and_other_images_tell_nothing() -> None:
    fixed = volume(photograph(1, draw_cells(3, SHAPE, SPACING)))
    other = volume(photograph(2, draw_cells(4, SHAPE, SPACING)))
    noise = volume(photograph(3, np.zeros(SHAPE, np.float32)))
    for moving in (other, noise):
        assert measure_left_px(fixed, moving, np.zeros(3)) is None


def test_roi_of_few_windows_tells_nothing() -> None:
    small = volume(see(2)[:200, :200])
    assert measure_left_px(small, small, np.zeros(3)) is None
