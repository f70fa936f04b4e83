"""Every transform type keeps the contract of `fractal_tasks.transforms.base`."""

import json

import numpy as np
import pytest

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.transforms import (
    Transform,
    Translation,
    transform_from_json,
    transform_to_json,
)
from fractal_tasks.transforms.registry import TRANSFORM_TYPES

EXAMPLES: dict[str, Transform] = {
    "translation": Translation((1.0, -1.3, 20.25)),
}
POINTS_UM = np.array([[0.0, 0.0, 0.0], [1.5, -20.0, 300.25]])


def test_every_transform_type_has_an_example() -> None:
    assert EXAMPLES.keys() == TRANSFORM_TYPES.keys()


@pytest.mark.parametrize("transform", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_inverse_brings_points_back(transform: Transform) -> None:
    there = transform.map_points(POINTS_UM)
    np.testing.assert_allclose(transform.inverse().map_points(there), POINTS_UM)


@pytest.mark.parametrize("transform", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_json_text_gives_the_same_transform(transform: Transform) -> None:
    text = transform_to_json(transform)
    assert json.loads(text)["type"] == transform.type
    assert transform_from_json(text) == transform


def test_translation_maps_moving_to_fixed() -> None:
    # A block 4 px of 0.325 um further in the moving image is stored as -1.3 um.
    moving = np.array([[0.0, 14 * 0.325, 0.0]])
    fixed = np.array([[0.0, 10 * 0.325, 0.0]])
    np.testing.assert_allclose(
        Translation((0.0, -1.3, 0.0)).map_points(moving), fixed, atol=1e-12
    )


def test_translation_json_has_the_field_of_rfc_5() -> None:
    text = transform_to_json(Translation((0.0, -1.3, 2.0)))
    assert json.loads(text) == {"type": "translation", "translation": [0.0, -1.3, 2.0]}


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"type": "warp"}', '{"type": "translation"}'],
    ids=["empty", "list", "no type", "unknown type", "no field"],
)
def test_unreadable_transform_is_an_error_that_says_what_to_do(text: str) -> None:
    with pytest.raises(InvalidDataError, match="Calculate Registration"):
        transform_from_json(text)
