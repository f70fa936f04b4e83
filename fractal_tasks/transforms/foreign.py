"""Transforms as other software writes them.

As `exchange`, all lead from centre to centre of first voxels, in micrometres.
"""

import json
from typing import Any

import numpy as np

from fractal_tasks.transforms.affine import Affine
from fractal_tasks.transforms.base import Transform
from fractal_tasks.transforms.bspline import BSPLINES, BSpline, read_bent_maps
from fractal_tasks.transforms.elastix import read_elastix_maps
from fractal_tasks.transforms.elastix_text import (
    ElastixMap,
    parse_elastix_text,
    read_text,
)
from fractal_tasks.transforms.itk import parse_itk_text, read_itk_parts
from fractal_tasks.transforms.registry import PixelSizes
from fractal_tasks.transforms.rfc5 import ALONE, Beside, read_single
from fractal_tasks.transforms.scene import read_scene

CENTRED = PixelSizes.same((0.0, 0.0, 0.0))
"""Of transforms that stay between centres."""

_ITK_BEGIN = "#Insight Transform File"

_EXACT_PART = 1e-3
"""How exact B-splines are read, as a part of the distance of their control points."""

_INITIAL = (
    "InitialTransformParameterFileName",
    "InitialTransformParametersFileName",  # before elastix 5.1
)
_NONE = "NoInitialTransform"


def read_transform(
    text: str, name: str, beside: Beside = ALONE
) -> tuple[Transform, int]:
    """Read a transform from the text of a file, whatever software wrote it.

    Four kinds are told apart by how they begin: transformation stores and scenes of
    OME-Zarr 0.6 (RFC-5 JSON), ITK transform files, transform parameters of elastix, and
    four rows of a 4 x 4 matrix. The last leads from acquisition to reference; ITK and
    elastix lead the other way, and RFC-5 says how it leads.

    Args:
        text: Content of the file.
        name: What the file is called in errors.
        beside: How to read what lies beside it, and what its ends may be called.

    Returns:
        The transform, acquisition to reference, between the centres of first voxels;
        and for how many axes it was written, 2 or 3.

    Raises:
        ValueError: It is none of these, or neither linear nor of displacements.

    Example:
        >>> shift = "1 0 0 0; 0 1 0 1.5; 0 0 1 -2; 0 0 0 1".replace(";", chr(10))
        >>> read_transform(shift, "shift.txt")[0].displacement_at((0, 0, 0))
        (0.0, 1.5, -2.0)
    """
    begin = text.lstrip()
    try:
        if begin.startswith("{"):
            return _read_rfc5(json.loads(text), beside), 3
        if begin.startswith(_ITK_BEGIN):
            return read_itk_parts(parse_itk_text(text))
        if begin.startswith(("(", "//")):
            return _read_elastix(text, name)
        return _read_matrix(text), 3
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(
            f"{name}: it holds no transform that can be read: {reason}"
        ) from error


def _read_rfc5(
    document: Any,  # noqa: ANN401 - whatever JSON there is
    beside: Beside,
) -> Transform:
    """Read the `zarr.json` of a store or a scene, or the JSON object of a transform."""
    if "attributes" not in document:
        return read_single(document, (), beside)
    ome = document["attributes"]["ome"]
    if "scene" in ome:
        return read_scene(ome["scene"], beside)
    found = ome["coordinateTransformations"]
    if len(found) != 1:
        raise ValueError(f"it holds {len(found)} transforms; one is needed")
    return read_single(found[0], ome.get("coordinateSystems", ()), beside)


def _read_elastix(text: str, name: str) -> tuple[Transform, int]:
    parameters: ElastixMap = parse_elastix_text(text, name)
    for key in _INITIAL:
        initial = parameters.get(key, (_NONE,))[0]
        if initial not in {_NONE, ""}:
            raise ValueError(
                f"it goes on from {initial!r}: compose the two with 'fractal-tasks "
                f"transforms compose', this one first, once {key} is {_NONE!r}"
            )
    ndim = int(parameters["FixedImageDimension"][0])
    # Alone it is combined with nothing.
    alone = {**parameters, "HowToCombineTransforms": ("Compose",)}
    if read_text(alone, "Transform") not in BSPLINES:
        return read_elastix_maps([alone]), ndim
    spline = BSpline.read(alone)
    exact_um = _EXACT_PART * float(spline.step_um.min())
    return read_bent_maps([alone], spline.region_um, exact_um), ndim


def _read_matrix(text: str) -> Transform:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    values = np.array([float(word) for line in lines for word in line.split()])
    if values.size != 16 or not np.array_equal(values[12:], (0, 0, 0, 1)):
        raise ValueError(
            f"found {values.size} numbers; needed are four rows of four, the last 0 0 "
            "0 1"
        )
    rows = values.reshape(4, 4)[:3]
    return Affine.of(rows[:, :3], rows[:, 3])
