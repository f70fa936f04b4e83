"""Every transform type keeps the contract, those of `TRANSFORM_TYPES` and a new one."""

import json

import numpy as np
import pytest

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.transforms import (
    TRANSFORM_TYPES,
    Transform,
    Translation,
    transform_from_json,
    transform_to_json,
)
from tests.transforms.affine import Affine, turn_about
from tests.transforms.contract import check_contract

EXAMPLES: dict[str, Transform] = {
    "translation": Translation((1.0, -1.3, 20.25)),
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
    turn = turn_about((0.0, 200.0, 300.0), degrees=3.0)
    with pytest.raises(InvalidDataError, match=r"known types: \['translation'\]"):
        transform_from_json(transform_to_json(turn))
    monkeypatch.setitem(TRANSFORM_TYPES, Affine.type, Affine)
    check_contract(turn)


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
    ],
)
def test_unreadable_transform_is_an_error_that_says_what_to_do(text: str) -> None:
    with pytest.raises(InvalidDataError, match="Calculate Registration"):
        transform_from_json(text)
