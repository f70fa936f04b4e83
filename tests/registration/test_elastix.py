"""Transforms by elastix, where the truth is no shift."""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from fractal_tasks.model import Candidate
from fractal_tasks.registration.elastix import Elastix
from fractal_tasks.registration.estimate import Estimate
from fractal_tasks.registration.gain import is_clear_gain, spread_windows
from fractal_tasks.registration.patch import ArrayPatch
from fractal_tasks.registration.phase_cross_correlation import PhaseCrossCorrelation
from fractal_tasks.transforms import Affine, Translation, plane_matrix
from tests.registration.scene import (
    SPACING_UM,
    Image,
    build_pyramid,
    draw_cells,
    photograph,
)
from tests.registration.test_methods import confidence_of, draw_pair, register
from tests.registration.truth import as_volume, roi_points_um

SHEAR = np.array([[1.0, 0, 0], [0, 1.0, 0.01], [0, 0, 1.0]])
ASPECT = np.diag([1.0, 1.012, 0.995])
TILT = np.array([[1.0, 0.05, 0], [-0.05, 1.0, 0], [0, 0, 1.0]])
SHIFT_UM = (0.0, 4.0, -2.5)


def draw_changed(
    matrix: np.ndarray,
    shape: tuple[int, ...],
    shift_um: Sequence[float] = SHIFT_UM,
    seed: int = 1,
) -> tuple[Image, Image, Affine]:
    """Draw a sample and what became of it; the transform leads back, about the middle.

    The changed image is interpolated from one without noise.
    """
    spacing_um = np.array(SPACING_UM[len(shape)])
    margin = np.array((8, 40, 40))[-len(shape) :]
    world = draw_cells(seed, np.add(shape, 2 * margin), spacing_um, per_mm2=6000)
    pixels, spacing = as_volume(shape, tuple(spacing_um))
    truth = Affine.about(np.multiply(pixels, spacing) / 2, matrix, tuple(shift_um))
    linear = matrix[-len(shape) :, -len(shape) :] * spacing_um / spacing_um[:, None]
    # Of pixel indices, counted in the world: centres lie half a pixel inside.
    first = truth.map_points([spacing / 2])[0][-len(shape) :] / spacing_um - 0.5
    changed = ndimage.affine_transform(
        world, linear, offset=first + margin, output_shape=shape, order=3
    )
    inside = tuple(slice(m, m + n) for m, n in zip(margin, shape, strict=True))
    moving = np.maximum(changed, 0).astype(np.float32)
    return photograph(seed, world[inside]), photograph(seed + 1, moving), truth


def errors_px(estimate: Estimate, truth: Affine, moving: Image) -> np.ndarray:
    """Give how far points all over the ROI are off (z in planes, y, x)."""
    points = roi_points_um(moving.shape, SPACING_UM[moving.ndim])
    off = estimate.best.transform.map_points(points) - truth.map_points(points)
    return np.abs(off) / (1.0, *SPACING_UM[moving.ndim])[-3:]


@pytest.mark.parametrize("matrix", [SHEAR, ASPECT], ids=["sheared", "stretched"])
@pytest.mark.parametrize("transform", ["affine", "auto"])
@pytest.mark.parametrize("start_level", [0, 2])
@pytest.mark.sampled(3)
def test_what_no_turn_explains_is_found(
    transform: str, matrix: np.ndarray, start_level: int
) -> None:
    fixed, moving, truth = draw_changed(matrix, (400, 400))
    found = register(
        Elastix(transform=transform), fixed, moving, start_level=start_level
    )
    similar = register(PhaseCrossCorrelation(motion="similarity"), fixed, moving)
    assert errors_px(similar, truth, moving).max() > 1
    errors = errors_px(found, truth, moving)
    assert errors.max() < 0.4
    assert confidence_of(found) > 0.9
    assert found.best.error_um is not None
    assert errors.max() < 3 * found.best.error_um / SPACING_UM[2][0]


