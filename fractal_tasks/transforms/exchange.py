"""Transforms as other software reads them.

All lead from centre to centre of first voxels, in micrometres, as RFC-5 and ITK do.
"""

import json
from typing import Any

import numpy as np

from fractal_tasks.transforms.base import Transform
from fractal_tasks.transforms.itk import COMPOSITE, list_itk_parts
from fractal_tasks.transforms.registry import PixelSizes, to_affine
from fractal_tasks.transforms.translation import Translation
from fractal_tasks.transforms.warp import Warp

FIELD = "coordinateTransformations/field"
"""Where the displacements of a store lie, if its transform bends."""

_VERSION = "0.6"
_AXES = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"]


def to_matrix(transform: Transform, pixels: PixelSizes) -> str:
    """Give the matrix, acquisition to reference, as text of four rows.

    napari takes it as `affine` of the acquisition's layer, if both have `scale`.

    Args:
        transform: Between corners; a linear one.
        pixels: Those of both images.

    Raises:
        TypeError: The transform is not linear.

    Example:
        >>> from fractal_tasks.transforms import Translation
        >>> pixels = PixelSizes.same((1.0, 0.5, 0.5))
        >>> print(to_matrix(Translation((0.0, 1.5, -2.0)), pixels), end="")
        # acquisition to reference; z, y, x in um from the centre of the first voxel
        1.0 0.0 0.0 0.0
        0.0 1.0 0.0 1.5
        0.0 0.0 1.0 -2.0
        0.0 0.0 0.0 1.0
    """
    affine = to_affine(pixels.to_centres(transform))
    rows = [
        *(
            [*row, last]
            for row, last in zip(affine.matrix, affine.offset_um, strict=True)
        ),
        [0.0, 0.0, 0.0, 1.0],
    ]
    lines = [" ".join(map(repr, np.array(row, dtype=float).tolist())) for row in rows]
    where = "z, y, x in um from the centre of the first voxel"
    return "\n".join([f"# acquisition to reference; {where}", *lines, ""])


def to_itk(transform: Transform, pixels: PixelSizes, *, ndim: int) -> str:
    """Give the text of an ITK transform file, reference to acquisition, x, y, z.

    Images need their pixel sizes in micrometres as spacing, and the origin 0.

    Args:
        transform: Between corners.
        pixels: Those of both images.
        ndim: Of the images, 2 or 3.

    Raises:
        TypeError: The transform is neither linear nor a `Warp`.

    Example:
        >>> from fractal_tasks.transforms import Translation
        >>> pixels = PixelSizes.same((1.0, 0.5, 0.5))
        >>> print(to_itk(Translation((0.0, 1.5, -2.0)), pixels, ndim=2), end="")
        #Insight Transform File V1.0
        #Transform 0
        Transform: AffineTransform_double_2_2
        Parameters: 1.0 0.0 0.0 1.0 2.0 -1.5
        FixedParameters: 0.0 0.0
    """
    lines = ["#Insight Transform File V1.0"]
    for number, part in enumerate(list_itk_parts(transform, pixels, ndim)):
        lines += [f"#Transform {number}", f"Transform: {part.name}"]
        if part.kind != COMPOSITE:
            lines += [
                f"{key}: {' '.join(map(repr, values.tolist()))}"
                for key, values in (
                    ("Parameters", part.parameters),
                    ("FixedParameters", part.fixed),
                )
            ]
    return "\n".join([*lines, ""])


def to_store(
    transform: Transform, pixels: PixelSizes, provenance: dict[str, Any]
) -> str:
    """Give the `zarr.json` of an OME-Zarr 0.6 transformation store.

    It leads from the reference to the acquisition, as who resamples needs it.

    Args:
        transform: Between corners. What bends needs `Warp.whole` at `FIELD`, too.
        pixels: Those of both images.
        provenance: What is said beside it, under ``fractal_tasks``.

    Raises:
        TypeError: The transform is neither linear nor a `Warp`.
    """
    return _write_group(_describe(transform, pixels), provenance)


def to_scene(
    transform: Transform, pixels: PixelSizes, provenance: dict[str, Any]
) -> str:
    """Give the `zarr.json` of an OME-Zarr 0.6 scene of two coordinate systems.

    It holds what `to_store` does, and raises the same.
    """
    return _write_group({"scene": _describe(transform, pixels)}, provenance)


def _describe(transform: Transform, pixels: PixelSizes) -> dict[str, Any]:
    """Give two coordinate systems, and what leads from one to the other."""
    centred = pixels.to_centres(transform)
    if isinstance(centred, Warp):
        fields = {"type": "displacements", "path": FIELD, "interpolation": "linear"}
    else:
        linear = centred if isinstance(centred, Translation) else to_affine(centred)
        fields = linear.inverse().to_dict()
    return {
        "coordinateSystems": [
            {"name": name, "axes": _AXES} for name in ("reference", "acquisition")
        ],
        "coordinateTransformations": [
            {
                **fields,
                "name": "reference to acquisition",
                "input": {"name": "reference"},
                "output": {"name": "acquisition"},
            }
        ],
    }


def _write_group(described: dict[str, Any], provenance: dict[str, Any]) -> str:
    ome = {"version": _VERSION, **described}
    attributes = {"ome": ome, "fractal_tasks": provenance}
    document = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    return json.dumps(document, indent=2)
