"""Transforms from moving to fixed physical points, in micrometres, order z, y, x.

Pure code: no IO. The sign is defined here and nowhere else: a transform maps
*moving to fixed*, ``x_fixed = T(x_moving)``. In a task, fixed is the reference
and moving the acquisition, so ``x_reference = x_acquisition + translation``.

Coordinates are corner-based, as ROI tables are: voxel ``i`` of spacing ``s``
covers ``[i s, (i + 1) s)`` and its centre is at ``(i + 1/2) s``.
"""

from fractal_tasks.transforms.affine import Affine, plane_matrix
from fractal_tasks.transforms.base import FloatArray, Transform, Vector
from fractal_tasks.transforms.displacements import Displacements, ReadDisplacements
from fractal_tasks.transforms.registry import (
    TRANSFORM_TYPES,
    PixelSizes,
    compose,
    find_affine,
    to_affine,
)
from fractal_tasks.transforms.translation import Translation
from fractal_tasks.transforms.warp import Nodes, Warp

__all__ = [
    "TRANSFORM_TYPES",
    "Affine",
    "Displacements",
    "FloatArray",
    "Nodes",
    "PixelSizes",
    "ReadDisplacements",
    "Transform",
    "Translation",
    "Vector",
    "Warp",
    "compose",
    "find_affine",
    "plane_matrix",
    "to_affine",
]
