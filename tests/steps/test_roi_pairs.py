"""Opening two images, pairing their ROIs, and the patches that a method gets."""

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pytest

from fractal_tasks.errors import InvalidDataError, InvalidInputError
from fractal_tasks.model import RowKey
from fractal_tasks.steps import roi_pairs
from fractal_tasks.steps.prepared_pairs import prepare_pair
from fractal_tasks.steps.roi_pairs import RoiPair, open_pairs
from fractal_tasks.steps.sides import Side, open_sides
from fractal_tasks.transforms.boxes import PixelBox
from tests.conftest import MakePlate
from tests.records.plates import (
    TINY,
    image_url,
    open_acquisition,
    read_rows,
    write_rows,
)
from tests.steps.methods import Moves, settings_for
from tests.steps.wells import read_level

FIELD = (slice(0, 1), slice(0, 32), slice(0, 32))
STACK = {**TINY, "planes": 3, "acquisitions": 2}


class _OnlyPlanes(Moves):
    type: Literal["moves"] = "moves"
    dimensionalities: ClassVar[frozenset[int]] = frozenset({2})


def pairs_of(plate: Path, **changes: object) -> list[RoiPair]:
    settings = settings_for(Moves(), **changes)
    sides = open_sides(image_url(plate, 0), image_url(plate, 1), settings)
    return open_pairs(*sides, Moves(), settings)


def open_both(plate: Path, **changes: object) -> tuple[Side, Side]:
    settings = settings_for(Moves(), **changes)
    return open_sides(image_url(plate, 0), image_url(plate, 1), settings)


def test_rois_are_paired_by_name_in_the_order_of_the_acquisition(plate: Path) -> None:
    image = open_acquisition(plate, 1)
    first, second = read_rows(image).rois.values()
    write_rows(image.url, [second, first])
    pairs = pairs_of(plate)
    assert [pair.key for pair in pairs] == [RowKey("FOV_2"), RowKey("FOV_1")]
    box = PixelBox((0, 0, 32), (1, 32, 64))
    assert pairs[0].fixed.box == pairs[0].moving.box == box
    corner_um = pairs[0].moving.find_corner_um(is_flat=True)
    np.testing.assert_allclose(corner_um, (0, 0, 32 * 0.325))
    assert pairs[0].fixed.where.startswith(f"{plate}/A/01/0: table")


def test_patches_are_the_pixels_of_the_roi(plate: Path) -> None:
    (_, pair) = pairs_of(plate)
    fixed, moving = prepare_pair(pair, settings_for(Moves()), None)
    for acquisition, patches in enumerate((fixed, moving)):
        whole = read_level(image_url(plate, acquisition).path)
        expected = whole[0, 0, :, 32:]
        np.testing.assert_array_equal(patches[0].read(FIELD)[0], expected)
        shapes = [patch.shape for patch in patches]
        assert shapes == [(1, 32, 32), (1, 16, 16), (1, 8, 8)]
    assert pair.fixed.start_level == 1
    assert pair.fixed.start_patch.shape == (1, 16, 16)


def test_intensities_are_clipped_if_that_is_asked_for(plate: Path) -> None:
    pair, _ = pairs_of(plate)
    settings = settings_for(Moves(), upper_rescale_quantile=0.5)
    fixed, _ = prepare_pair(pair, settings, None)
    whole = read_level(image_url(plate, 0).path)[0, 0, :, :32]
    clipped = fixed[0].read(FIELD)[0]
    assert clipped.max() < whole.max()
    inside = (clipped > clipped.min()) & (clipped < clipped.max())
    np.testing.assert_array_equal(clipped[inside], whole[inside])


def test_stack_is_projected_only_for_2d(make_plate: MakePlate) -> None:
    plate = make_plate(**STACK)
    pair, _ = pairs_of(plate)
    volume, _ = prepare_pair(pair, settings_for(Moves()), None)
    assert volume[0].shape == (3, 32, 32)
    plane, _ = prepare_pair(pair, settings_for(Moves(), dimensions="2d"), None)
    expected = read_level(image_url(plate, 0).path)[0, :, :, :32].max(axis=0)
    found = plane[0].read(FIELD[1:])
    np.testing.assert_array_equal(found, expected)


def test_method_for_planes_refuses_a_stack_that_is_not_projected(
    make_plate: MakePlate,
) -> None:
    sides = open_both(make_plate(**STACK))
    with pytest.raises(InvalidInputError, match="ROI 'FOV_1': found a stack of 3"):
        open_pairs(*sides, _OnlyPlanes(), settings_for(Moves()))
    flat = settings_for(Moves(), dimensions="2d")
    assert len(open_pairs(*sides, _OnlyPlanes(), flat)) == 2


def test_plane_cannot_be_registered_as_a_volume(plate: Path) -> None:
    with pytest.raises(InvalidInputError, match="ROI 'FOV_1': dimensions='3d'"):
        pairs_of(plate, dimensions="3d")


def test_acquisition_with_smaller_pixels_is_given_at_those_of_the_reference(
    make_plate: MakePlate,
) -> None:
    coarse = make_plate("coarse.zarr", **TINY, pixel_size_um=0.65)
    fine = make_plate("fine.zarr", **{**TINY, "field_size_px": 64})
    settings = settings_for(Moves())
    sides = open_sides(image_url(coarse, 0), image_url(fine, 1), settings)
    pair, _ = open_pairs(*sides, Moves(), settings)
    fixed, moving = prepare_pair(pair, settings, None)
    assert [patch.spacing_um for patch in moving] == [
        pytest.approx(patch.spacing_um) for patch in fixed
    ]
    assert moving[0].shape == fixed[0].shape == (1, 32, 32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"wavelength_id": "A09_C09"}, "wavelength_id='A09_C09'"),
        ({"level_path": "9"}, "level_path='9'"),
    ],
)
def test_channel_or_level_that_is_not_there_is_refused(
    plate: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message):
        open_both(plate, **change)


def test_table_that_is_not_there_is_refused(plate: Path) -> None:
    with pytest.raises(InvalidDataError, match="table 'cells' is needed"):
        open_both(plate, input_roi_table="cells")


def test_released_pair_reads_again(plate: Path) -> None:
    pair, _ = pairs_of(plate)
    before = pair.fixed.patches[0].read(FIELD)
    pair.release()
    np.testing.assert_array_equal(pair.fixed.patches[0].read(FIELD), before)


def test_roi_of_more_pixels_than_a_search_can_read_is_refused(
    plate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roi_pairs, "_MAX_PLANE_PX", 8 * 8)
    assert pairs_of(plate)
    monkeypatch.setattr(roi_pairs, "_MAX_PLANE_PX", 8 * 8 - 1)
    with pytest.raises(InvalidDataError, match=r"ROI 'FOV_1': found 1 x 8 x 8 pixels"):
        pairs_of(plate)
    monkeypatch.undo()
    monkeypatch.setattr(roi_pairs, "_BYTES_PER_PIXEL", 10**15)
    with pytest.raises(InvalidDataError, match=r"more levels\.$"):
        pairs_of(plate)
