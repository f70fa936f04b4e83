"""What other software reads leads where the transform does."""

import json

import numpy as np
import pytest

from fractal_tasks.transforms import Affine, PixelSizes, Translation, plane_matrix
from fractal_tasks.transforms.exchange import to_itk, to_matrix, to_store
from tests.transforms.stretch import Stretch

PIXELS = PixelSizes((2.0, 0.5, 0.5), (1.0, 0.25, 0.25))
FIRST_MOVING, FIRST_FIXED = (
    np.divide(PIXELS.moving_um, 2),
    np.divide(PIXELS.fixed_um, 2),
)
TURN = Affine.about((0.0, 40.0, 60.0), plane_matrix(turn_rad=0.3), (1.0, 2.0, -3.0))
POINTS = np.array([[0.0, 0.0, 0.0], [3.0, 10.0, 20.0], [-1.0, 55.5, 7.25]])
"""From the centre of the first voxel of the acquisition."""

MAPPED = TURN.map_points(POINTS + FIRST_MOVING) - FIRST_FIXED


def test_matrix_leads_to_the_reference() -> None:
    matrix = np.loadtxt(to_matrix(TURN, PIXELS).splitlines())
    assert matrix.shape == (4, 4)
    mapped = np.column_stack([POINTS, np.ones(3)]) @ matrix.T
    np.testing.assert_allclose(mapped[:, :3], MAPPED)
    np.testing.assert_array_equal(mapped[:, 3], 1)


@pytest.mark.parametrize("ndim", [2, 3])
def test_itk_leads_to_the_acquisition(ndim: int) -> None:
    lines = dict(
        line.split(": ")
        for line in to_itk(TURN, PIXELS, ndim=ndim).splitlines()
        if not line.startswith("#")
    )
    assert lines["Transform"] == f"AffineTransform_double_{ndim}_{ndim}"
    assert lines["FixedParameters"].split() == ["0.0"] * ndim
    values = np.array(lines["Parameters"].split(), dtype=float)
    matrix, offset = values[: ndim**2].reshape(ndim, ndim), values[ndim**2 :]
    found = MAPPED[:, ::-1][:, :ndim] @ matrix.T + offset
    np.testing.assert_allclose(found, POINTS[:, ::-1][:, :ndim], atol=1e-9)


def test_store_has_one_transform_to_the_acquisition() -> None:
    document = json.loads(to_store(TURN, PIXELS, {"roi": "FOV_1"}))
    assert document["attributes"]["fractal_tasks"] == {"roi": "FOV_1"}
    ome = document["attributes"]["ome"]
    names = [system["name"] for system in ome["coordinateSystems"]]
    (transform,) = ome["coordinateTransformations"]
    assert [transform[end]["name"] for end in ("input", "output")] == names
    turn, move = transform["transformations"]
    found = MAPPED @ np.transpose(turn["rotation"]) + move["translation"]
    np.testing.assert_allclose(found, POINTS, atol=1e-9)


def test_translation_stays_one_where_pixels_are_alike() -> None:
    pixels = PixelSizes.same((1.0, 0.5, 0.5))
    shift = Translation((0.0, 1.5, -2.0))
    ome = json.loads(to_store(shift, pixels, {}))["attributes"]["ome"]
    (transform,) = ome["coordinateTransformations"]
    assert (transform["type"], transform["translation"]) == (
        "translation",
        [0.0, -1.5, 2.0],
    )


@pytest.mark.parametrize("write", [to_matrix, lambda t, p: to_itk(t, p, ndim=3)])
def test_what_is_not_linear_is_refused(write: object) -> None:
    stretch = Stretch((1.0, 1.01, 0.98), (0.0, 2.0, -30.0))
    with pytest.raises(TypeError, match="not linear"):
        write(stretch, PIXELS)  # type: ignore[operator]
