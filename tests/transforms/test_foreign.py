"""What other software writes is read as it means it."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from fractal_tasks.transforms import (
    Affine,
    Displacements,
    PixelSizes,
    Translation,
    Warp,
    compose,
)
from fractal_tasks.transforms.bspline import BSpline
from fractal_tasks.transforms.exchange import to_itk, to_matrix, to_store
from fractal_tasks.transforms.foreign import CENTRED, read_transform
from fractal_tasks.transforms.rfc5 import Beside
from tests.transforms.test_bspline import draw_values
from tests.transforms.test_bspline import write_map as write_spline
from tests.transforms.test_warp import make_warp

POINTS = np.array([(0.0, 0.0, 0.0), (1.0, 5.0, 7.0), (0.0, -3.0, 11.0)])
TURN = Affine.of(
    np.array([[1.0, 0, 0], [0, 0.9, -0.2], [0, 0.2, 1.1]]), (0.0, 3.0, -4.0)
)
PIXELS = PixelSizes((1.0, 0.5, 0.5), (1.0, 0.25, 0.25))
ITK = """#Insight Transform File V1.0
#Transform 0
Transform: {kind}
Parameters: {parameters}
FixedParameters: {fixed}
"""


def write_itk(kind: str, parameters: str, fixed: str = "") -> str:
    return ITK.format(kind=kind, parameters=parameters, fixed=fixed)


@pytest.mark.parametrize("transform", [TURN, Translation((0.0, 1.5, -2.0))], ids=repr)
@pytest.mark.parametrize("kind", ["itk", "matrix", "rfc5"])
def test_what_export_writes_is_read_again(
    transform: Affine | Translation, kind: str
) -> None:
    text = {
        "itk": lambda: to_itk(transform, PIXELS, ndim=2),
        "matrix": lambda: to_matrix(transform, PIXELS),
        "rfc5": lambda: to_store(transform, PIXELS, {}),
    }[kind]()
    found, ndim = read_transform(text, "file")
    again = PIXELS.from_centres(found).map_points(POINTS)
    assert again == pytest.approx(transform.map_points(POINTS))
    assert ndim == (2 if kind == "itk" else 3)


def test_turns_of_itk_are_read_about_their_centre() -> None:
    """ITK leads from the reference to the acquisition, x first."""
    quarter = write_itk("Euler2DTransform_double_2_2", f"{math.pi / 2} 1 2", "10 20")
    found, _ = read_transform(quarter, "file")
    # The centre (x 10, y 20) of the reference comes from x 11, y 22.
    assert found.map_points([(0, 22, 11)])[0] == pytest.approx((0, 20, 10))
    # One to the right of it, from one below that.
    assert found.map_points([(0, 23, 11)])[0] == pytest.approx((0, 20, 11))


def test_versors_and_their_composite_are_read() -> None:
    """Of a composite transform the last one listed is the first that is applied."""
    half = math.sin(math.pi / 4)
    turn = write_itk("VersorRigid3DTransform_double_3_3", f"0 0 {half} 0 0 0", "0 0 0")
    shift = write_itk("TranslationTransform_double_3_3", "10 0 0")
    composite = "\n".join(
        [
            "#Insight Transform File V1.0",
            "#Transform 0",
            "Transform: CompositeTransform_double_3_3",
            turn.split("\n", 1)[1].replace("#Transform 0", "#Transform 1"),
            shift.split("\n", 1)[1].replace("#Transform 0", "#Transform 2"),
        ]
    )
    found, ndim = read_transform(composite, "file")
    assert ndim == 3
    # Shifted along x, then turned by 90 degrees: the origin comes from y = 10.
    assert found.map_points([(0, 10, 0)])[0] == pytest.approx((0, 0, 0), abs=1e-9)


def test_rfc5_leads_as_it_says() -> None:
    back = {"type": "translation", "translation": [0, 1.5, -2]}
    ends = {"input": {"name": "reference"}, "output": {"name": "acquisition"}}
    found, _ = read_transform(json.dumps(back | ends), "file")
    assert found.displacement_at((0, 0, 0)) == (0.0, -1.5, 2.0)
    plain, _ = read_transform(json.dumps(back), "file")
    assert plain.displacement_at((0, 0, 0)) == (0.0, 1.5, -2.0)


def test_parameters_of_elastix_are_read() -> None:
    text = """
