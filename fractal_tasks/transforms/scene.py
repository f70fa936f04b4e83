"""Transforms between the coordinate systems of a scene of RFC-5 (OME-Zarr 0.6)."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from fractal_tasks.transforms.base import FloatArray, Transform, Vector
from fractal_tasks.transforms.displacements import Displacements
from fractal_tasks.transforms.rfc5 import (
    Beside,
    Fields,
    ReadField,
    Step,
    System,
    axes_of,
    count_axes,
    join_steps,
    name_system,
    read_steps,
    system_of,
)


@dataclass(frozen=True)
class _Edge:
    """A transform as it is passed through."""

    end: System
    fields: Fields
    leads_back: bool
    read_field: ReadField | None


@dataclass(frozen=True)
class _End:
    """The acquisition or the reference."""

    system: System
    axes: tuple[str, ...]
    start: FloatArray | None = None
    """From its first voxel to where that lies in this system, if that is elsewhere."""


@dataclass(frozen=True)
class _Graph:
    """Coordinate systems, and what joins them: one way at most from each to each."""

    edges: dict[System, list[_Edge]] = field(default_factory=lambda: defaultdict(list))

    def add(
        self, one: System, other: System, fields: Fields, read_field: ReadField | None
    ) -> None:
        """Join two systems.

        Raises:
            ValueError: They are joined already.
        """
        if other in self.ways_from(one):
            raise ValueError(
                f"its transforms go in a circle: {name_system(one)} and "
                f"{name_system(other)} are joined in two ways; needed is one. Remove "
                "the other"
            )
        self.edges[one].append(_Edge(other, fields, False, read_field))
        self.edges[other].append(_Edge(one, fields, True, read_field))

    def ways_from(self, start: System) -> dict[System, list[_Edge]]:
        """Give what leads to each system that can be reached, in order."""
        ways: dict[System, list[_Edge]] = {start: []}
        reached = [start]
        for system in reached:
            for edge in self.edges.get(system, ()):
                if edge.end not in ways:
                    ways[edge.end] = [*ways[system], edge]
                    reached.append(edge.end)
        return ways


def read_scene(scene: Fields, beside: Beside) -> Transform:
    """Read what leads from one end to the other in the graph of a scene.

    Args:
        scene: What is under `scene`.
        beside: Names of the ends, and how to read images and displacements.

    Raises:
        LookupError: A part is missing.
        TypeError: A part is something else.
        ValueError: Nothing leads there, or there are two ways.
    """
    graph = _Graph()
    for fields in scene["coordinateTransformations"]:
        one, other = (system_of(fields[end]) for end in ("input", "output"))
        graph.add(one, other, fields, beside.read_field)
    listed = scene.get("coordinateSystems") or ()
    known = [_End(("", str(one["name"])), axes_of(one)) for one in listed]
    for path in sorted({path for path, _ in graph.edges if path}):
        known.append(_read_image(path, graph, beside))
    start, end = (_find(names, known) for names in beside.ends)
    ways = graph.ways_from(start.system)
    if end.system not in ways:
        raise ValueError(
            f"nothing leads from {name_system(start.system)} to "
            f"{name_system(end.system)}; needed are transforms that join them"
        )
    n = len(start.axes)
    steps: list[Step] = [] if start.start is None else [start.start]
    for edge in ways[end.system]:
        steps += read_steps(edge.fields, n, edge.leads_back, edge.read_field)
        n = count_axes(steps, n)
    if end.start is not None:
        steps.append(np.linalg.inv(end.start).astype(np.float64))
    return join_steps(steps, start.axes, end.axes)


def _read_image(path: str, graph: _Graph, beside: Beside) -> _End:
    """Read an image of a scene, and add what joins its coordinate systems."""
    if beside.read_group is None:
        raise TypeError(f"no image is at hand for {path!r}")
    described = beside.read_group(path)["multiscales"][0]
    for fields in described.get("coordinateTransformations") or ():
        one, other = ((path, system_of(fields[end])[1]) for end in ("input", "output"))
        below = partial(_read_below, path, beside.read_field)
        graph.add(one, other, fields, below)
    (placed,) = described["datasets"][0]["coordinateTransformations"]
    _, name = system_of(placed["output"])
    system = path, name
    for one_system in described["coordinateSystems"]:
        if one_system["name"] == name:
            axes = axes_of(one_system)
            first = np.append(np.zeros(len(axes)), 1.0)
            for step in read_steps(placed, len(axes), False, None):
                first = np.asarray(step) @ first
            start = np.eye(len(axes) + 1)
            start[:, -1] = first
            return _End(system, axes, start if first[:-1].any() else None)
    raise ValueError(f"the coordinate system {name_system(system)} is not described")


def _read_below(
    path: str, read_field: ReadField | None, inner: str
) -> tuple[Displacements, Vector]:
    """Read displacements that an image of the scene names."""
    if read_field is None:
        raise TypeError(f"no displacements are at hand for {inner!r}")
    return read_field(f"{path}/{inner}")


def _find(names: Sequence[str], known: Sequence[_End]) -> _End:
    """Find what is called by one of some names: a system, or the image it is of."""
    found = []
    for one in known:
        path, name = one.system
        if (path.rstrip("/").rpartition("/")[2] if path else name) in names:
            found.append(one)
    if len(found) != 1:
        there = ", ".join(name_system(one.system) for one in known)
        raise ValueError(
            f"found the coordinate systems {there}; needed is one that is called, or "
            f"of an image that is called, {' or '.join(map(repr, names))}"
        )
    return found[0]
