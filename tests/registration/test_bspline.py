"""Samples that bent: B-splines by elastix, and what becomes of them without reason."""

import numpy as np
import pytest

from fractal_tasks.model.candidate import EVIDENCE
from fractal_tasks.registration.elastix import Elastix
from fractal_tasks.registration.estimate import Estimate
from fractal_tasks.registration.gain import find_unlike, hold_out_windows
from fractal_tasks.registration.patch import ArrayPatch
from fractal_tasks.transforms import Affine, FloatArray, Translation, Warp
from tests.registration.scene import (
    SHAPE,
    SPACING_UM,
    Image,
    draw_cells,
    photograph,
    warp_of,
)
from tests.registration.test_elastix import SHEAR, draw_changed, errors_px
from tests.registration.test_methods import confidence_of, draw_pair, register

BSPLINE = Elastix(transform="bspline")
BEND_PX = 9.0
SHIFT_PX = (7.0, -11.0)
BORDER_PX = 20
"""Of what lies nearer to the border, one image shows too little."""


def draw_bent(seed: int, per_mm2: float = 8000) -> tuple[Image, Image]:
    """Draw cells, and the same where `warp_of` has them, moved."""
    shape, spacing_um = SHAPE[2], SPACING_UM[2]
    still = draw_cells(seed, shape, spacing_um, per_mm2=per_mm2)
    bent = draw_cells(
        seed, shape, spacing_um, SHIFT_PX, per_mm2=per_mm2, warp_px=BEND_PX
    )
    return photograph(seed, still), photograph(seed + 1, bent, gain=0.7)


def bent_errors_px(estimate: Estimate, shape: tuple[int, ...]) -> FloatArray:
    """Give how far places of the moving image are off, those of the border not."""
    sides = [np.arange(BORDER_PX, n - BORDER_PX, 8.0) for n in shape]
    moving = np.stack(np.meshgrid(*sides, indexing="ij"), -1).reshape(-1, 2)
    # Cells lie `warp_of` their place before it: their place is found step by step.
    place = moving
    for _ in range(50):
        place = moving + warp_of(place, BEND_PX)
    fixed = place + SHIFT_PX
    scale = np.array(SPACING_UM[2])
    points = np.insert(moving * scale, 0, 0.0, axis=1)
    mapped = estimate.best.transform.map_points(points)[:, 1:] / scale
    off: FloatArray = np.hypot(*(mapped - fixed).T)
    return off


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.sampled(2)
def test_what_bent_is_found_everywhere(seed: int) -> None:
    found = register(BSPLINE, *draw_bent(seed))
    assert isinstance(found.best.transform, Warp)
    off = bent_errors_px(found, SHAPE[2])
    assert np.median(off) < 0.3
    assert np.percentile(off, 95) < 1.5
    assert confidence_of(found) > 0.95
    assert found.best.evidence.keys() <= EVIDENCE.keys()
    # Any linear transform leaves pixels off.
    linear = bent_errors_px(
        register(Elastix(transform="affine"), *draw_bent(seed)), SHAPE[2]
    )
    assert np.median(linear) > 3 * np.median(off)


@pytest.mark.e2e
def test_same_images_give_the_same_transform() -> None:
    first, second = (register(BSPLINE, *draw_bent(1)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.sampled(2)
def test_sample_that_only_moved_stays_a_shift(seed: int) -> None:
    found = register(BSPLINE, *draw_pair(2, (6.0, -9.5), seed=seed))
    assert isinstance(found.best.transform, Translation)


def test_sample_that_was_only_sheared_is_not_bent() -> None:
    """Bending it is better than a shift, but not than its own linear part."""
    fixed, moving, truth = draw_changed(SHEAR, (400, 400))
    found = register(BSPLINE, fixed, moving)
    assert isinstance(found.best.transform, Affine)
    assert errors_px(found, truth, moving).max() < 0.4


def test_unrelated_images_are_not_bent_onto_each_other() -> None:
    fixed, _ = draw_pair(2, (0.0, 0.0), seed=1)
    _, moving = draw_pair(2, (0.0, 0.0), seed=2)
    found = register(BSPLINE, fixed, moving)
    assert not isinstance(found.best.transform, Warp)
    assert confidence_of(found) < 0.5


def test_places_that_show_nothing_are_said_to_be_unsure() -> None:
    fixed, moving = draw_bent(1)
    seen = register(BSPLINE, fixed, moving).best.left_px
    half = SHAPE[2][1] // 2
    for image in (fixed, moving):
        image[:, half:] = photograph(5, np.zeros((SHAPE[2][0], image.shape[1] - half)))
    found = register(BSPLINE, fixed, moving).best
    assert seen is not None
    assert seen < 1
    if isinstance(found.transform, Warp):
        assert found.left_px is not None
        assert found.left_px > 2


def test_windows_that_are_held_out_are_a_small_part() -> None:
    for shape in ((1, 320, 384), (1, 2160, 2560), (32, 512, 512), (1, 64, 64)):
        kept = np.zeros(shape, dtype=bool)
        windows = list(hold_out_windows(shape))
        for box in windows:
            assert not kept[box].any()
            kept[box] = True
        assert 1 <= len(windows) <= 108
        assert kept.mean() < 0.15


def test_windows_are_unlike_where_nothing_is_common() -> None:
    fixed, moving, other = (
        photograph(7 + n, draw_cells(seed, SHAPE[2], SPACING_UM[2], per_mm2=15000))
        for n, seed in enumerate((1, 1, 9))
    )
    moving[:, 200:] = other[:, 200:]
    patches = [ArrayPatch(one[None], (1.0, *SPACING_UM[2])) for one in (fixed, moving)]
    boxes = [
        (slice(0, 1), slice(y, y + 64), slice(x, x + 64))
        for y in (0, 128)
        for x in (0, 100, 220, 300)
    ]
    unlike = find_unlike(*patches, boxes, contrast=1)
    assert {box[2].start for box in unlike} == {220, 300}
    assert find_unlike(*patches, boxes, contrast=-1) == boxes
