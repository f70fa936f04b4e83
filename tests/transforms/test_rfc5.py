"""RFC-5 is read as it is meant: what the conformance cases of its authors lack.

Those are planes, in the syntax of older drafts, without arrays: tests/interop.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fractal_tasks.transforms import Displacements, Vector
from fractal_tasks.transforms.foreign import read_transform
from fractal_tasks.transforms.rfc5 import Beside
from tests.interop.map_points import map_points


def write_scene(
    folder: Path, transforms: list[dict[str, Any]], **axes: str
) -> tuple[Path, list[str]]:
    """Write a scene in the final syntax, with the axes of its coordinate systems."""
    names = [*axes]
    systems = [
        {"name": name, "axes": [describe_axis(axis) for axis in of]}
        for name, of in axes.items()
    ]
    edges = [
        {**fields, "input": {"name": start}, "output": {"name": end}}
        for fields, start, end in zip(transforms, names, names[1:], strict=False)
    ]
    ome = {
        "version": "0.6",
        "scene": {"coordinateSystems": systems, "coordinateTransformations": edges},
    }
    document = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}
    (folder / "zarr.json").write_text(json.dumps(document))
    return folder, names


def describe_axis(name: str) -> dict[str, str]:
    if name == "c":
        return {"name": "c", "type": "channel"}
    return {"name": name, "type": "space", "unit": "micrometer"}


COS, SIN = math.cos(0.3), math.sin(0.3)
AFFINE = [[1.1, 0.0, 0.2, 3.0], [0.0, COS, -SIN, -4.0], [0.1, SIN, COS, 5.0]]
POINT = np.array([2.0, 7.0, -3.0])

SPATIAL: dict[str, tuple[dict[str, Any], np.ndarray]] = {
    "affine": (
        {"type": "affine", "affine": AFFINE},
        np.array(AFFINE) @ [*POINT, 1.0],
    ),
    "rotation": (
        {"type": "rotation", "rotation": [[1, 0, 0], [0, COS, -SIN], [0, SIN, COS]]},
        np.array([2.0, 7 * COS + 3 * SIN, 7 * SIN - 3 * COS]),
    ),
    "mapAxis, a cycle": (
        {"type": "mapAxis", "mapAxis": [1, 2, 0]},
        np.array([7.0, -3.0, 2.0]),
    ),
    "byDimension": (
        {
            "type": "byDimension",
            "transformations": [
                {
                    "transformation": {"type": "translation", "translation": [5, 6]},
                    "inputAxes": [2, 0],
                    "outputAxes": [0, 2],
                },
                {
                    "transformation": {"type": "scale", "scale": [3]},
                    "inputAxes": [1],
                    "outputAxes": [1],
                },
            ],
        },
        np.array([2.0, 21.0, 8.0]),
    ),
    "nested sequence": (
        {
            "type": "sequence",
            "transformations": [
                {"type": "scale", "scale": [1, 2, 3]},
                {
                    "type": "sequence",
                    "transformations": [
                        {"type": "translation", "translation": [1, 1, 1]},
                        {"type": "mapAxis", "mapAxis": [0, 2, 1]},
                    ],
                },
            ],
        },
        np.array([3.0, -8.0, 15.0]),
    ),
    "bijection": (
        {
            "type": "bijection",
            "forward": {"type": "scale", "scale": [1, 2, 4]},
            "inverse": {"type": "scale", "scale": [1, 0.5, 0.25]},
        },
        np.array([2.0, 14.0, -12.0]),
    ),
}


@pytest.mark.parametrize("name", SPATIAL)
def test_stacks_are_mapped_and_back(tmp_path: Path, name: str) -> None:
    fields, expected = SPATIAL[name]
    folder, (start, end) = write_scene(tmp_path, [fields], first="zyx", second="zyx")
    assert map_points(folder, start, end, [POINT.tolist()])[0] == pytest.approx(
        expected
    )
    back = map_points(folder, end, start, [expected.tolist()])[0]
    assert back == pytest.approx(POINT)


def test_channels_are_projected_away(tmp_path: Path) -> None:
    """Each step is of other axes; in space there is a way back."""
    steps = [
        {
            "type": "affine",
            "affine": [[1, 0, 0, 0, 0], *([0, *row] for row in AFFINE)],
        },
        {"type": "projectAxis", "droppedInputs": [0]},
    ]
    folder, _ = write_scene(tmp_path, steps, image="czyx", same="czyx", space="zyx")
    mapped = map_points(folder, "image", "space", [POINT.tolist()])[0]
    assert mapped == pytest.approx(np.array(AFFINE) @ [*POINT, 1.0])


def test_axis_of_space_that_is_lost_has_no_way_back(tmp_path: Path) -> None:
    steps = [{"type": "projectAxis", "droppedInputs": [0]}]
    folder, _ = write_scene(tmp_path, steps, stack="zyx", plane="yx")
    with pytest.raises(ValueError, match="drops the axis 'z'"):
        map_points(folder, "stack", "plane", [POINT.tolist()])
    with pytest.raises(ValueError, match="no way back"):
        map_points(folder, "plane", "stack", [POINT[1:].tolist()])
    created = [{"type": "projectAxis", "createdOutputs": [0]}]
    folder, _ = write_scene(tmp_path, created, plane="yx", stack="zyx")
    with pytest.raises(ValueError, match="onto a plane"):
        map_points(folder, "plane", "stack", [POINT[1:].tolist()])


def test_displacements_between_linear_steps_are_read() -> None:
    values = np.zeros((3, 1, 9, 9), np.float32)
    values[1], values[2] = 1.5, np.arange(9) / 16
    field = Displacements(values, (1.0, 4.0, 4.0))
    fields = {
        "type": "sequence",
        "transformations": [
            {"type": "translation", "translation": [0, 2, 3]},
            {"type": "displacements", "path": "field", "interpolation": "linear"},
            {"type": "scale", "scale": [1, 2, 2]},
        ],
        "input": {"name": "reference"},
        "output": {"name": "acquisition"},
    }
    beside = Beside(lambda _: (field, (0.0, 0.0, 0.0)))
    found, _ = read_transform(json.dumps(fields), "mine", beside)
    # Of a place, x 9 after the first step: between its nodes 2 and 3.
    (pulled,) = found.pull_points([(0.0, 8.0, 6.0)])
    assert pulled == pytest.approx((0.0, 2 * 11.5, 2 * (9 + 9 / 64)))
    assert found.map_points([pulled])[0] == pytest.approx((0.0, 8.0, 6.0))


def join(*edges: tuple[str, str], **more: Any) -> str:
    """Give a scene of identities, in the syntax of older drafts."""
    axes = [describe_axis(axis) for axis in "yx"]
    names = dict.fromkeys(name for edge in edges for name in edge)
    listed = [{"type": "identity", "input": a, "output": b} for a, b in edges]
    scene = {
        "coordinateSystems": [{"name": name, "axes": axes} for name in names],
        "coordinateTransformations": listed,
    }
    return json.dumps({"attributes": {"ome": {"scene": scene | more}}})


@pytest.mark.parametrize(
    ("edges", "reason"),
    [
        (
            [("acquisition", "a"), ("b", "reference")],
            "nothing leads from 'acquisition'",
        ),
        (
            [("acquisition", "a"), ("a", "reference"), ("reference", "acquisition")],
            "in a circle: 'reference' and 'acquisition'",
        ),
        ([("acquisition", "reference")] * 2, "in a circle"),
        ([("acquisition", "acquisition")], "in a circle"),
        ([("acquisition", "a")], "is called, 'reference'"),
    ],
    ids=["no way", "circle", "twice", "to itself", "no reference"],
)
def test_scene_without_one_way_is_refused(
    edges: list[tuple[str, str]], reason: str
) -> None:
    with pytest.raises(ValueError, match=f"mine.*{reason}"):
        read_transform(join(*edges), "mine")


def describe_image(
    *placed: dict[str, Any], transforms: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """Give what OME-Zarr says of an image with channels."""
    axes = [describe_axis(axis) for axis in "czyx"]
    steps = {"type": "sequence", "transformations": list(placed)}
    ends = {"input": {"path": "0"}, "output": {"name": "physical"}}
    return {
        "multiscales": [
            {
                "coordinateSystems": [
                    {"name": name, "axes": axes} for name in ("physical", "stage")
                ],
                "coordinateTransformations": list(transforms),
                "datasets": [{"coordinateTransformations": [steps | ends]}],
            }
        ]
    }


SCALE = {"type": "scale", "scale": [1, 1, 0.5, 0.5]}
BY_NAME = (("acquisition", "1"), ("reference", "0"))


def join_images(name: str) -> str:
    move = {"type": "translation", "translation": [0, 1, 2, 3]}
    ends = {
        "input": {"path": "images/1", "name": name},
        "output": {"path": "images/0", "name": "physical"},
    }
    return join(coordinateTransformations=[move | ends])


def test_scene_of_images_is_read_by_their_paths() -> None:
    """Of the images of a well the last part of the path tells which is which."""
    beside = Beside(read_group=lambda _: describe_image(SCALE), ends=BY_NAME)
    found, _ = read_transform(join_images("physical"), "mine", beside)
    assert found.displacement_at((0, 0, 0)) == (1.0, 2.0, 3.0)
    with pytest.raises(ValueError, match="'images/0'"):
        read_transform(join_images("physical"), "mine")
    other = join_images("physical").replace("images/1", "images/7")
    with pytest.raises(ValueError, match=r"found .*needed is one.*'1'"):
        read_transform(other, "mine", beside)


def test_images_that_begin_elsewhere_are_counted_from_their_first_voxel() -> None:
    images = {
        "images/1": [SCALE, {"type": "translation", "translation": [0, 0, 10, 0]}],
        "images/0": [{"type": "translation", "translation": [0, 0, 0, 4]}, SCALE],
    }
    beside = Beside(read_group=lambda path: describe_image(*images[path]), ends=BY_NAME)
    found, _ = read_transform(join_images("physical"), "mine", beside)
    # From 0 to 10, moved by 2; 3 is 1 after 2, where the other one begins.
    assert found.displacement_at((0, 0, 0)) == (1.0, 12.0, 1.0)


def test_systems_within_an_image_are_joined() -> None:
    """The scene may begin at another system of an image than that of its voxels."""
    inner = {
        "type": "displacements",
        "path": "coordinateTransformations/field",
        "input": {"name": "stage"},
        "output": {"name": "physical"},
    }
    move = {"type": "translation", "translation": [0, 5, 6, 7]}
    ends = {"input": {"name": "physical"}, "output": {"name": "stage"}}
    image = describe_image(SCALE, transforms=[move | ends])
    beside = Beside(
        read_group=lambda path: image if path.endswith("1") else describe_image(SCALE),
        ends=BY_NAME,
    )
    found, _ = read_transform(join_images("stage"), "mine", beside)
    assert found.displacement_at((0, 0, 0)) == (6.0, 8.0, 10.0)
    paths = []

    def read_field(path: str) -> tuple[Displacements, Vector]:
        paths.append(path)
        field = Displacements(np.ones((3, 1, 1, 1), np.float32), (1.0, 1.0, 1.0))
        return field, (0.0, 0.0, 0.0)

    edge = {"input": {"path": "images/1", "name": "stage"}, "output": {"name": "r"}}
    axes = [describe_axis(axis) for axis in "zyx"]
    image["multiscales"][0]["coordinateTransformations"] = [inner]
    image["multiscales"][0]["coordinateSystems"] = [
        {"name": name, "axes": axes} for name in ("physical", "stage")
    ]
    placed = image["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]
    placed["transformations"] = [{"type": "identity"}]
    text = join(
        coordinateTransformations=[{"type": "identity"} | edge],
        coordinateSystems=[{"name": "r", "axes": axes}],
    )
    beside = Beside(read_field, lambda _: image, (("1",), ("r",)))
    found, _ = read_transform(text, "mine", beside)
    assert paths == ["images/1/coordinateTransformations/field"]
    assert found.displacement_at((0, 0, 0)) == pytest.approx((-1.0, -1.0, -1.0))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"micrometer"', '"millimeter"', "millimeter"),
        ('"name": "y"', '"name": "v"', "'v', 'x'"),
        ('"identity"', '"spiral"', "'spiral'"),
        ('"identity"', '"scale", "scale": [1, 2, 3]', "3 axes; needed are 2"),
        ('"identity"', '"translation", "translation": [1, NaN]', "not finite"),
        ('"identity"', '"displacements", "path": "x"', "displacements"),
        ('"identity"', '"affine", "affine": [[1, 1, 0], [1, 1, 0]]', "singular"),
        ('"identity"', '"scale", "scale": [1, 1e999]', "not finite"),
        ('"identity"', f'"scale", "scale": [1, 1{"0" * 400}]', "too large"),
        ('"identity"', '"scale", "scale": "12"', "its scale is '12'"),
        ('"identity"', '"mapAxis", "mapAxis": [0, 0]', "each axis once"),
        ('"identity"', '"mapAxis", "mapAxis": [-1, 0]', "each axis once"),
        ('"identity"', '"projectAxis", "droppedInputs": [7]', "out of bounds"),
        ('"identity"', '"byDimension", "transformations": [7]', "attribute"),
        ('"identity"', '"sequence", "transformations": [7]', "subscriptable"),
        ('"identity"', '["identity"]', "not known"),
        ('"identity"', '"coordinates", "path": "x"', "'coordinates'"),
        ('"identity"', '"affine", "path": "x"', "no 'affine'"),
    ],
)
def test_scene_that_cannot_be_read_is_named(old: str, new: str, reason: str) -> None:
    text = join(("acquisition", "reference"))
    assert old in text
    with pytest.raises(ValueError, match=f"mine.*{reason}"):
        read_transform(text.replace(old, new), "mine")
