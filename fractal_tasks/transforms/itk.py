"""Transforms as ITK lists them, in text and in HDF5: x first, reference to acquisition.

That is how ITK resamples: for each point of the fixed image it asks for the moving one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fractal_tasks.transforms.affine import Affine
from fractal_tasks.transforms.base import FloatArray, Transform, to_vector
from fractal_tasks.transforms.displacements import Displacements
from fractal_tasks.transforms.elastix import read_elastix_maps
from fractal_tasks.transforms.registry import PixelSizes, compose, find_affine
from fractal_tasks.transforms.warp import Warp

COMPOSITE = "CompositeTransform"
"""What is listed before the parts of a composite transform."""

_BEGIN = "#Transform"

_NAMES = {
    "TranslationTransform": "TranslationTransform",
    "AffineTransform": "AffineTransform",
    "MatrixOffsetTransformBase": "AffineTransform",
    "Euler2DTransform": "EulerTransform",
    "Euler3DTransform": "EulerTransform",
    "Similarity2DTransform": "SimilarityTransform",
    "Similarity3DTransform": "SimilarityTransform",
    "VersorRigid3DTransform": "SimilarityTransform",
}
"""What elastix calls the transforms of ITK with the same parameters."""

_FIELD = "DisplacementFieldTransform"

_STILL = Affine.of(np.eye(3), np.zeros(3))


@dataclass(frozen=True, eq=False)
class ItkPart:
    """One transform of a file; of a composite one the last is applied first."""

    name: str
    """As ITK has it: `AffineTransform_double_3_3`."""

    parameters: FloatArray
    fixed: FloatArray

    @property
    def kind(self) -> str:
        """The name without type of numbers and axes."""
        return self.name.split("_")[0]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return int(self.name.split("_")[-1])


def list_itk_parts(
    transform: Transform, pixels: PixelSizes, ndim: int
) -> list[ItkPart]:
    """Give a transform as ITK lists it, in a composite one if it bends.

    Args:
        transform: Between corners.
        pixels: Those of both images.
        ndim: Of the images, 2 or 3.

    Raises:
        TypeError: The transform is neither linear nor a `Warp`.
    """
    centred = pixels.to_centres(transform)
    values = np.array(find_affine(centred).inverse().list_xyz(ndim))
    end = f"_double_{ndim}_{ndim}"
    linear = ItkPart(f"AffineTransform{end}", values, np.zeros(ndim))
    if not isinstance(centred, Warp):
        return [linear]
    nodes = centred.nodes
    lattice = [nodes.shape, nodes.first_um, nodes.step_um]
    fixed = [np.array(one, dtype=float)[::-1][:ndim] for one in lattice]
    bend = ItkPart(
        f"{_FIELD}{end}",
        list_vectors(centred.field, ndim).ravel().astype(np.float64),
        np.concatenate([*fixed, np.eye(ndim).ravel()]),
    )
    return [ItkPart(f"{COMPOSITE}{end}", np.empty(0), np.empty(0)), linear, bend]


def list_vectors(field: Displacements, ndim: int) -> npt.NDArray[np.float32]:
    """Give displacements with components x first, shape ``(z, y, x, ndim)``."""
    return np.moveaxis(field.values_um[::-1][:ndim], 0, -1)


def place_vectors(
    vectors: FloatArray, first_um: npt.ArrayLike, step_um: npt.ArrayLike
) -> Warp:
    """Give the map that adds displacements to points of the reference.

    Args:
        vectors: Shape ``(z, y, x, 3)`` or ``(y, x, 2)``, components x first.
        first_um: Where the first node lies, in the order of the array.
        step_um: Distances of nodes, in the order of the array.
    """
    ndim = vectors.shape[-1]
    values = np.zeros((3, *(1,) * (3 - ndim), *vectors.shape[:-1]), np.float32)
    components = np.moveaxis(vectors[..., ::-1], -1, 0)
    values[3 - ndim :] = components.reshape(ndim, *values.shape[1:])
    first, step = np.zeros(3), np.ones(3)
    first[3 - ndim :], step[3 - ndim :] = first_um, step_um
    return Warp(_STILL, Displacements(values, to_vector(step)), to_vector(first))


def parse_itk_text(text: str) -> list[ItkPart]:
    """Read what a transform file of ITK lists.

    Raises:
        LookupError: A part is missing.
        ValueError: What should be a number is none.
    """
    maps: list[dict[str, list[str]]] = []
    for line in text.splitlines()[1:]:
        if line.startswith(_BEGIN):
            maps.append({})
        elif ":" in line and maps:
            key, _, values = line.partition(":")
            maps[-1][key.strip()] = values.split()
    return [
        ItkPart(
            one["Transform"][0],
            np.array(one.get("Parameters", ()), dtype=np.float64),
            np.array(one.get("FixedParameters", ()), dtype=np.float64),
        )
        for one in maps
    ]


def read_itk_parts(parts: Sequence[ItkPart]) -> tuple[Transform, int]:
    """Read the transform that is listed.

    Returns:
        The transform, acquisition to reference, between the centres of first voxels;
        and its number of axes.

    Raises:
        ValueError: A part is missing, or neither linear nor of displacements.
    """
    used = [part for part in parts[::-1] if part.kind != COMPOSITE]
    if not used:
        raise ValueError("it lists no transform")
    found = [
        _read_field(part)
        if part.kind == _FIELD
        else read_elastix_maps([_as_elastix(part)])
        for part in used
    ]
    # Each leads to where the next one begins.
    return compose(*found[::-1]), used[0].ndim


def _read_field(part: ItkPart) -> Warp:
    """Read displacements, x first and fastest."""
    ndim = part.ndim
    size, origin, step = part.fixed[: 3 * ndim].reshape(3, ndim)[:, ::-1]
    if not np.array_equal(part.fixed[3 * ndim :], np.eye(ndim).ravel()):
        raise ValueError("its displacements lie along other axes than the image")
    shape = size.astype(int)
    if part.parameters.size != shape.prod() * ndim:
        raise ValueError(
            f"found {part.parameters.size} displacements; needed are {ndim} for each "
            f"of {' x '.join(map(str, shape))} places"
        )
    return place_vectors(part.parameters.reshape(*shape, ndim), origin, step)


def _as_elastix(part: ItkPart) -> dict[str, list[str]]:
    """Write a linear transform of ITK as elastix would."""
    known = _NAMES.get(part.kind)
    if known is None:
        names = ", ".join(sorted(_NAMES))
        raise ValueError(f"its Transform is {part.kind}; one of {names} is needed")
    parameters, fixed = part.parameters.tolist(), part.fixed.tolist()
    if part.kind == "VersorRigid3DTransform":
        parameters = [*parameters, 1.0]
    # The fourth tells the order of axes.
    is_zyx = len(fixed) > 3 and fixed[3] != 0
    return {
        "Transform": [known],
        "FixedImageDimension": [str(part.ndim)],
        "TransformParameters": list(map(repr, parameters)),
        "CenterOfRotationPoint": list(
            map(repr, fixed[: part.ndim] or [0.0] * part.ndim)
        ),
        "ComputeZYX": ["true" if is_zyx else "false"],
    }
