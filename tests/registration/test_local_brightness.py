"""Dividing by the brightness around: illumination goes, and structures stay."""

import numpy as np
import pytest

from fractal_tasks.registration.local_brightness import Brightness, EvenPatch
from fractal_tasks.registration.patch import ArrayPatch
from tests.registration.scene import SPACING_UM, build_pyramid, draw_cells, photograph
from tests.registration.test_patch import read_all

SHAPE = (600, 800)


@pytest.mark.parametrize("planes", [None, 4])
def test_illumination_vanishes_at_every_level(planes: int | None) -> None:
    spacing_um = SPACING_UM[2]
    even = photograph(1, draw_cells(1, SHAPE, spacing_um), offset=0)
    light = 1 + 3 * (np.arange(SHAPE[1]) / SHAPE[1]) ** 2
    dim = (even * light).astype(np.float32)
    if planes:
        even, dim, spacing_um = np.stack([even] * 4), np.stack([dim] * 4), SPACING_UM[3]
    pyramid = build_pyramid(dim, spacing_um)
    brightness = Brightness.of(pyramid[1])
    for patch, truth in zip(pyramid, build_pyramid(even, spacing_um), strict=True):
        found = read_all(EvenPatch(patch, brightness))
        ratio = np.median(found / truth.array, axis=tuple(range(found.ndim - 1)))
        # It is the median around a place: at the border it has only one side.
        inside = ratio[len(ratio) // 8 : -len(ratio) // 8]
        assert inside.max() / inside.min() < 1.3
        assert light.max() / light.min() > 3
    box = (*[slice(0, n) for n in dim.shape[:-2]], slice(100, 200), slice(300, 450))
    whole = read_all(EvenPatch(pyramid[0], brightness))
    np.testing.assert_allclose(
        EvenPatch(pyramid[0], brightness).read(box), whole[box], rtol=1e-5
    )


@pytest.mark.parametrize("value", [0.0, np.nan], ids=["black", "invalid"])
def test_without_light_nothing_is_divided(value: float) -> None:
    patch = ArrayPatch(np.full((100, 120), value, np.float32), (0.5, 0.5))
    even = EvenPatch(patch, Brightness.of(patch))
    np.testing.assert_array_equal(read_all(even), patch.array)
