"""Transforms as OME-NGFF RFC-5 (OME-Zarr 0.6) has them, of all kinds.

Older drafts are read, too: ends that are plain names, and parts of `byDimension` that
lie flat.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from fractal_tasks.transforms.affine import Affine
from fractal_tasks.transforms.base import FloatArray, Transform, Vector, to_vector
from fractal_tasks.transforms.displacements import Displacements
from fractal_tasks.transforms.registry import compose
from fractal_tasks.transforms.translation import Translation
from fractal_tasks.transforms.warp import Warp

_STILL = Affine.of(np.eye(3), np.zeros(3))

Ends: TypeAlias = tuple[Sequence[str], Sequence[str]]
"""Names of the acquisition and of the reference, of systems or images."""

ENDS: tuple[tuple[str], tuple[str]] = (("acquisition",), ("reference",))
"""What the two sides of a transform are called, if nothing else is known."""

ReadField: TypeAlias = Callable[[str], tuple[Displacements, Vector]]
"""Gives displacements under a path beside a file, and where their first node lies."""

ReadGroup: TypeAlias = Callable[[str], Mapping[str, Any]]
"""Gives what the attribute `ome` of an image under a path beside a file holds."""

Fields: TypeAlias = Mapping[str, Any]
System: TypeAlias = tuple[str, str]
"""A coordinate system: path of the image that it is of, or nothing; and its name."""

Step: TypeAlias = FloatArray | Warp
"""A matrix of shape (outputs + 1, inputs + 1), the last column a shift; or a bend."""

_SPACE = "zyx"
_UNITS = {None, "micrometer"}


@dataclass(frozen=True)
class Beside:
    """How to read what lies beside the JSON object."""

    read_field: ReadField | None = None
    read_group: ReadGroup | None = None
    ends: Ends = ENDS


ALONE = Beside()


def read_single(fields: Fields, systems: Sequence[Fields], beside: Beside) -> Transform:
    """Read a transform that leads from one end to the other, or says nothing of it."""
    names = [system_of(fields.get(end))[1] for end in ("input", "output")]
    first, last = beside.ends
    leads_back = names[0] in last and names[1] in first
    if any(names) and not leads_back and not (names[0] in first and names[1] in last):
        raise ValueError(
            f"it leads from {names[0]!r} to {names[1]!r}; needed are 'acquisition' and "
            "'reference', in either direction"
        )
    known = {one["name"]: axes_of(one) for one in systems}
    axes = [known.get(name, tuple(_SPACE)) for name in names]
    start, end = axes[::-1] if leads_back else axes
    steps = read_steps(fields, len(start), leads_back, beside.read_field)
    return join_steps(steps, start, end)


def system_of(end: object) -> System:
    """Name one end of a transform, which older drafts have as plain text."""
    if isinstance(end, Mapping):
        return str(end.get("path", "")), str(end.get("name", ""))
    return "", str(end or "")


def name_system(system: System) -> str:
    """Name a coordinate system as errors do."""
    path, name = system
    return f"{name!r} of {path!r}" if path else repr(name)


def axes_of(system: Fields) -> tuple[str, ...]:
    """Give the names of axes; those in space are z, y, x, in micrometres.

    Raises:
        ValueError: They are not.
    """
    axes = tuple(str(axis["name"]) for axis in system["axes"])
    space = [axis for axis in system["axes"] if axis.get("type", "space") == "space"]
    names = "".join(str(axis["name"]) for axis in space)
    if names not in {"zyx", "yx"}:
        raise ValueError(f"found the axes {list(axes)}; needed are y, x, or z, y, x")
    units = {axis.get("unit") for axis in space}
    if not units <= _UNITS:
        raise ValueError(
            f"found lengths in {sorted(map(str, units))}; needed is micrometer"
        )
    return axes


def count_axes(steps: Sequence[Step], n: int) -> int:
    """Give the number of axes after some steps."""
    return n if not steps or isinstance(steps[-1], Warp) else len(steps[-1]) - 1


def read_steps(
    fields: Fields, n: int, leads_back: bool, read_field: ReadField | None
) -> list[Step]:
    """Read what a transform does with points of `n` axes, one thing after the other."""
    match fields["type"]:
        case "sequence":
            steps: list[Step] = []
            parts = fields["transformations"]
            for part in parts[::-1] if leads_back else parts:
                steps += read_steps(part, n, leads_back, read_field)
                n = count_axes(steps, n)
            return steps
        case "bijection":
            way = fields["inverse" if leads_back else "forward"]
            return read_steps(way, n, False, read_field)
        case "displacements":
            if read_field is None or n not in {2, 3}:
                raise TypeError(f"no displacements along {n} axes are at hand")
            bent = Warp(_STILL, *read_field(fields["path"]))
            return [bent if leads_back else bent.inverse()]
    matrix = _read_matrix(fields, n, read_field)
    if matrix.shape[1] != n + 1:
        raise ValueError(
            f"its {fields['type']} has {matrix.shape[1] - 1} axes; needed are {n}"
        )
    if not np.isfinite(matrix).all():
        raise ValueError(f"a value of its {fields['type']} is not finite")
    if not leads_back:
        return [matrix]
    if matrix.shape[0] != n + 1:
        raise ValueError(f"there is no way back: its {fields['type']} drops axes")
    back: FloatArray = np.linalg.inv(matrix).astype(np.float64)
    return [back]


def _read_matrix(fields: Fields, n: int, read_field: ReadField | None) -> FloatArray:
    linear: FloatArray = np.eye(n)
    shift: FloatArray = np.zeros(())
    match fields["type"]:
        case "identity":
            pass
        case "translation":
            shift = _read_numbers(fields, 1)
            linear = np.eye(len(shift))
        case "scale":
            linear = np.diag(_read_numbers(fields, 1))
        case "rotation":
            linear = _read_numbers(fields, 2)
        case "affine":
            rows = _read_numbers(fields, 2)
            linear, shift = rows[:, :-1], rows[:, -1]
        case "mapAxis":
            order = list(map(int, fields["mapAxis"]))
            if sorted(order) != list(range(n)):
                raise ValueError(f"its mapAxis {order} does not name each axis once")
            linear = linear[order]
        case "projectAxis":
            linear = np.delete(linear, fields.get("droppedInputs") or [], axis=0)
            for axis in sorted(fields.get("createdOutputs") or []):
                linear = np.insert(linear, axis, 0.0, axis=0)
        case "byDimension":
            return _read_by_dimension(fields["transformations"], n, read_field)
        case unknown:
            raise ValueError(f"its type is {unknown!r}, which is not known")
    matrix = np.zeros((len(linear) + 1, linear.shape[1] + 1))
    matrix[:-1, :-1] = linear
    matrix[:-1, -1] = shift
    matrix[-1, -1] = 1.0
    return matrix


def _read_numbers(fields: Fields, ndim: int) -> FloatArray:
    """Read what is called as the type is."""
    kind = fields["type"]
    values: FloatArray = np.array(fields[kind], dtype=np.float64)
    if values.ndim != ndim:
        needed = "is a list" if ndim == 1 else "are rows"
        raise ValueError(f"its {kind} is {fields[kind]!r}; needed {needed} of numbers")
    return values


def _read_by_dimension(
    items: Sequence[Fields], n: int, read_field: ReadField | None
) -> FloatArray:
    """Read transforms of some axes each."""
    parts = []
    for item in items:
        inputs = list(item.get("inputAxes", item.get("input_axes", ())))
        outputs = list(item.get("outputAxes", item.get("output_axes", ())))
        steps = read_steps(
            item.get("transformation", item), len(inputs), False, read_field
        )
        part = np.eye(len(inputs) + 1)
        for step in steps:
            if isinstance(step, Warp):
                raise ValueError("displacements of some axes only cannot be read")
            part = step @ part
        parts.append((inputs, outputs, part))
    matrix = np.zeros((1 + sum(len(one) for _, one, _ in parts), n + 1))
    matrix[-1, -1] = 1.0
    for inputs, outputs, part in parts:
        matrix[np.ix_(outputs, [*inputs, n])] = part[:-1]
    return matrix


def join_steps(
    steps: Sequence[Step], first: Sequence[str], last: Sequence[str]
) -> Transform:
    """Give what several steps do in space, one after the other."""
    transforms: list[Transform] = []
    matrix, axes = np.eye(len(first) + 1), first
    for step in steps:
        if isinstance(step, Warp):
            between = _SPACE[-(len(matrix) - 1) :]
            transforms += [_in_space(matrix, axes, between), step]
            matrix, axes = np.eye(len(between) + 1), between
        else:
            matrix = step @ matrix
    return compose(*transforms, _in_space(matrix, axes, last))


def _in_space(
    matrix: FloatArray, inputs: Sequence[str], outputs: Sequence[str]
) -> Transform:
    """Give a linear map along z, y, x; axes that both lack stay as they are."""
    if matrix.shape != (len(outputs) + 1, len(inputs) + 1):
        raise ValueError(
            f"it leads from {matrix.shape[1] - 1} axes to {len(matrix) - 1}; needed "
            f"are {len(inputs)} and {len(outputs)}"
        )
    rows = np.eye(3, 4)
    for row, axis in enumerate(_SPACE):
        if (axis in inputs) and (axis not in outputs):
            raise ValueError(f"there is no way back: it drops the axis {axis!r}")
        if axis in outputs:
            found = matrix[outputs.index(axis)]
            mixed = [
                name
                for name, value in zip(inputs, found, strict=False)
                if value and name not in _SPACE
            ]
            if mixed:
                raise ValueError(f"it takes {axis!r} from the axes {mixed}")
            rows[row, :3] = [
                found[inputs.index(name)] if name in inputs else 0.0 for name in _SPACE
            ]
            rows[row, 3] = found[-1]
    if np.array_equal(rows[:, :3], np.eye(3)):
        return Translation(to_vector(rows[:, 3]))
    return Affine.of(rows[:, :3], rows[:, 3])