@pytest.mark.parametrize("side", [128, 192])
def test_small_fields_have_windows_enough_to_tell(side: int) -> None:
    fixed, moving, truth = draw_changed(
        plane_matrix(turn_rad=np.deg2rad(3)), (side, side), seed=3
    )
    found = register(Elastix(transform="affine"), fixed, moving, start_level=1)
    assert errors_px(found, truth, moving).max() < 1


def test_what_is_refused_is_told_where_nothing_else_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "fractal_tasks.registration.elastix_method._is_better", lambda *_: False
    )
    monkeypatch.setattr(
        "fractal_tasks.registration.leftover.measure_left_px", lambda *_: None
    )
    fixed, moving, truth = draw_changed(ASPECT, (400, 400))
    found = register(Elastix(transform="affine"), fixed, moving)
    assert isinstance(found.best.transform, Translation)
    assert found.best.left_px is not None
    left = np.linalg.norm(errors_px(found, truth, moving)[:, 1:], axis=1).max()
    assert found.best.left_px == pytest.approx(left, abs=0.5)


def test_turn_beyond_the_search_of_correlation_is_found_as_rigid() -> None:
    turn = plane_matrix(turn_rad=np.deg2rad(5))
    fixed, moving, truth = draw_changed(turn, (400, 400))
    found = register(Elastix(), fixed, moving)
    assert errors_px(found, truth, moving).max() < 0.4
    assert isinstance(found.best.transform, Affine)
    assert found.best.transform.is_rigid


@pytest.mark.parametrize(
    "transform", ["rigid", pytest.param("affine", marks=pytest.mark.e2e)]
)
@pytest.mark.e2e
def test_tilted_stack_is_found(transform: str) -> None:
    fixed, moving, truth = draw_changed(TILT, (16, 160, 160), (0.5, 3.0, -2.0))
    found = register(Elastix(transform=transform), fixed, moving)
    assert np.median(errors_px(found, truth, moving), axis=0).max() < 0.2
    shift = register(Elastix(transform="translation"), fixed, moving)
    assert errors_px(shift, truth, moving)[:, 0].max() > 1


@pytest.mark.parametrize(
    "transform", ["auto", "translation", "rigid", "similarity", "affine"]
)
@pytest.mark.sampled(2)
def test_sample_that_only_moved_stays_a_shift(transform: str) -> None:
    fixed, moving = draw_pair(2, (12.3, -7.6))
    found = register(Elastix(transform=transform), fixed, moving)
    assert isinstance(found.best.transform, Translation)


@pytest.mark.parametrize("metric", ["correlation", "mutual_information"])
def test_inverted_stain_is_no_obstacle(metric: str) -> None:
    fixed, moving, truth = draw_changed(SHEAR, (400, 400))
    method = Elastix(transform="affine", metric=metric)
    found = register(method, fixed, 2000 - moving)
    assert errors_px(found, truth, moving).max() < 0.5
    assert found.best.evidence["similarity_after"] < 0


def test_invalid_pixels_and_debris_in_one_image_do_not_decide() -> None:
    fixed, moving, truth = draw_changed(SHEAR, (400, 400))
    fixed[:, :60] = np.nan
    moving[300:340, 200:260] = 60_000
    found = register(Elastix(transform="affine"), fixed, moving)
    assert errors_px(found, truth, moving).max() < 0.6


def test_same_images_give_the_same_transform() -> None:
    fixed, moving, _ = draw_changed(SHEAR, (400, 400))
    first, second = (
        register(Elastix(transform="affine"), fixed, moving).best for _ in range(2)
    )
    assert first == second
    other = register(Elastix(transform="affine", random_seed=2), fixed, moving).best
    assert other.transform != first.transform


