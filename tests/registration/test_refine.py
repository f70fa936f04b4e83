"""Where z peaks between planes, and how exact that is."""

import numpy as np
import pytest

from fractal_tasks.registration.estimate import Estimate
from fractal_tasks.registration.phase_cross_correlation import PhaseCrossCorrelation
from fractal_tasks.registration.refine import find_depth
from tests.registration.scene import SPACING_UM, draw_cells, photograph
from tests.registration.test_methods import register
from tests.registration.truth import centre_displacement_px


def parabolas(vertices: list[float], bend: float) -> np.ndarray:
    """Give the values of a parabola at -1, 0 and 1 for each vertex."""
    planes = np.array([-1.0, 0.0, 1.0])
    return np.array([1 - bend / 2 * (planes - vertex) ** 2 for vertex in vertices])


@pytest.mark.parametrize("bend", [0.001, 0.5])
@pytest.mark.parametrize("planes", [2, 20])
def test_depth_is_the_mean_of_equal_windows_and_has_its_error(
    bend: float, planes: int
) -> None:
    vertices = [0.1, 0.3, 0.2, 0.4]
    depth = find_depth(parabolas(vertices, bend), planes)
    assert depth.planes == pytest.approx(np.mean(vertices))
    # With that of the parabola, and of half of a plane among all that meet.
    of_mean = np.std(vertices, ddof=1) / np.sqrt(4)
    expected = np.sqrt(of_mean**2 + 0.05**2 + (0.5 / planes) ** 2)
    assert depth.error == pytest.approx(expected)


@pytest.mark.parametrize("vertices", [[0.2], [0.7, 0.9]], ids=["one", "at the end"])
def test_depth_of_which_windows_say_nothing_is_any_in_half_of_the_stack(
    vertices: list[float],
) -> None:
    depth = find_depth(parabolas(vertices, 0.1), 3)
    assert depth.planes == pytest.approx(min(np.mean(vertices), 0.5))
    # Half of 6 planes meet at shifts of -3 to 3: the mean square of these is 3.
    assert depth.error_among(6) == pytest.approx(np.sqrt(3))


def test_scattered_windows_know_depth_no_better_than_none() -> None:
    depth = find_depth(parabolas([-30.0, 30.0], 0.1), 3)
    assert depth.error_among(6) == pytest.approx(np.sqrt(3))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_planes_that_look_alike_are_not_moved_by_noise(seed: int) -> None:
    """Single planes at the ends of a stack were more alike than all, by chance."""
    light = np.stack([draw_cells(3, (192, 224), SPACING_UM[2])] * 2)
    fixed, moving = photograph(seed, light), photograph(seed + 10, light)
    best = register(PhaseCrossCorrelation(), fixed, moving).best
    z_px, *_ = centre_displacement_px(Estimate((best,)), light.shape, SPACING_UM[3])
    assert abs(z_px) <= 0.5
    # Shifts of -1 to 1 leave half of the planes.
    assert best.error_z_um == pytest.approx(np.sqrt(1 / 3) * SPACING_UM[3][0])


@pytest.mark.parametrize(
    ("planes", "depth_um", "z_planes"),
    [
        (2, 1.0, 0.4),
        (2, 1.0, -1.0),
        (3, 1.0, 0.9),
        (3, 1.0, -0.9),
        (5, 1.0, -1.6),
        (6, 5.0, 0.4),
    ],
    ids=str,
)
@pytest.mark.sampled(3)
def test_thin_and_coarse_stacks_are_right_within_half_a_plane(
    planes: int, depth_um: float, z_planes: float
) -> None:
    spacing_um, shape = (depth_um, *SPACING_UM[2]), (planes, 192, 224)
    truth_px = (z_planes, 7.4, -3.2)
    fixed = photograph(1, draw_cells(3, shape, spacing_um))
    moving = photograph(2, draw_cells(3, shape, spacing_um, truth_px))
    estimate = register(PhaseCrossCorrelation(), fixed, moving, spacing_um=spacing_um)
    z_px, *_ = centre_displacement_px(estimate, shape, spacing_um)
    assert z_px == pytest.approx(z_planes, abs=0.5)
    error_um = estimate.best.error_z_um
    assert error_um is not None
    assert 0 < error_um <= planes / np.sqrt(12) * depth_um


def test_plane_has_no_standard_error_in_z() -> None:
    fixed = photograph(1, draw_cells(3, (192, 224), SPACING_UM[2]))
    assert register(PhaseCrossCorrelation(), fixed, fixed).best.error_z_um is None
