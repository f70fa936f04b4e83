"""Every transform type keeps the contract, those of `TRANSFORM_TYPES` and a new one."""

import json

import numpy as np
import pytest

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.transforms import (
    TRANSFORM_TYPES,
    Affine,
    Transform,
    Translation,
    plane_matrix,
    transform_from_json,
    transform_to_json,
)
from tests.transforms.contract import check_contract
from tests.transforms.stretch import Stretch

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
    with pytest.raises(InvalidDataError, match=r"known types: \['affine', 'trans"):
        transform_from_json(transform_to_json(stretch))
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
    assert json.loads(transform_to_json(affine)) == {"type": "affine", "affine": rows}


def test_translation_json_has_the_field_of_rfc_5() -> None:
    text = transform_to_json(Translation((0.0, -1.3, 2.0)))
    assert json.loads(text) == {"type": "translation", "translation": [0.0, -1.3, 2.0]}


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
        "no offset",
        "no rows",
    ],
)
def test_unreadable_transform_is_an_error_that_says_what_to_do(text: str) -> None:
    with pytest.raises(InvalidDataError, match="Calculate Registration"):
        transform_from_json(text)
