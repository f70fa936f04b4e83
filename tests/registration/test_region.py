"""What is compared of a ROI: objects with a margin, or what is bright."""

import math

import numpy as np
import pytest

from fractal_tasks.registration.patch import ArrayPatch, MaxProjectionPatch
from fractal_tasks.registration.region import Region, RegionPatch, find_threshold
from tests.registration.scene import SPACING_UM, draw_cells, photograph
from tests.registration.test_patch import read_all

SHAPE = (400, 500)


def test_margin_is_half_a_structure_in_the_plane_only() -> None:
    objects = np.zeros((3, 60, 70), dtype=bool)
    objects[1, 30, 40] = True
    region = Region.around(objects, (2.0, 1.0, 0.5))
    assert not region.mask[[0, 2]].any()
    ys, xs = np.nonzero(region.mask[1])
    assert (ys.min(), ys.max()) == (25, 35)
    assert (xs.min(), xs.max()) == (30, 50)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_region_lies_where_it_does_at_every_level(factor: float) -> None:
    mask = np.zeros((40, 60), dtype=bool)
    mask[10:20, 30:45] = True
    region = Region(mask, (1.0, 1.0))
    n_y, n_x = int(40 / factor), int(60 / factor)
    whole = region.at((slice(0, n_y), slice(0, n_x)), (factor, factor))
    expected = np.zeros((n_y, n_x), dtype=bool)
    sides = [
        slice(round(a / factor), round(b / factor)) for a, b in ((10, 20), (30, 45))
    ]
    expected[tuple(sides)] = True
    assert (whole != expected).mean() < 0.01
    box = (slice(5, n_y // 2), slice(n_x // 4, n_x))
    np.testing.assert_array_equal(region.at(box, (factor, factor)), whole[box])


def test_projection_is_compared_where_any_plane_is() -> None:
    objects = np.zeros((2, 20, 20), dtype=bool)
    objects[0, 5, 5], objects[1, 15, 15] = True, True
    stack = ArrayPatch(np.ones((2, 20, 20), np.float32), (1.0, 10.0, 10.0))
    region = Region(objects, stack.spacing_um)
    found = read_all(RegionPatch(MaxProjectionPatch(stack), region))
    assert np.isfinite(found).sum() == 2
    assert np.isfinite(read_all(RegionPatch(stack, region))).sum() == 2


def test_bright_are_nuclei_and_not_only_debris() -> None:
    cells = draw_cells(1, SHAPE, SPACING_UM[2])
    image = photograph(1, cells)
    image[50:80, 60:100] += 60 * np.ptp(image)
    region = Region.of_bright(ArrayPatch(image, SPACING_UM[2]))
    inside = region.at((slice(0, SHAPE[0]), slice(0, SHAPE[1])), SPACING_UM[2])
    bright = cells > cells.min() + 0.5 * np.ptp(cells)
    assert inside[bright].mean() > 0.95
    assert inside.mean() < 0.9


def test_threshold_parts_two_classes() -> None:
    rng = np.random.default_rng(1)
    image = np.concatenate([rng.normal(10, 2, 9000), rng.normal(100, 10, 1000)])
    assert 20 < find_threshold(image.astype(np.float32)) < 75


@pytest.mark.parametrize("value", [5.0, math.nan])
def test_nothing_is_brighter_where_all_is_equal(value: float) -> None:
    patch = ArrayPatch(np.full((40, 50), value, np.float32), (1.0, 1.0))
    assert not Region.of_bright(patch).mask.any()
