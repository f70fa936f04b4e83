"""Transforms between the coordinate systems of a scene of RFC-5 (OME-Zarr 0.6)."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from fractal_tasks.transforms.base import Transform
from fractal_tasks.transforms.rfc5 import (
    Beside,
    Fields,
    Step,
    System,
    axes_of,
    count_axes,
    join_steps,
    name_system,
    read_steps,
    system_of,
)


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
    edges: dict[System, list[tuple[System, bool, Fields]]] = defaultdict(list)
    for fields in scene["coordinateTransformations"]:
        one, other = (system_of(fields[end]) for end in ("input", "output"))
        if other in _ways_from(one, edges):
            raise ValueError(
                f"its transforms go in a circle: {name_system(one)} and "
                f"{name_system(other)} are joined in two ways; needed is one. Remove "
                "the other"
            )
        edges[one].append((other, False, fields))
        edges[other].append((one, True, fields))
    listed = scene.get("coordinateSystems") or ()
    systems = [*edges, *(("", str(one["name"])) for one in listed)]
    start, end = (_find_system(names, systems) for names in beside.ends)
    ways = _ways_from(start, edges)
    if end not in ways:
        raise ValueError(
            f"nothing leads from {name_system(start)} to {name_system(end)}; needed "
            "are transforms that join them"
        )
    first, last = (_read_axes(one, scene, beside) for one in (start, end))
    steps: list[Step] = []
    n = len(first)
    for leads_back, fields in ways[end]:
        steps += read_steps(fields, n, leads_back, beside.read_field)
        n = count_axes(steps, n)
    return join_steps(steps, first, last)


def _ways_from(
    start: System, edges: Mapping[System, Sequence[tuple[System, bool, Fields]]]
) -> dict[System, list[tuple[bool, Fields]]]:
    """Give what leads to each system that can be reached, in order."""
    ways: dict[System, list[tuple[bool, Fields]]] = {start: []}
    reached = [start]
    for system in reached:
        for other, leads_back, fields in edges.get(system, ()):
            if other not in ways:
                ways[other] = [*ways[system], (leads_back, fields)]
                reached.append(other)
    return ways


def _find_system(names: Sequence[str], systems: Sequence[System]) -> System:
    """Find what is called by one of some names: a system, or the image it is of."""
    found = {
        (path, name)
        for path, name in systems
        if (path.rstrip("/").rpartition("/")[2] if path else name) in names
    }
    if len(found) != 1:
        there = ", ".join(map(name_system, dict.fromkeys(systems)))
        raise ValueError(
            f"found the coordinate systems {there}; needed is one that is called, or "
            f"of an image that is called, {' or '.join(map(repr, names))}"
        )
    return found.pop()


def _read_axes(system: System, scene: Fields, beside: Beside) -> tuple[str, ...]:
    path, name = system
    listed = scene.get("coordinateSystems") or ()
    if path:
        if beside.read_group is None:
            raise TypeError(f"no image is at hand for {path!r}")
        listed = beside.read_group(path)["multiscales"][0]["coordinateSystems"]
    for one in listed:
        if one["name"] == name:
            return axes_of(one)
    raise ValueError(f"the coordinate system {name_system(system)} is not described")
