"""What other software writes is read as it means it."""

import json
import math

import numpy as np
import pytest

from fractal_tasks.transforms import Affine, PixelSizes, Translation, compose
from fractal_tasks.transforms.exchange import to_itk, to_matrix, to_store
from fractal_tasks.transforms.foreign import CENTRED, read_transform

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
    with pytest.raises(ValueError, match=f"mine: it holds no linear.*{reason}"):
        read_transform(text, "mine")
