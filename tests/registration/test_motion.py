"""Rotation and scaling: of whole images, and of spectra that are shifted exactly."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from scipy import fft

from fractal_tasks.registration.likelihood import maximise_likelihood
from fractal_tasks.registration.motion import Motion, search_motion
from fractal_tasks.registration.phase_cross_correlation import PhaseCrossCorrelation
from fractal_tasks.registration.spectra import (
    CrossSpectra,
    correlate_windows,
    sum_rings,
)
from fractal_tasks.transforms import Affine, Translation, plane_matrix
from tests.registration.scene import SPACING_UM, draw_cells, photograph
from tests.registration.test_methods import confidence_of, register
from tests.registration.truth import centre_displacement_px, roi_points_um

SIZE = 256, 256
GRID_PX = (-192.0, 0.0, 192.0)
CENTRES_PX = np.array([(y, x) for y in GRID_PX for x in GRID_PX])


@pytest.mark.parametrize(
    ("rotation_deg", "scaling", "shift"),
    [
        (0.3, 0.0, (7.3, -11.6)),
        (1.0, 0.0, (7.3, -11.6)),
        (0.0, 0.005, (-30.4, 52.1)),
        (-1.0, -0.005, (60.2, -81.3)),
    ],
    ids=["0.3 degrees", "1 degree", "0.5 %", "both and far"],
)
@pytest.mark.parametrize("seed", [3, 4])
@pytest.mark.sampled(4)
def test_the_translation_is_that_of_the_centre(
    rotation_deg: float, scaling: float, shift: tuple[float, float], seed: int
) -> None:
    spacing_um, shape = SPACING_UM[2], (512, 512)
    fixed = photograph(1, draw_cells(seed, shape, spacing_um))
    moved = draw_cells(
        seed, shape, spacing_um, shift, rotation_deg=rotation_deg, scaling=scaling
    )
    estimate = register(PhaseCrossCorrelation(), fixed, photograph(2, moved))
    found = centre_displacement_px(estimate, shape, spacing_um)
    assert found[1:] == pytest.approx(shift, abs=0.1)
    assert confidence_of(estimate) >= 0.9


@pytest.mark.parametrize(
    ("rotation_deg", "scaling"),
    [(0.1, 0.0), (-0.5, 0.0), (2.0, 0.0), (0.0, 0.002), (0.0, -0.015), (1.0, 0.01)],
    ids=str,
)
@pytest.mark.sampled(3)
def test_what_the_translation_leaves_off_is_told(
    rotation_deg: float, scaling: float
) -> None:
    """A point at the distance d from the centre moves by d |scale exp(i angle) - 1|."""
    spacing_um, shape, shift = SPACING_UM[2], (512, 512), (7.3, -11.6)
    fixed = photograph(1, draw_cells(3, shape, spacing_um))
    turned = draw_cells(
        3, shape, spacing_um, shift, rotation_deg=rotation_deg, scaling=scaling
    )
    estimate = register(PhaseCrossCorrelation(), fixed, photograph(2, turned))
    off = abs((1 + scaling) * np.exp(1j * np.deg2rad(rotation_deg)) - 1)
    expected_px = off * np.hypot(256, 256)
    assert estimate.best.left_px == pytest.approx(expected_px, rel=0.2)


@pytest.mark.parametrize(
    ("motion", "scaling"), [("rigid", 0.0), ("similarity", 0.006)], ids=str
)
def test_turn_is_undone_everywhere_in_the_roi(motion: str, scaling: float) -> None:
    spacing_um, shape, shift, degrees = SPACING_UM[2], (512, 512), (7.3, -11.6), -0.8
    fixed = photograph(1, draw_cells(3, shape, spacing_um))
    moved = draw_cells(
        3, shape, spacing_um, shift, rotation_deg=degrees, scaling=scaling
    )
    method = PhaseCrossCorrelation(motion=motion)
    best = register(method, fixed, photograph(2, moved)).best
    assert isinstance(best.transform, Affine)
    assert best.transform.is_rigid == (motion == "rigid")
    points = roi_points_um(shape, spacing_um)
    centre = points.mean(axis=0)
    matrix = plane_matrix(turn_rad=np.deg2rad(degrees), scale=1 + scaling)
    moves_um = np.multiply((0.0, *shift), (1.0, *spacing_um))
    expected = centre + moves_um + (points - centre) @ matrix.T
    apart = (best.transform.map_points(points) - expected)[:, 1:] / spacing_um
    assert np.hypot(*apart.T).max() < 0.3
    assert best.left_px == pytest.approx(0, abs=0.3)


@pytest.mark.parametrize("motion", ["rigid", "similarity"])
def test_shift_of_an_image_that_did_not_turn_is_a_translation(motion: str) -> None:
    spacing_um, shape = SPACING_UM[2], (512, 512)
    fixed = photograph(1, draw_cells(3, shape, spacing_um))
    moving = photograph(2, draw_cells(3, shape, spacing_um, (7.3, -11.6)))
    best = register(PhaseCrossCorrelation(motion=motion), fixed, moving).best
    assert best == register(PhaseCrossCorrelation(), fixed, moving).best
    assert isinstance(best.transform, Translation)


def test_shifted_image_is_not_said_to_have_turned() -> None:
    spacing_um, shape = SPACING_UM[2], (512, 512)
    fixed = photograph(1, draw_cells(3, shape, spacing_um))
    moving = photograph(2, draw_cells(3, shape, spacing_um, (7.3, -11.6)))
    best = register(PhaseCrossCorrelation(), fixed, moving).best
    assert best.left_px == 0


def spectra_shifted_by(
    moves_px: npt.ArrayLike, noise: float = 0.2
) -> list[CrossSpectra]:
    """Give windows of blurred noise, shifted by phase ramps, with noise of their own.

    `noise` is relative to the image at frequency 0, whose blur has 1.5 px.
    """
    rng = np.random.default_rng(0)
    y, x = fft.fftfreq(SIZE[0])[:, None], fft.rfftfreq(SIZE[1])
    blur = np.exp(-2 * (np.pi * 1.5) ** 2 * (y**2 + x**2))
    windows = []
    for move in np.asarray(moves_px, dtype=float):
        image, *noises = (fft.rfft2(rng.normal(size=SIZE)) for _ in range(3))
        ramp = np.exp(2j * np.pi * (y * move[0] + x * move[1]))
        fixed = image * blur + noise * noises[0]
        moving = image * blur * ramp + noise * noises[1]
        cross = (fixed * moving.conj())[None].astype(np.complex64)
        powers = [
            sum_rings((np.abs(side) ** 2)[None].astype(np.float32), SIZE)
            for side in (fixed, moving)
        ]
        planes = np.array([1])
        windows.append(
            CrossSpectra(cross, np.abs(cross), powers[0], powers[1], planes, SIZE)
        )
    return windows


def moves_of(motion: Motion) -> npt.NDArray[np.float64]:
    """Give ``t + L p`` for each window, written out."""
    t_y, t_x = motion.shift_px
    r, s = motion.rotation, motion.scaling
    return np.array([(t_y + s * y - r * x, t_x + r * y + s * x) for y, x in CENTRES_PX])


@pytest.mark.parametrize(
    "motion",
    [
        Motion((5.0, -8.0), np.deg2rad(1.3), 0.0),
        Motion((0.0, 3.0), 0.0, -0.011),
        Motion((-6.0, 1.0), np.deg2rad(-1.0), 0.008),
    ],
    ids=["rotation", "scaling", "both"],
)
def test_the_search_comes_near_and_the_likelihood_is_exact(motion: Motion) -> None:
    windows = spectra_shifted_by(moves_of(motion))
    found = search_motion(windows, CENTRES_PX, (0, 0), 10)
    # A step of the search moves the outermost window by 2 px.
    step = 2 / 192
    assert found.rotation == pytest.approx(motion.rotation, abs=step)
    assert found.scaling == pytest.approx(motion.scaling, abs=step)
    assert found.shift_px == pytest.approx(motion.shift_px, abs=2)
    fit = maximise_likelihood(windows, CENTRES_PX, found)
    assert fit.motion.shift_px == pytest.approx(motion.shift_px, abs=0.02)
    assert fit.motion.rotation == pytest.approx(motion.rotation, abs=1e-4)
    assert fit.motion.scaling == pytest.approx(motion.scaling, abs=1e-4)
    assert fit.error_px < 0.1


def test_a_mere_shift_stays_one() -> None:
    shift = Motion((4.0, -3.0))
    found = search_motion(spectra_shifted_by(moves_of(shift)), CENTRES_PX, (4, -3), 10)
    assert found == shift


def test_a_rotation_of_the_search_that_proves_false_is_given_up() -> None:
    shift = Motion((4.0, -3.0))
    windows = spectra_shifted_by(moves_of(shift))
    fit = maximise_likelihood(windows, CENTRES_PX, Motion((4.5, -2.5), 0.002, -0.001))
    assert fit.motion.shift_px == pytest.approx(shift.shift_px, abs=0.02)
    assert fit.motion.rotation == pytest.approx(0, abs=2e-5)
    assert fit.motion.scaling == pytest.approx(0, abs=2e-5)


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_windows_tell_nothing_about_rotation(count: int) -> None:
    turned = Motion((0.0, 0.0), np.deg2rad(1.5))
    windows = spectra_shifted_by(moves_of(turned)[:count])
    found = search_motion(windows, CENTRES_PX[:count], (0, 0), 10)
    assert found == Motion((0.0, 0.0))


def test_noise_has_no_motion_and_a_large_error() -> None:
    noise = spectra_shifted_by(np.zeros((9, 2)), noise=1e3)
    found = search_motion(noise, CENTRES_PX, (2, 1), 10)
    assert found == Motion((2.0, 1.0))
    fit = maximise_likelihood(noise, CENTRES_PX, found)
    assert fit.error_px > 10
    assert np.isfinite(fit.motion.shift_px).all()


def test_another_top_as_high_is_as_likely() -> None:
    """One image shows everything twice, at 3 px to either side of the other.

    Half of what is likely is then 6 px from the top, its square shared by y and x.
    """
    one = spectra_shifted_by([(0, 0)], noise=0)[0]
    twice = np.cos(2 * np.pi * 3 * np.fft.fftfreq(SIZE[0]))[:, None]
    cross = (one.cross * twice).astype(np.complex64)
    # Noise is power of each image, of which none is common: it widens both tops.
    noisy = replace(one, fixed_power=9 * one.fixed_power, power=9 * np.abs(cross))
    windows = [replace(noisy, cross=cross)]
    fit = maximise_likelihood(windows, np.zeros((1, 2)), Motion((3.2, -0.3)))
    assert fit.motion.shift_px == pytest.approx((3.0, 0.0), abs=0.5)
    assert fit.error_px == pytest.approx(np.sqrt(6**2 / 2 / 2), rel=0.2)


@pytest.mark.parametrize("photons", [0.02, 0.1], ids=["weak", "bright"])
def test_the_standard_error_has_the_size_of_the_spread(photons: float) -> None:
    """Noise is all there is here, so the spread must not exceed the error.

    A single window shows no scatter, so the error allows for twice what noise does:
    within a factor 2 of that.
    """
    spacing_um, shape, shift = SPACING_UM[2], (160, 160), (2.3, -1.6)
    light = [
        photons * draw_cells(5, shape, spacing_um, shift_px)
        for shift_px in ((0.0, 0.0), shift)
    ]
    found, errors = [], []
    for seed in range(40):
        fixed, moving = (
            photograph(2 * seed + index, one)[None] for index, one in enumerate(light)
        )
        windows = [correlate_windows(fixed, moving, np.array([0]))]
        fit = maximise_likelihood(windows, np.zeros((1, 2)), Motion((2.0, -2.0)))
        found.append(fit.motion.shift_px)
        errors.append(fit.error_px)
    spread = np.std(found, axis=0, ddof=1).max()
    assert 2 / 2 < np.mean(errors) / spread < 2 * 2


@pytest.mark.parametrize("scatter_px", [0.1, 0.4])
def test_the_standard_error_follows_the_scatter_of_the_windows(
    scatter_px: float,
) -> None:
    """Noise is next to nothing here, but each window is shifted by itself.

    The mean of n windows has the standard error of their scatter over sqrt(n). Before
    windows count, 4 of the 4 + 2 n - 2 numbers say that there is only noise.
    """
    scatter_px = np.random.default_rng(1).normal(0, scatter_px, (9, 2))
    shift = Motion((4.0, -3.0))
    windows = spectra_shifted_by(moves_of(shift) + scatter_px, noise=0.02)
    fit = maximise_likelihood(windows, CENTRES_PX, shift)
    off_px = np.subtract(fit.motion.shift_px, shift.shift_px)
    np.testing.assert_allclose(off_px, scatter_px.mean(axis=0), atol=0.02)
    squares = (scatter_px - scatter_px.mean(axis=0)) ** 2
    expected = np.sqrt(squares.sum() / (4 + 2 * 9 - 2) / 9)
    assert fit.error_px == pytest.approx(expected, rel=0.2)


def test_part_of_a_turn_that_is_found_first_is_completed() -> None:
    first, second = Motion((9.0, 9.0), 0.02, 0.01), Motion((1.0, -2.0), -0.005, 0.003)
    points = np.array([(3.0, 4.0), (-100.0, 30.0)])
    moved = points + points @ first.linear.T
    moved = moved + moved @ second.linear.T
    both = second.after(first)
    np.testing.assert_allclose(points + points @ both.linear.T, moved)
    assert both.shift_px == second.shift_px


def test_corners_of_what_turned_are_less_exact_than_the_centre() -> None:
    spacing_um, shape = SPACING_UM[2], (512, 512)
    fixed = photograph(1, draw_cells(3, shape, spacing_um))
    turned = draw_cells(3, shape, spacing_um, (7.3, -11.6), rotation_deg=1.0)
    moving = photograph(2, turned)
    shift, turn = (
        register(PhaseCrossCorrelation(motion=motion), fixed, moving).best
        for motion in ("shift", "rigid")
    )
    assert isinstance(turn.transform, Affine)
    assert shift.error_um is not None
    assert turn.error_um is not None
    half_um = np.hypot(*np.multiply(shape, spacing_um)) / 2
    apart_um = np.deg2rad(turn.evidence["turn_error_deg"]) * half_um
    assert turn.error_um == pytest.approx(np.hypot(shift.error_um, apart_um), rel=0.3)
    assert turn.error_um > shift.error_um
