import numpy as np
import pytest

from fractal_tasks.registration.mapped import MappedPatch
from fractal_tasks.registration.patch import ArrayPatch
from fractal_tasks.transforms import Affine, plane_matrix
from tests.registration.test_methods import CountingPatch
from tests.registration.test_patch import read_all

SHAPE = (6, 60, 90)
SPACING_UM = [(1.0, 0.5, 0.5), (2.0, 0.5, 0.8)]
CENTRE_UM = (3.0, 14.0, 22.0)
TILT = np.array([[1.0, 0.03, 0.0], [-0.03, 1.0, 0.02], [0.0, -0.02, 0.99]])
MATRICES = {
    "shift": np.eye(3),
    "turn": plane_matrix(turn_rad=0.03, scale=0.98),
    "tilt": TILT,
}


def centres_um(shape: tuple[int, ...], spacing_um: tuple[float, ...]) -> np.ndarray:
    axes = [(np.arange(n) + 0.5) * s for n, s in zip(shape, spacing_um, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)
@pytest.mark.parametrize("spacing_um", SPACING_UM, ids=str)
def test_pixels_come_from_where_the_transform_says(
    matrix: np.ndarray, spacing_um: tuple[float, ...]
) -> None:
    """Linear interpolation of a linear image is exact where it has pixels."""
    weights = np.array((5.0, 3.0, -2.0))
    ramp = (centres_um(SHAPE, spacing_um) @ weights).astype(np.float32)
    transform = Affine.about(CENTRE_UM, matrix, (1.0, 2.3, -4.1))
    shape = (5, 70, 80)
    mapped = MappedPatch(ArrayPatch(ramp, spacing_um), transform, shape)
    assert (mapped.shape, mapped.spacing_um) == (shape, spacing_um)
    points = centres_um(shape, spacing_um).reshape(-1, 3)
    origins = transform.pull_points(points)
    # How far they are from the outermost centres, in pixels; positive inside.
    places = origins / spacing_um - 0.5
    margin = np.minimum(places, np.array(SHAPE) - 1 - places).min(axis=1)
    pixels = read_all(mapped).ravel()
    inside = margin > 1e-3
    assert inside.mean() > 0.3
    assert pixels[inside] == pytest.approx((origins @ weights)[inside], abs=2e-3)
    assert np.isnan(pixels[margin < -1e-3]).all()


@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES)
def test_a_mapped_box_equals_the_crop_and_reads_only_what_it_shows(
    matrix: np.ndarray,
) -> None:
    pixels = np.random.default_rng(0).random((6, 200, 300)).astype(np.float32)
    source = CountingPatch(ArrayPatch(pixels, (1.0, 0.5, 0.5)))
    transform = Affine.about((3.0, 50.0, 75.0), matrix, (0.0, 0.0, 0.0))
    mapped = MappedPatch(source, transform, source.shape)
    whole = read_all(mapped)
    for box in (
        (slice(0, 2), slice(10, 50), slice(230, 290)),
        (slice(1, 2), slice(0, 9), slice(0, 7)),
    ):
        source.reads.clear()
        np.testing.assert_allclose(mapped.read(box), whole[box], atol=1e-4)
        # 3 % of 60 px of tilt, 2 px of interpolation; tilted, also in depth.
        assert sum(source.reads) <= 2 * (6 if matrix is TILT else 1) * 46 * 66


def test_planes_beyond_a_stack_are_invalid() -> None:
    stack = np.arange(5, dtype=np.float32)[:, None, None] * np.ones((1, 8, 8))
    transform = Affine.of(np.eye(3), (2.0, 0.0, 0.0))
    mapped = MappedPatch(
        ArrayPatch(stack.astype(np.float32), (1.0, 0.5, 0.5)), transform, (9, 8, 8)
    )
    shown = read_all(mapped)[:, 4, 4]
    np.testing.assert_array_equal(shown, [np.nan] * 2 + [0, 1, 2, 3, 4] + [np.nan] * 2)


def test_a_box_beyond_the_patch_is_invalid() -> None:
    """Shrunk by much, the border shows nothing."""
    patch = ArrayPatch(np.ones((1, 100, 100), np.float32), (1.0, 0.5, 0.5))
    half = Affine.about(
        (0.5, 25.0, 25.0), plane_matrix(turn_rad=0, scale=0.5), (0,) * 3
    )
    shrunk = MappedPatch(patch, half, patch.shape)
    assert np.isnan(shrunk.read((slice(0, 1), slice(0, 20), slice(0, 20)))).all()
    assert np.isfinite(shrunk.read((slice(0, 1), slice(30, 70), slice(30, 70)))).all()
