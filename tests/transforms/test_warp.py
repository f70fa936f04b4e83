"""Transforms that bend: both directions, JSON as RFC-5 means it, what is refused."""

from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from scipy.interpolate import RegularGridInterpolator

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.transforms import (
    Affine,
    Displacements,
    FloatArray,
    Nodes,
    PixelSizes,
    Transform,
    Translation,
    Warp,
    compose,
    find_affine,
    plane_matrix,
    to_affine,
)
from tests.transforms.contract import (
    TOLERANCE_UM,
    check_displacement,
    check_frames,
    check_frozen,
    check_points,
    check_pull,
)

ORIGIN_UM = (0.5, -120.0, -80.0)
STEP_UM = (4.0, 2.5, 2.0)
TURN = Affine.about((0, 9, 20), plane_matrix(turn_rad=0.02, scale=1.01), (1.0, 3.0, -7))


def make_warp(shape: tuple[int, int, int] = (1, 70, 90), most_um: float = 2.0) -> Warp:
    """Make a smooth one that bends by up to `most_um`."""
    noise = np.random.default_rng(3).normal(size=(3, *shape))
    smooth = ndimage.gaussian_filter(noise, (0, 3, 10, 10), mode="nearest")
    if shape[0] == 1:
        smooth[0] = 0
    values = most_um * smooth / np.abs(smooth).max()
    return Warp(TURN, Displacements(values.astype(np.float32), STEP_UM), ORIGIN_UM)


WARPS = [make_warp(), make_warp((5, 40, 60))]
by_depth = pytest.mark.parametrize("warp", WARPS, ids=["plane", "stack"])


@by_depth
def test_warp_keeps_the_contract(warp: Warp) -> None:
    check_points(warp)
    check_pull(warp)
    check_displacement(warp)
    check_frames(warp)
    check_frozen(warp)


@by_depth
def test_json_survives_whatever_the_pixels_are(warp: Warp) -> None:
    pixels = PixelSizes((2.0, 0.5, 0.5), (1.0, 0.25, 0.25))
    stored = warp.displacements
    read = pixels.from_json(pixels.to_json(warp), stored.__getitem__)
    assert isinstance(read, Warp)
    assert read.field == warp.field
    # Of the same content, so that it is stored once.
    assert read.displacements.keys() == stored.keys()
    points = np.random.default_rng(0).uniform(-150, 150, (50, 3))
    np.testing.assert_allclose(
        read.map_points(points), warp.map_points(points), atol=TOLERANCE_UM
    )


def follow(
    fields: dict[str, Any], stored: dict[str, Displacements], points: FloatArray
) -> FloatArray:
    """Map points as RFC-5 says, by no code of the package."""
    match fields["type"]:
        case "sequence":
            for one in fields["transformations"]:
                points = follow(one, stored, points)
            return points
        case "translation":
            return np.asarray(points + fields["translation"])
        case "affine":
            rows = np.array(fields["affine"])
            return np.asarray(points @ rows[:, :3].T + rows[:, 3])
    assert fields["type"] == "displacements"
    assert fields["interpolation"] == "linear"
    one = stored[fields["path"]]
    nodes = [
        np.arange(n) * step for n, step in zip(one.shape, one.step_um, strict=True)
    ]
    used = [axis for axis, n in enumerate(one.shape) if n > 1]
    interpolate = RegularGridInterpolator(
        [nodes[axis] for axis in used], np.moveaxis(one.values_um.squeeze(), 0, -1)
    )
    return np.asarray(points + interpolate(points[:, used]))


@by_depth
def test_both_directions_are_what_rfc_5_means(warp: Warp) -> None:
    fields = PixelSizes.same((0.0, 0.0, 0.0)).to_fields(warp)
    assert fields["input"], fields["output"] == ({"name": "acquisition"}, "reference")
    stored = dict(warp.displacements)
    extent = (np.array(warp.field.shape) - 1) * STEP_UM
    fixed = ORIGIN_UM + np.random.default_rng(1).uniform(0.1, 0.9, (200, 3)) * extent
    moving = warp.pull_points(fixed)
    np.testing.assert_allclose(
        follow(fields["inverse"], stored, fixed), moving, atol=TOLERANCE_UM
    )
    # The other one is an estimate: exact at nodes, bent between them.
    off = follow(fields["forward"], stored, moving) - fixed
    assert 0 < np.abs(off).max() < 0.02


@by_depth
def test_composing_is_doing_one_after_the_other(warp: Warp) -> None:
    shift = Translation((0.5, 4.0, -3.0))
    points = np.random.default_rng(2).uniform((0, -90, -50), (10, 20, 20), (80, 3))
    orders: list[tuple[tuple[Transform, ...], float]] = [
        ((TURN, warp), TOLERANCE_UM),
        ((shift, warp), TOLERANCE_UM),
        ((warp, shift), TOLERANCE_UM),
        # What is bent is sampled anew, and linear between nodes.
        ((warp, TURN), 0.15),
        ((warp, warp), 0.15),
    ]
    for parts, exact in orders:
        expected = points
        for one in parts:
            expected = one.map_points(expected)
        found = compose(*parts)
        assert isinstance(found, Warp)
        np.testing.assert_allclose(found.map_points(points), expected, atol=exact)


