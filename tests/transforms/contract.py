"""What every transform type must do, whatever it is; see `transforms.base`."""

import dataclasses
import json
import re
from typing import Any

import numpy as np
import pytest

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.transforms import FloatArray, PixelSizes, Transform

TOLERANCE_UM = 1e-9
"""Rounding of doubles of some thousand um, and a few operations."""

PIXELS = PixelSizes((2.0, 0.5, 0.5), (1.0, 0.25, 0.25))

DAMAGED_VALUES: list[object] = [None, "x", [], {}, 7.0, [float("nan")] * 3, [1, 2]]


def sample_points_um() -> FloatArray:
    """Give points of a field of 1 mm, in front of and behind the origin."""
    points: FloatArray = np.random.default_rng(0).uniform(-500, 500, (50, 3))
    return points


def check_contract(transform: Transform) -> None:
    """Check one example of a transform type that is in `TRANSFORM_TYPES`."""
    check_points(transform)
    check_pull(transform)
    check_displacement(transform)
    check_frames(transform)
    check_json(transform)
    check_damage(transform)
    check_frozen(transform)


def check_points(transform: Transform) -> None:
    points = sample_points_um()
    given = points.copy()
    mapped = transform.map_points(points)
    np.testing.assert_array_equal(points, given)
    assert mapped.shape == points.shape
    assert mapped.dtype == np.float64
    # A list of whole numbers is an array of points, too; and each point is mapped by
    # itself, wherever it is in the array.
    whole = [[0, 1, 2], [-30, 400, 5]]
    one_by_one = [transform.map_points([point])[0] for point in whole]
    np.testing.assert_allclose(transform.map_points(whole), one_by_one, rtol=1e-12)
    assert transform.map_points(np.zeros((0, 3))).shape == (0, 3)


def check_pull(transform: Transform) -> None:
    """It is the way back, from fixed points to moving ones."""
    points = sample_points_um()
    mapped = transform.map_points(points)
    given = mapped.copy()
    pulled = transform.pull_points(mapped)
    np.testing.assert_array_equal(mapped, given)
    assert pulled.dtype == np.float64
    np.testing.assert_allclose(pulled, points, atol=TOLERANCE_UM)
    one_by_one = [transform.pull_points([point])[0] for point in mapped[:3].tolist()]
    np.testing.assert_allclose(pulled[:3], one_by_one, rtol=1e-12, atol=1e-12)
    assert transform.pull_points(np.zeros((0, 3))).shape == (0, 3)
    axes = [np.array([-2.0, 3.5]), np.linspace(-300, 400, 5), np.linspace(-9, 30, 7)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    expected = transform.pull_points(grid.reshape(-1, 3)).reshape(grid.shape)
    found = transform.pull_grid(axes)
    np.testing.assert_allclose(
        np.moveaxis(found, 0, -1), expected, rtol=0, atol=TOLERANCE_UM
    )


def check_displacement(transform: Transform) -> None:
    for point in sample_points_um():
        moved = transform.map_points(point[None])[0]
        displacement = transform.displacement_at(point)
        np.testing.assert_allclose(displacement, moved - point, atol=TOLERANCE_UM)
        # Plain numbers: they go into the columns of a table.
        assert [type(value) for value in displacement] == [float] * 3


def check_frames(transform: Transform) -> None:
    """A point of the new frame lies at ``x - moving`` in the old one, and back."""
    moving_um, fixed_um = np.array([1.5, 416.0, -3.25]), np.array([0.5, 415.0, 70.0])
    points = sample_points_um()
    framed = transform.in_frames(moving_um, fixed_um)
    expected = transform.map_points(points - moving_um) + fixed_um
    np.testing.assert_allclose(framed.map_points(points), expected, atol=TOLERANCE_UM)
    back = framed.in_frames(-moving_um, -fixed_um)
    np.testing.assert_allclose(
        back.map_points(points), transform.map_points(points), atol=TOLERANCE_UM
    )


def check_json(transform: Transform) -> None:
    """RFC-5 leads from the centre of the first voxel to that of the other image."""
    fields = PIXELS.to_fields(transform)
    assert json.loads(PIXELS.to_json(transform)) == fields
    read = PIXELS.from_json(PIXELS.to_json(transform))
    assert type(read) is type(transform)
    points = sample_points_um()
    np.testing.assert_allclose(
        read.map_points(points), transform.map_points(points), atol=TOLERANCE_UM
    )
    centred = type(transform).from_dict(transform.to_dict())
    assert centred == transform
    moving_um, fixed_um = np.divide(PIXELS.moving_um, 2), np.divide(PIXELS.fixed_um, 2)
    np.testing.assert_allclose(
        PixelSizes.same((0.0, 0.0, 0.0)).from_fields(fields).map_points(points),
        transform.map_points(points + moving_um) - fixed_um,
        atol=TOLERANCE_UM,
    )


def check_damage(transform: Transform) -> None:
    fields = PIXELS.to_fields(transform)
    for name in transform.to_dict():
        left: dict[str, Any] = {key: fields[key] for key in fields if key != name}
        refuse(left)
        for value in DAMAGED_VALUES:
            refuse({**fields, name: value})


def refuse(fields: dict[str, Any]) -> None:
    quoted = re.escape(repr(fields))
    with pytest.raises(InvalidDataError, match=f"{quoted}.*Calculate Registration"):
        PIXELS.from_fields(fields)


def check_frozen(transform: Transform) -> None:
    assert dataclasses.is_dataclass(transform)
    for field in dataclasses.fields(transform):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(transform, field.name, None)
    assert hash(transform) == hash(dataclasses.replace(transform))
