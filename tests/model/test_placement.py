"""Common regions, checked against marked pixels that are really moved."""

from dataclasses import replace

import numpy as np
import pytest

from fractal_tasks.model import Grid, Keep, Placement, View, place_views
from fractal_tasks.transforms import Affine, Translation
from fractal_tasks.transforms.boxes import PixelBox
from tests.transforms.affine import turn_about

SPACING_UM = (1.0, 0.325, 0.325)
FIELD = PixelBox((0, 100, 200), (5, 356, 456))
GRID = Grid((5, 400, 500), SPACING_UM)
UNIT_GRID = Grid((1, 100, 100), (1.0, 1.0, 1.0))


def view(shift_px: tuple[float, float, float], box: PixelBox = FIELD) -> View:
    z, y, x = np.multiply(shift_px, SPACING_UM)
    return View(box, GRID, Translation((float(z), float(y), float(x))))


def test_region_is_what_all_acquisitions_see() -> None:
    # Content of acquisition 1 moves by +10 in y, of acquisition 2 by -7 in x.
    reference, first, second = place_views(
        view((0, 0, 0)), [view((0, 10, 0)), view((0, 0, -7))], "intersection"
    )
    expected = PixelBox((0, 110, 200), (5, 356, 449))
    assert reference.destination == first.destination == second.destination == expected
    assert first.source == PixelBox((0, 100, 200), (5, 346, 449))
    assert second.source == PixelBox((0, 110, 207), (5, 356, 456))