@by_depth
def test_inverse_leads_back(warp: Warp) -> None:
    back = warp.inverse()
    points = np.random.default_rng(2).uniform((0, -90, -50), (10, 20, 20), (80, 3))
    off = back.map_points(points) - warp.pull_points(points)
    assert np.abs(off).max() < 0.05


def test_beyond_its_nodes_it_goes_on_smoothly() -> None:
    warp = make_warp()
    last = warp.nodes.corners_um.max(axis=0)
    near, beyond = (warp.pull_points([last + step]) for step in (0.0, 1e-6))
    assert np.abs(near - beyond).max() < 1e-5
    away = [np.add(last, (0, 1000, 1000))]
    apart = warp.pull_points(away) - find_affine(warp).pull_points(away)
    assert np.abs(apart).max() < 2.5


def test_what_is_folded_is_known_and_has_no_points() -> None:
    values = np.zeros((3, 1, 9, 9), np.float32)
    values[1, 0, 4] = 30.0
    still = Affine.of(np.eye(3), np.zeros(3))
    folded = Warp(still, Displacements(values, (1.0, 10.0, 10.0)), (0.0, 0.0, 0.0))
    assert folded.field.least_volume < 0
    assert make_warp().field.least_volume > 0.5
    mapped = folded.map_points([[0.0, 45.0, 40.0], [0.0, 5.0, 40.0]])
    assert np.isnan(mapped[0]).all()
    assert np.isfinite(mapped[1]).all()


def test_least_volume_is_that_of_a_known_stretch() -> None:
    # Along y what was 10 um wide is 9: a tenth is lost everywhere.
    values = np.zeros((3, 1, 5, 5), np.float32)
    values[1] = -0.1 * 10 * np.arange(5)[:, None]
    still = Affine.of(np.eye(3), np.zeros(3))
    warp = Warp(still, Displacements(values, (1.0, 10.0, 10.0)), (0.0, 0.0, 0.0))
    assert warp.field.least_volume == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("values", "step_um", "words"),
    [
        (np.zeros((2, 1, 3, 3)), (1, 1, 1), "shape"),
        (np.zeros((3, 3, 3)), (1, 1, 1), "shape"),
        (np.zeros((3, 0, 3, 3)), (1, 1, 1), "shape"),
        (np.full((3, 1, 3, 3), np.nan), (1, 1, 1), "finite"),
        (np.zeros((3, 1, 3, 3)), (1, 0, 1), "apart"),
        (np.zeros((3, 1, 3, 3)), (1, np.inf, 1), "apart"),
    ],
)
def test_what_is_no_lattice_is_refused(
    values: FloatArray, step_um: Any, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        Displacements(values.astype(np.float32), step_um)


def test_displacements_are_told_apart_by_their_content() -> None:
    one = make_warp().field
    same = Displacements(one.values_um.copy(), STEP_UM)
    assert one == same
    assert hash(one) == hash(same)
    values = one.values_um.copy()
    values[1, 0, 3, 3] = np.nextafter(values[1, 0, 3, 3], np.float32(9))
    assert Displacements(values, STEP_UM) != one
    assert Displacements(one.values_um, (4.0, 2.5, 2.01)) != one
    assert repr(one) in repr(make_warp())


def test_json_that_names_displacements_needs_them() -> None:
    pixels = PixelSizes.same((1.0, 1.0, 1.0))
    fields = pixels.to_fields(make_warp())
    with pytest.raises(InvalidDataError, match="no displacements are at hand"):
        pixels.from_fields(fields)
    stored = make_warp().displacements
    for change in ({"inverse": None}, {"inverse": {"transformations": []}}):
        with pytest.raises(InvalidDataError, match="Calculate Registration"):
            pixels.from_fields({**fields, **change}, stored.__getitem__)


def test_a_warp_is_not_linear() -> None:
    with pytest.raises(TypeError, match="not linear"):
        to_affine(make_warp())


def test_nodes_lie_on_both_corners_and_no_farther_apart_than_asked() -> None:
    nodes = Nodes.between((0.5, 1.0, 2.0), (0.5, 11.0, 5.0), (1.0, 3.0, 1.0))
    assert nodes.shape == (1, 5, 4)
    assert nodes.step_um == (1.0, 2.5, 1.0)
    np.testing.assert_allclose(nodes.points_um[-1], (0.5, 11.0, 5.0))
    assert Nodes.between((0, 0, 0), (0, 0.3, 0.3), (1, 0.1, 0.1)).shape == (1, 4, 4)


def test_points_that_are_far_away_have_a_way_back() -> None:
    warp = make_warp().in_frames((0, 0, 0), (0.0, 3e6, -2e6))
    points = np.array([[0.0, 1.0, 2.0], [1.0, -500.0, 300.0]])
    mapped = warp.map_points(points)
    assert np.isfinite(mapped).all()
    np.testing.assert_allclose(warp.pull_points(mapped), points, atol=1e-6)
