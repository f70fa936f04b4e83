"""Transforms as elastix writes them.

A transform parameter map is a dictionary of texts. It leads from a point of the fixed
image to the moving one (x, y, z), about a centre: ``M (x - c) + c + t``. Further maps
follow on what the first ones gave.
"""

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import TypeAlias

import numpy as np

from fractal_tasks.transforms.affine import Affine
from fractal_tasks.transforms.base import FloatArray
from fractal_tasks.transforms.elastix_text import (
    ElastixMap,
    check_composed,
    read_text,
)

_Linear: TypeAlias = tuple[FloatArray, FloatArray]
"""A matrix and a translation, x, y, z."""


def read_elastix_maps(maps: Sequence[ElastixMap]) -> Affine:
    """Read transform parameter maps, each applied after those before.

    Args:
        maps: Of linear transforms, all 2D or all 3D.

    Returns:
        The transform of moving points to fixed ones, of the same physical space.

    Raises:
        ValueError: A transform is not linear, or a map says not all that is needed.

    Example:
        >>> shift = {
        ...     "Transform": ["TranslationTransform"],
        ...     "FixedImageDimension": ["2"],
        ...     "TransformParameters": ["3.0", "-2.0"],
        ... }
        >>> read_elastix_maps([shift]).offset_um
        (0.0, 2.0, -3.0)
    """
    if not maps:
        raise ValueError("there is no transform parameter map")
    return reduce(
        lambda first, then: then.after(first), map(read_linear_map, maps)
    ).inverse()


def write_elastix_map(transform: Affine, *, ndim: int) -> dict[str, tuple[str, ...]]:
    """Write a transform of moving points to fixed ones as a transform parameter map.

    Args:
        transform: Of the physical space of both images.
        ndim: Of the images, 2 or 3.

    Example:
        >>> shift = Affine.of(np.eye(3), (0.0, 2.0, -3.0))
        >>> write_elastix_map(shift, ndim=2)["TransformParameters"]
        ('1.0', '0.0', '0.0', '1.0', '3.0', '-2.0')
    """
    values = transform.inverse().list_xyz(ndim)
    return {
        "Transform": ("AffineTransform",),
        "NumberOfParameters": (str(len(values)),),
        "TransformParameters": tuple(map(repr, values)),
        "CenterOfRotationPoint": ("0.0",) * ndim,
        "InitialTransformParameterFileName": ("NoInitialTransform",),
        "HowToCombineTransforms": ("Compose",),
        "FixedImageDimension": (str(ndim),),
        "MovingImageDimension": (str(ndim),),
    }


def read_linear_map(parameters: ElastixMap) -> Affine:
    """Read one map, fixed to moving."""
    kind = read_text(parameters, "Transform")
    read = _READERS.get(kind)
    if read is None:
        raise ValueError(
            f"its Transform is {kind}, and only {', '.join(sorted(_READERS))} are "
            "linear"
        )
    check_composed(parameters)
    ndim = int(read_text(parameters, "FixedImageDimension"))
    values = np.array([float(text) for text in parameters["TransformParameters"]])
    try:
        matrix, translation = read(values, ndim, parameters)
    except (IndexError, ValueError) as error:
        raise ValueError(
            f"its TransformParameters are {values.size} numbers, which is no {kind} in "
            f"{ndim}D"
        ) from error
    centre = np.array(
        [float(v) for v in parameters.get("CenterOfRotationPoint", ["0"] * ndim)]
    )
    offset = centre - matrix @ centre + translation
    full, moved = np.eye(3), np.zeros(3)
    full[-ndim:, -ndim:], moved[-ndim:] = matrix[::-1, ::-1], offset[::-1]
    return Affine.of(full, moved)


def _translation(values: FloatArray, ndim: int, _: ElastixMap) -> _Linear:
    return np.eye(ndim), values.reshape(ndim)


def _affine(values: FloatArray, ndim: int, _: ElastixMap) -> _Linear:
    rows = values.reshape(ndim + 1, ndim)
    return rows[:ndim], rows[ndim]


# Turns in space are read seldom, and what turns them takes long to import.
def _euler(values: FloatArray, ndim: int, parameters: ElastixMap) -> _Linear:
    if ndim == 2:
        return _turn(values[0]), values[1:].reshape(2)
    from scipy.spatial.transform import Rotation

    x, y, z = values[:3]
    # The order in which the axes are turned about, first to last, axes staying fixed.
    is_zyx = read_text(parameters, "ComputeZYX", "false") == "true"
    order, angles = ("xyz", (x, y, z)) if is_zyx else ("yxz", (y, x, z))
    return Rotation.from_euler(order, angles).as_matrix(), values[3:].reshape(3)


def _similarity(values: FloatArray, ndim: int, _: ElastixMap) -> _Linear:
    if ndim == 2:
        return values[0] * _turn(values[1]), values[2:].reshape(2)
    from scipy.spatial.transform import Rotation

    versor, move, scale = values[:3], values[3:6], values[6:].item()
    # A versor is the vector part of a unit quaternion.
    last = math.sqrt(max(0.0, 1 - float(versor @ versor)))
    return scale * Rotation.from_quat([*versor, last]).as_matrix(), move.reshape(3)


def _turn(angle: float) -> FloatArray:
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])


_READERS: dict[str, Callable[[FloatArray, int, ElastixMap], _Linear]] = {
    "TranslationTransform": _translation,
    "EulerTransform": _euler,
    "SimilarityTransform": _similarity,
    "AffineTransform": _affine,
}