@pytest.mark.parametrize("seed", range(20))
def test_all_acquisitions_get_the_same_size_inside_their_field(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shifts = rng.uniform(-40, 40, (4, 3)) * (0.05, 1, 1)
    views = [view((z, y, x)) for z, y, x in shifts.tolist()]
    placements = place_views(view((0, 0, 0)), views, "intersection")
    assert len({placement.source.shape for placement in placements}) == 1
    for placement in placements:
        assert placement.source.intersection(FIELD) == placement.source
        assert placement.destination.intersection(FIELD) == placement.destination


@pytest.mark.parametrize("keep", ["intersection", "reference"])
@pytest.mark.parametrize("seed", range(10))
def test_copied_pixels_land_on_their_counterpart(seed: int, keep: Keep) -> None:
    """Brute force: a sample seen through two windows is copied back together."""
    rng = np.random.default_rng(seed)
    sample = rng.integers(1, 2**30, (3, 60, 60))
    shift = rng.integers(-8, 9, 3) * (0, 1, 1)
    field = PixelBox((0, 0, 0), (3, 40, 40))
    moving_corner = np.array((0, 10, 10)) + shift
    fixed_pixels = sample[:, 10:50, 10:50]
    z, y, x = (slice(a, a + n) for a, n in zip(moving_corner, (3, 40, 40), strict=True))
    moving_pixels = sample[z, y, x]
    # What lies at index i of the moving window lies at i + shift of the fixed one.
    moves = Translation((0.0, float(shift[1]) * 0.325, float(shift[2]) * 0.325))
    moving = View(field, GRID, moves)
    _, placement = place_views(view((0, 0, 0), field), [moving], keep)
    copied = moving_pixels[placement.source.slices()]
    expected = fixed_pixels[placement.destination.slices()]
    np.testing.assert_array_equal(copied, expected)
    assert copied.size == 3 * (40 - abs(shift[1])) * (40 - abs(shift[2]))


def test_reference_keeps_the_whole_field() -> None:
    reference, moved = place_views(view((0, 0, 0)), [view((0, 10, 0))], "reference")
    assert reference.region == moved.region == FIELD
    assert reference.destination == FIELD
    assert moved.destination == PixelBox((0, 110, 200), (5, 356, 456))
    assert moved.region_source(SPACING_UM, SPACING_UM) == FIELD.shifted((0, -10, 0))


def test_region_is_empty_if_a_shift_exceeds_the_field() -> None:
    placements = place_views(view((0, 0, 0)), [view((0, 300, 0))], "intersection")
    assert all(placement.destination.is_empty for placement in placements)


def test_opposite_shifts_can_leave_nothing_in_common() -> None:
    views = [view((0, 130, 0)), view((0, -130, 0))]
    placements = place_views(view((0, 0, 0)), views, "intersection")
    assert placements[0].destination.is_empty


def test_rounding_is_one_for_all() -> None:
    placed = place_views(view((0, 0, 0)), [view((0, 4.4, -4.6))], "intersection")[1]
    assert placed.destination.start == (0, 104, 200)
    assert placed.source.start == (0, 100, 205)
    assert view((0, 4.4, -4.6)).residual_px == pytest.approx(0.4)


def test_parts_of_a_pixel_are_kept_if_that_is_asked_for() -> None:
    moving = replace(view((0, 4.4, -4.6)), subpixel=True)
    assert not moving.is_copied
    assert moving.residual_px == 0
    fixed, placed = place_views(view((0, 0, 0)), [moving], "intersection")
    assert fixed.is_copied
    # Of the field, 256 pixels from 100 and 200 on, what lies inside on both sides.
    assert fixed.destination == PixelBox((0, 105, 200), (5, 356, 451))
    assert placed.destination == fixed.destination
    assert placed.source == FIELD
    assert not placed.is_copied
    whole = replace(view((0, 4.0, -5.0)), subpixel=True)
    assert whole.is_copied
    assert place_views(view((0, 0, 0)), [whole], "intersection")[1].shift_px == (
        *(0, 4, -5),
    )


def test_acquisition_with_other_pixel_size_keeps_its_own_grid() -> None:
    moves = Translation((0.0, 10.0, 0.0))
    coarse_grid = Grid((1, 50, 50), (1.0, 2.0, 2.0))
    coarse = View(PixelBox((0, 0, 0), (1, 50, 50)), coarse_grid, moves)
    stays = Translation((0.0, 0.0, 0.0))
    fine = View(PixelBox((0, 0, 0), (1, 100, 100)), UNIT_GRID, stays)
    reference, moved = place_views(fine, [coarse], "intersection")
    assert reference.destination == PixelBox((0, 10, 0), (1, 100, 100))
    assert moved.destination == PixelBox((0, 5, 0), (1, 50, 50))
    assert moved.source == PixelBox((0, 0, 0), (1, 45, 50))


def test_placement_knows_its_shift_and_its_region_on_both_grids() -> None:
    exact = Translation((0.0, 1.6, -2.4))
    placement = Placement.of(
        region=PixelBox((0, 0, 0), (1, 40, 40)),
        seen=PixelBox((0, 5, -7), (1, 45, 33)),
        shift_px=(0, 5, -7),
        transform=exact,
    )
    assert placement.destination == PixelBox((0, 5, 0), (1, 40, 33))
    assert placement.source == PixelBox((0, 0, 7), (1, 35, 40))
    assert placement.region_source(SPACING_UM, SPACING_UM) == PixelBox(
        (0, -5, 7), (1, 35, 47)
    )
    assert placement.shift_px == (0, 5, -7)
    assert placement.transform is exact


def test_shift_of_a_turn_is_that_of_the_centre_of_the_box() -> None:
    # A quarter turn about (y=10, x=10) um brings (10, 30) to (30, 10).
    quarter = turn_about((0.0, 10.0, 10.0), degrees=90.0)
    off_centre = View(PixelBox((0, 0, 20), (1, 20, 40)), UNIT_GRID, quarter)
    assert off_centre.displacement_um == pytest.approx((0.0, 20.0, -20.0))
    assert off_centre.shift_px == (0, 20, -20)
    assert not off_centre.is_copied
    about_centre = View(PixelBox((0, 0, 0), (1, 20, 20)), UNIT_GRID, quarter)
    assert about_centre.displacement_um == pytest.approx((0.0, 0.0, 0.0), abs=1e-12)
    assert isinstance(place_views(off_centre, [], "reference")[0].transform, Affine)
