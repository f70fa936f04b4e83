"""Every transform type keeps the contract, those of `TRANSFORM_TYPES` and a new one."""

from typing import Any

import numpy as np
import pytest

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.transforms import (
    TRANSFORM_TYPES,
    Affine,
    PixelSizes,
    Transform,
    Translation,
    Vector,
    plane_matrix,
)
from tests.transforms.contract import check_contract
from tests.transforms.stretch import Stretch

MOVE = {"type": "translation", "translation": [0, 1, 0]}
QUARTER = {"type": "rotation", "rotation": [[1, 0, 0], [0, 0, -1], [0, 1, 0]]}

PIXELS = PixelSizes.same((1.0, 0.325, 0.325))
ENDS = {"input": {"name": "acquisition"}, "output": {"name": "reference"}}

EXAMPLES: dict[str, Transform] = {
    "translation": Translation((1.0, -1.3, 20.25)),
    "affine": Affine(
        ((1.0, 0.0, 0.1), (0.02, 0.96, -0.03), (0.0, 0.04, 1.1)), (1.0, -1.3, 20.25)
    ),
}


def test_every_transform_type_has_an_example() -> None:
    assert EXAMPLES.keys() == TRANSFORM_TYPES.keys()
    assert all(name == found.type for name, found in TRANSFORM_TYPES.items())


@pytest.mark.parametrize("transform", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_transform_type_keeps_the_contract(transform: Transform) -> None:
    check_contract(transform)


def test_new_transform_type_keeps_the_contract_once_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stretch = Stretch((1.0, 1.01, 0.98), (0.0, 2.0, -30.0))
    with pytest.raises(InvalidDataError, match=r"known types: \['affine', 'bijec"):
        PIXELS.from_json(PIXELS.to_json(stretch))
    monkeypatch.setitem(TRANSFORM_TYPES, Stretch.type, Stretch)
    check_contract(stretch)


def test_translation_maps_moving_to_fixed() -> None:
    # A block 4 px of 0.325 um further in the moving image is stored as -1.3 um.
    moving = np.array([[0.0, 14 * 0.325, 0.0]])
    fixed = np.array([[0.0, 10 * 0.325, 0.0]])
    np.testing.assert_allclose(
        Translation((0.0, -1.3, 0.0)).map_points(moving), fixed, atol=1e-12
    )


def test_translation_between_corners_is_that_between_images() -> None:
    # Content at the corners (y=416, moving) and (y=410, fixed) of a ROI that moved by
    # 1 um between them: 416 in the moving image is 411 in the fixed one.
    between = Translation((0.0, 1.0, 0.0)).in_frames((0, 416, 0), (0, 410, 0))
    assert between == Translation((0.0, -5.0, 0.0))


def test_translation_gives_its_own_numbers_wherever_it_is_asked() -> None:
    vector = (0.1, 0.2, 0.3)
    assert Translation(vector).displacement_at((1e8, 1e8, 1e8)) == vector


def test_affine_maps_moving_to_fixed_and_pulls_back() -> None:
    """A quarter turn about (10, 10), then 1 down: (y, x) = (10, 30) gets (-9, 10)."""
    matrix = plane_matrix(turn_rad=np.pi / 2)
    turn = Affine.about((0.0, 10.0, 10.0), matrix, (0.0, 1.0, 0.0))
    np.testing.assert_allclose(
        turn.map_points([[7.0, 10.0, 30.0]]), [[7.0, -9.0, 10.0]], atol=1e-12
    )
    np.testing.assert_allclose(
        turn.pull_points([[7.0, -9.0, 10.0]]), [[7.0, 10.0, 30.0]], atol=1e-12
    )
    assert turn.is_rigid
    assert not Affine.of(1.01 * np.array(matrix), (0, 0, 0)).is_rigid
    assert not Affine.of(np.diag([1, 1, -1]), (0, 0, 0)).is_rigid


def test_affine_json_has_the_field_of_rfc_5() -> None:
    affine = Affine(((1, 0, 0), (0, 2, 0), (0, 0, 3)), (4.0, 5.0, 6.0))
    rows = [[1, 0, 0, 4], [0, 2, 0, 5], [0, 0, 3, 6]]
    corners = PixelSizes.same((0.0, 0.0, 0.0))
    assert corners.to_fields(affine) == {"type": "affine", "affine": rows} | ENDS


@pytest.mark.parametrize(
    ("turn_deg", "offset_um", "fixed_um", "first"),
    [
        # The corner of the acquisition comes to rest on that of the reference. Its
        # first voxel, half a micrometre wide, ends a quarter beyond, the reference's,
        # twice as wide, has its centre a half there.
        (0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.0, -0.25, -0.25)),
        # Turned about the corner of an image of 10 um, and put back onto it: the first
        # voxel becomes the last one of the first row.
        (90, (0.0, 0.0, 10.0), (1.0, 0.5, 0.5), (0.0, 0.0, 9.5)),
        (90, (0.0, 0.0, 10.0), (1.0, 1.0, 1.0), (0.0, -0.25, 9.25)),
    ],
    ids=["pixels twice as large", "quarter turn", "both"],
)
def test_json_leads_from_centre_to_centre(
    turn_deg: int, offset_um: Vector, fixed_um: Vector, first: Vector
) -> None:
    matrix = np.round(plane_matrix(turn_rad=np.radians(-turn_deg)))
    between = Affine.of(matrix, offset_um)
    pixels = PixelSizes((1.0, 0.5, 0.5), fixed_um)
    turn, move = pixels.to_fields(between)["transformations"]
    assert turn == {"type": "rotation", "rotation": matrix.tolist()}
    assert move == {"type": "translation", "translation": list(first)}
    assert pixels.from_fields(pixels.to_fields(between)) == between
    shift = Translation(offset_um)
    assert pixels.matter_for(shift) == (fixed_um != pixels.moving_um)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([{"type": "identity"}], (1.0, 2.0, 3.0)),
        ([{"type": "scale", "scale": [2, 2, 2]}, MOVE], (2.0, 5.0, 6.0)),
        ([MOVE, {"type": "scale", "scale": [2, 2, 2]}], (2.0, 6.0, 6.0)),
        ([MOVE, MOVE], (1.0, 4.0, 3.0)),
        ([{"type": "sequence", "transformations": [MOVE]}, MOVE], (1.0, 4.0, 3.0)),
        ([QUARTER, MOVE], (1.0, -2.0, 2.0)),
        ([MOVE, QUARTER], (1.0, -3.0, 3.0)),
    ],
    ids=lambda value: value if isinstance(value, tuple) else "",
)
def test_sequence_is_read_first_entry_first(
    parts: list[dict[str, Any]], expected: Vector
) -> None:
    fields = {"type": "sequence", "transformations": parts}
    read = PixelSizes.same((0.0, 0.0, 0.0)).from_fields(fields)
    np.testing.assert_allclose(read.map_points([[1.0, 2.0, 3.0]]), [expected])