(Transform "TranslationTransform")
(TransformParameters 3.0 -2.0)
(InitialTransformParameterFileName "NoInitialTransform")
(FixedImageDimension 2)
"""
    found, ndim = read_transform(text, "file")
    assert (found.displacement_at((0, 0, 0)), ndim) == ((0.0, 2.0, -3.0), 2)


def test_composing_does_one_after_the_other() -> None:
    both = compose(TURN, Translation((0.0, 1.0, 2.0)))
    expected = TURN.map_points(POINTS) + np.array((0.0, 1.0, 2.0))
    assert both.map_points(POINTS) == pytest.approx(expected)
    assert CENTRED.to_centres(both) == both


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1 2 3", "3 numbers"),
        ("hello", "hello"),
        ("{", "double quotes"),
        ('{"type": "rotation"}', "rotation"),
        ('{"type": "displacements", "path": "x"}', "displacements"),
        (
            '{"type": "identity", "input": {"name": "a"}, "output": {"name": "b"}}',
            "from 'a' to 'b'",
        ),
        (write_itk("BSplineTransform_double_2_2", "1 2"), "BSplineTransform"),
        (write_itk("AffineTransform_double_2_2", "1 2"), "2 numbers"),
        ("#Insight Transform File V1.0\n", "no transform"),
        (
            '(InitialTransformParameterFileName "a.txt")\n(Size 1)\n',
            "a.txt",
        ),
        ("1 0 0 0 0 1 0 0 0 0 0 0 0 0 0 1", "singular"),
    ],
    ids=[
        "numbers",
        "words",
        "cut JSON",
        "no rotation",
        "a field",
        "other systems",
        "a warp",
        "cut",
        "empty",
        "a chain",
        "singular",
    ],
)
def test_anything_else_is_named(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"mine: it holds no transform.*{reason}"):
        read_transform(text, "mine")


@pytest.mark.parametrize("ndim", [2, 3])
def test_displacements_of_itk_are_read_as_they_are_written(ndim: int) -> None:
    warp = make_warp((1, 30, 40) if ndim == 2 else (4, 20, 30))
    pixels = PixelSizes.same((1.0, 0.5, 0.5))
    if ndim == 2:
        # Of a plane nothing is said about depth.
        offset_um = np.multiply(warp.affine.offset_um, (0, 1, 1))
        flat = Affine.of(warp.affine.matrix, offset_um)
        warp = replace(warp, affine=flat, origin_um=(0.5, -20.0, -30.0))
    text = to_itk(warp, pixels, ndim=ndim)
    assert text.splitlines()[2] == f"Transform: CompositeTransform_double_{ndim}_{ndim}"
    found, said = read_transform(text, "mine.tfm")
    assert said == ndim
    centred = pixels.to_centres(warp)
    low, high = warp.nodes.corners_um[[0, -1]] - (0.5, 0.25, 0.25)
    points = np.random.default_rng(1).uniform(low, high, (100, 3))
    apart = found.pull_points(points) - centred.pull_points(points)
    assert np.abs(apart).max() < 1e-5


def make_bump() -> Warp:
    values = np.zeros((3, 1, 5, 5), np.float32)
    values[1:] = 1.5
    still = Affine.of(np.eye(3), np.zeros(3))
    return Warp(still, Displacements(values, (1.0, 20.0, 20.0)), (0.0, 0.0, 0.0))


def test_displacements_may_be_anywhere_in_a_chain_of_itk() -> None:
    warp = make_bump()
    head, *parts = to_itk(warp, PixelSizes.same((0.0, 0.0, 0.0)), ndim=2).split(
        "#Transform "
    )
    bend = parts[2].partition("\n")[2]
    turn = "Transform: Euler2DTransform_double_2_2\nParameters: 0.1 2 3\n"
    turn += "FixedParameters: 40 40\n"
    turned, _ = read_transform(f"{head}#Transform 0\n{turn}", "turn.tfm")
    for order in ([turn, bend], [bend, turn]):
        text = head + "".join(f"#Transform {n}\n{one}" for n, one in enumerate(order))
        found, _ = read_transform(text, "mine.tfm")
        # The last one is applied first.
        steps = [warp, turned] if order[0] is turn else [turned, warp]
        point = np.array([[0.0, 38.0, 44.0]])
        expected = steps[1].pull_points(steps[0].pull_points(point))
        np.testing.assert_allclose(found.pull_points(point), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (" 1.0 0.0 0.0 1.0", " 0.0 1.0 1.0 0.0", "other axes"),
        ("FixedParameters: 5.0 5.0", "FixedParameters: 5.0 6.0", "50 displacements"),
        ("Parameters: 1.5", "Parameters: nan", "finite"),
    ],
)
def test_displacements_of_itk_that_are_none_are_named(
    old: str, new: str, reason: str
) -> None:
    text = to_itk(make_bump(), PixelSizes.same((0.0, 0.0, 0.0)), ndim=2)
    head, _, last = text.rpartition("#Transform")
    assert old in last
    with pytest.raises(ValueError, match=f"mine.*{reason}"):
        read_transform(f"{head}#Transform{last.replace(old, new)}", "mine")


@pytest.mark.parametrize("leads_back", [True, False])
def test_displacements_of_a_store_lead_as_it_says(leads_back: bool) -> None:
    warp = make_warp()
    names = ["acquisition", "reference"][:: -1 if leads_back else 1]
    fields = {"type": "displacements", "path": "field", "interpolation": "linear"}
    ends = dict(zip(("input", "output"), names, strict=True))
    read = {"field": (warp.whole, warp.nodes.first_um)}
    found, _ = read_transform(
        json.dumps(fields | ends), "mine", Beside(read.__getitem__)
    )
    (z, low_y, low_x), (_, high_y, high_x) = warp.nodes.corners_um[[0, -1]]
    inside = (z, low_y + 15, low_x + 15), (z, high_y - 15, high_x - 15)
    points = np.random.default_rng(1).uniform(*inside, (50, 3))
    mapped = found.pull_points(points) if leads_back else found.map_points(points)
    assert np.abs(mapped - warp.pull_points(points)).max() < 0.05


def test_splines_of_elastix_are_read() -> None:
    given = write_spline(2, 0.3 * draw_values(2))
    text = "\n".join(
        "({} {})".format(
            name, " ".join(v if v[0] in "-0123456789" else f'"{v}"' for v in values)
        )
        for name, values in given.items()
    )
    found, ndim = read_transform(text, "TransformParameters.1.txt")
    assert ndim == 2
    points = np.random.default_rng(1).uniform(0, 90, (50, 3))
    points[:, 0] = 0
    expected = BSpline.read(given).map_points(points)
    np.testing.assert_allclose(found.pull_points(points), expected, atol=0.03)
