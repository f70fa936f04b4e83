"""Transforms as JSON: the object that OME-NGFF RFC-5 (OME-Zarr 0.6) has for them.

Here, and only here, the frames meet: the package counts micrometres from the corner of
an image, RFC-5 from the centre of its first voxel.
"""

import json
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Self

import numpy as np

from fractal_tasks.errors import DisplacementsError, InvalidDataError
from fractal_tasks.transforms.affine import Affine
from fractal_tasks.transforms.base import (
    FloatArray,
    Transform,
    Vector,
    read_vector,
    to_vector,
)
from fractal_tasks.transforms.displacements import ReadDisplacements
from fractal_tasks.transforms.translation import Translation
from fractal_tasks.transforms.warp import Warp

TRANSFORM_TYPES: dict[str, type[Transform]] = {
    transform_type.type: transform_type for transform_type in (Translation, Affine)
}
"""Types that their JSON object tells all of. Name a new one here: storage and its
contract tests follow."""

_FURTHER_TYPES = ("bijection", "identity", "rotation", "scale", "sequence")
"""Types of RFC-5 that are read as one of those above, or as a `Warp`."""

_SYSTEMS = {"input": {"name": "acquisition"}, "output": {"name": "reference"}}


@dataclass(frozen=True)
class PixelSizes:
    """Level-0 pixels of both images in um (z, y, x): where their first centres lie."""

    moving_um: Vector
    fixed_um: Vector

    @classmethod
    def same(cls, spacing_um: Vector) -> Self:
        """Give those of two images with the same pixels."""
        return cls(spacing_um, spacing_um)

    def matter_for(self, transform: Transform) -> bool:
        """Whether the transform is another one from centre to centre."""
        return self.to_centres(transform) != transform

    def to_fields(self, transform: Transform) -> dict[str, Any]:
        """Give the JSON object of a transform between corners.

        Example:
            >>> PixelSizes.same((1.0, 0.5, 0.5)).to_fields(Translation((0.0, 1.5, -2)))
            ... # doctest: +NORMALIZE_WHITESPACE
            {'type': 'translation', 'translation': [0.0, 1.5, -2.0],
             'input': {'name': 'acquisition'}, 'output': {'name': 'reference'}}
        """
        return {**self.to_centres(transform).to_dict(), **_SYSTEMS}

    def from_fields(
        self, fields: object, displacements: ReadDisplacements | None = None
    ) -> Transform:
        """Read a transform between corners from the JSON object of RFC-5.

        Args:
            fields: The object.
            displacements: Reads those that it names; without, one that names any is
                refused.

        Raises:
            DisplacementsError: Those that it names cannot be read.
            InvalidDataError: It is not the object of a known transform, or of one that
                leads elsewhere than from acquisition to reference.
        """
        try:
            centred = _read(fields, displacements)
        except DisplacementsError:
            raise
        except (
            ArithmeticError,
            LookupError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as error:
            raise InvalidDataError(
                f"stored transform {fields!r} cannot be read ({error!r}); known types: "
                f"{sorted({*TRANSFORM_TYPES, *_FURTHER_TYPES})}. Run 'Calculate "
                "Registration (image-based)' again."
            ) from error
        return self.from_centres(centred)

    def to_json(self, transform: Transform) -> str:
        """Write a transform between corners as JSON text."""
        return json.dumps(self.to_fields(transform))

    def from_json(
        self, text: str, displacements: ReadDisplacements | None = None
    ) -> Transform:
        """Read a transform between corners from JSON text, as `from_fields`.

        Raises:
            InvalidDataError: The text is not JSON of a known transform.

        Example:
            >>> text = '{"type": "translation", "translation": [0, 1, 2]}'
            >>> PixelSizes.same((1.0, 0.5, 0.5)).from_json(text)
            Translation(translation_um=(0.0, 1.0, 2.0))
        """
        try:
            fields = json.loads(text)
        except (RecursionError, TypeError, ValueError):
            fields = text
        return self.from_fields(fields, displacements)

    def from_centres(self, transform: Transform) -> Transform:
        """Give a transform between centres of first voxels as one between corners."""
        return transform.in_frames(*self._first_centres_um())

    def to_centres(self, transform: Transform) -> Transform:
        """Give a transform between corners as one between centres of first voxels."""
        moving_um, fixed_um = self._first_centres_um()
        return transform.in_frames(-moving_um, -fixed_um)

    def _first_centres_um(self) -> tuple[FloatArray, FloatArray]:
        return np.divide(self.moving_um, 2), np.divide(self.fixed_um, 2)


def _read(fields: object, displacements: ReadDisplacements | None) -> Transform:
    others = dict(fields)  # type: ignore[call-overload]  # whatever JSON there is
    for end, system in _SYSTEMS.items():
        if others.get(end, system) != system:
            raise ValueError(f"it has not the {end} {system}")
    if others["type"] == Warp.type:
        return _read_warp(others["inverse"]["transformations"], displacements)
    return _read_part(others)


def _read_warp(
    parts: list[dict[str, Any]], displacements: ReadDisplacements | None
) -> Warp:
    """Read the way back, which is exact; the other one follows from it.

    Points are moved to where nodes are counted from, displaced, and moved on by an
    affine transform.
    """
    to_nodes, bent, affine = parts
    if displacements is None or bent["type"] != "displacements":
        raise TypeError(f"no displacements are at hand for {bent!r}")
    start = Translation.from_dict(to_nodes)
    origin_um = to_vector(np.negative(start.translation_um))
    placed = Affine.from_dict(affine).inverse()
    return Warp(
        placed.in_frames(np.zeros(3), origin_um),
        displacements(str(bent["path"])),
        origin_um,
    )


def _read_part(fields: dict[str, Any]) -> Transform:
    match fields["type"]:
        case "identity":
            return Translation((0.0, 0.0, 0.0))
        case "rotation":
            rows = list(map(read_vector, fields["rotation"]))
            return Affine.of(rows, np.zeros(3))
        case "scale":
            return Affine.of(np.diag(read_vector(fields["scale"])), np.zeros(3))
        case "sequence":
            parts = (_read_part(dict(part)) for part in fields["transformations"])
            return compose(*parts)
        case known:
            return TRANSFORM_TYPES[known].from_dict(fields)


def compose(*transforms: Transform) -> Transform:
    """Give the map of transforms, one after the other.

    With a `Warp` it is exact at the nodes of that, and linear in between.

    Raises:
        TypeError: A transform is none of linear ones and `Warp`.
    """
    return reduce(_after, transforms)


def _after(first: Transform, second: Transform) -> Transform:
    if isinstance(second, Translation):
        if isinstance(first, Translation):
            return Translation(to_vector(second.map_points([first.translation_um])[0]))
        if isinstance(first, Warp):
            return first.in_frames(np.zeros(3), second.translation_um)
    affine = find_affine(second).after(find_affine(first))
    if isinstance(second, Warp) and not isinstance(first, Warp):
        return replace(second, affine=affine)
    nodes = second.nodes if isinstance(second, Warp) else None
    if isinstance(first, Warp) and nodes is None:
        nodes = first.nodes.around(second.map_points)
    if nodes is None:
        return affine
    return Warp.sampled(
        lambda points: first.pull_points(second.pull_points(points)), affine, nodes
    )


def find_affine(transform: Transform) -> Affine:
    """Give a linear transform as an affine one, and of a `Warp` what is affine of it.

    Raises:
        TypeError: It is none of these.
    """
    return transform.affine if isinstance(transform, Warp) else to_affine(transform)


def to_affine(transform: Transform) -> Affine:
    """Give a linear transform as an affine one.

    Raises:
        TypeError: It is not linear.
    """
    if isinstance(transform, Translation):
        return Affine.of(np.eye(3), transform.translation_um)
    if isinstance(transform, Affine):
        return transform
    raise TypeError(f"a {transform.type!r} is not linear")