def test_images_too_small_for_elastix_keep_what_correlation_finds() -> None:
    """8 x 8 pixels at the level that is read are too few for a pyramid."""
    fixed, moving = draw_pair(2, (1.0, 2.0))
    small = fixed[:32, :32], moving[:32, :32]
    found = register(Elastix(transform="affine"), *small, start_level=2)
    shift = PhaseCrossCorrelation(motion="similarity")
    assert found == register(shift, *small, start_level=2)


def test_unrelated_images_are_not_believed() -> None:
    fixed, _ = draw_pair(2, (0.0, 0.0), seed=1)
    _, moving = draw_pair(2, (0.0, 0.0), seed=40)
    for transform in ("auto", "affine"):
        found = register(Elastix(transform=transform), fixed, moving)
        assert confidence_of(found) < 0.5


def test_gain_is_clear_for_the_right_transform_and_for_no_other() -> None:
    fixed, moving, truth = draw_changed(SHEAR, (400, 400))
    images = [
        build_pyramid(one[None], (1.0, *SPACING_UM[2]), levels=1)[0]
        for one in (fixed, moving)
    ]
    shift = Affine.of(np.eye(3), SHIFT_UM)
    windows = list(spread_windows(images[0].shape))
    assert is_clear_gain(*images, shift, truth, windows, contrast=1)
    assert not is_clear_gain(*images, truth, shift, windows, contrast=1)
    assert not is_clear_gain(*images, truth, truth, windows, contrast=1)
    assert not is_clear_gain(*images, shift, truth, windows, contrast=-1)
    blank = ArrayPatch(np.zeros((1, 400, 400), np.float32), (1.0, *SPACING_UM[2]))
    assert not is_clear_gain(images[0], blank, shift, truth, windows, contrast=1)


def test_gain_needs_windows_that_both_see() -> None:
    fixed, moving, truth = draw_changed(SHEAR, (400, 400))
    moving[:, 25:] = np.nan
    images = [ArrayPatch(one[None], (1.0, *SPACING_UM[2])) for one in (fixed, moving)]
    shift = Affine.of(np.eye(3), SHIFT_UM)
    windows = spread_windows(images[0].shape)
    assert not is_clear_gain(*images, shift, truth, windows, contrast=1)


def test_types_of_elastix_outlive_the_modules_that_share_them() -> None:
    # If not, the process may end by a segmentation fault, with all work done.
    shape = (64, 64)
    fixed, moving, _ = draw_changed(np.eye(3), shape)
    register(Elastix(transform="translation"), fixed, moving)
    (shared,) = (
        module
        for name, module in sys.modules.items()
        if name.startswith("swig_runtime_data")
    )
    capsule = shared.type_pointer_capsule
    # Those of the module, of this name, and of the call.
    assert sys.getrefcount(capsule) > 3


def test_others_have_what_the_best_one_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    correlate = PhaseCrossCorrelation.estimate
    other = Candidate(Translation((0.0, 30.0, -40.0)), 0.89, 0.5, {})

    def with_another(self: PhaseCrossCorrelation, *pair: Any, start_level: int) -> Any:
        found = correlate(self, *pair, start_level=start_level)
        return Estimate((found.best, other))

    monkeypatch.setattr(PhaseCrossCorrelation, "estimate", with_another)
    fixed, moving, _ = draw_changed(SHEAR, (400, 400))
    best, second = register(Elastix(transform="affine"), fixed, moving).candidates
    assert isinstance(best.transform, Affine)
    assert best.confidence is not None
    assert second.transform is other.transform
    assert second.confidence == pytest.approx(1 - best.confidence)


def test_what_is_not_credible_raises_no_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "fractal_tasks.registration.elastix_method._is_credible", lambda *_: False
    )
    monkeypatch.setattr(
        "fractal_tasks.registration.leftover.measure_left_px", lambda *_: None
    )
    fixed, moving, _ = draw_changed(ASPECT, (400, 400))
    found = register(Elastix(transform="affine"), fixed, moving)
    assert isinstance(found.best.transform, Translation)
    assert found.best.left_px is None