def test_translation_json_has_the_field_of_rfc_5() -> None:
    fields = PIXELS.to_fields(Translation((0.0, -1.3, 2.0)))
    expected = {"type": "translation", "translation": [0.0, -1.3, 2.0]}
    assert fields == expected | ENDS


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nan",
        "[]",
        "{}",
        "7",
        "[" * 100_000,
        '{"type": "warp"}',
        '{"type": ["translation"]}',
        '{"type": "translation"}',
        '{"type": "translation", "translation": "123"}',
        '{"type": "translation", "translation": {"1": 0, "2": 0, "3": 0}}',
        '{"type": "translation", "translation": [0, 1]}',
        '{"type": "translation", "translation": [0, 1, 2, 3]}',
        '{"type": "translation", "translation": [0, 1, Infinity]}',
        '{"type": "translation", "translation": [0, 1, 1e999]}',
        f'{{"type": "translation", "translation": [0, 1, 1{"0" * 400}]}}',
        '{"type": "translation", "translation": [0, 1, null]}',
        '{"type": "affine", "affine": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]}',
        '{"type": "translation", "translation": [0, 1, 2], "input": "acquisition"}',
        '{"type": "translation", "translation": [0, 1, 2], '
        '"input": {"name": "reference"}, "output": {"name": "acquisition"}}',
        '{"type": "sequence", "transformations": []}',
        '{"type": "sequence", "transformations": [7]}',
        '{"type": "sequence"}',
        '{"type": "rotation", "rotation": [[1, 0, 0], [0, 1, 0], [0, 0, 0]]}',
        '{"type": "scale", "scale": [1, 0, 1]}',
        '{"type": "affine", "affine": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]}',
        '{"type": "affine", "affine": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]}',
    ],
    ids=[
        "empty",
        "no JSON",
        "list",
        "no type",
        "number",
        "deep",
        "unknown type",
        "type is a list",
        "no field",
        "text",
        "object",
        "two",
        "four",
        "infinite",
        "too large",
        "whole number too large",
        "missing number",
        "singular",
        "from nowhere",
        "the other way",
        "empty sequence",
        "sequence of numbers",
        "sequence without parts",
        "rotation that flattens",
        "scale that flattens",
        "no offset",
        "no rows",
    ],
)
def test_unreadable_transform_is_an_error_that_says_what_to_do(text: str) -> None:
    with pytest.raises(InvalidDataError, match="Calculate Registration"):
        PIXELS.from_json(text)
