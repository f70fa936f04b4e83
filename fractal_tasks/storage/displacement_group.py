"""Displacements as a group of OME-Zarr 0.6: multiscales with one level."""

from typing import TYPE_CHECKING, Any

import numpy as np

from fractal_tasks.storage.pixels.stored import stored_cells
from fractal_tasks.transforms import Displacements, Vector
from fractal_tasks.transforms.base import to_vector

if TYPE_CHECKING:
    import zarr

_SYSTEM = "physical"
_AXES = [
    {"name": "c", "type": "displacement", "discrete": True},
    *({"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"),
]
_LEVEL = "0"


def displacements_to_files(
    field: Displacements, first_um: Vector = (0.0, 0.0, 0.0)
) -> dict[str, bytes]:
    """Give the files of a group, by their path in it.

    Args:
        field: What is to be in it.
        first_um: Where its first node lies.
    """
    import zarr

    placed: dict[str, Any] = {"type": "scale", "scale": [1.0, *field.step_um]}
    if any(first_um):
        move = {"type": "translation", "translation": [0.0, *first_um]}
        placed = {"type": "sequence", "transformations": [placed, move]}
    ends = {"input": {"path": _LEVEL}, "output": {"name": _SYSTEM}}
    multiscale = {
        "coordinateSystems": [{"name": _SYSTEM, "axes": _AXES}],
        "datasets": [{"path": _LEVEL, "coordinateTransformations": [placed | ends]}],
    }
    ome: Any = {"version": "0.6", "multiscales": [multiscale]}
    store: dict[str, Any] = {}
    group = zarr.create_group(zarr.storage.MemoryStore(store), zarr_format=3)
    group.attrs["ome"] = ome
    group.create_array(
        _LEVEL,
        data=field.values_um,
        chunks=field.values_um.shape,
        dimension_names=("c", "z", "y", "x"),
        # Zeros, too, so that what is lost is told from them.
        config={"write_empty_chunks": True},
    )
    return {key: content.to_bytes() for key, content in store.items()}


def read_displacements(group: "zarr.Group") -> tuple[Displacements, Vector]:
    """Read such a group: displacements, and where their first node lies.

    Of other software it may be one of a plane, with the axes y and x.

    Raises:
        LookupError: A part is missing.
        TypeError: A part is something else.
        ValueError: They are no displacements.
    """
    attributes: Any = group.attrs.asdict()
    (dataset,) = attributes["ome"]["multiscales"][0]["datasets"]
    (placed,) = dataset["coordinateTransformations"]
    scale, *moves = placed.get("transformations", [placed])
    _, *step_um = scale["scale"]
    _, *first_um = moves[0]["translation"] if moves else np.zeros(1 + len(step_um))
    array: Any = group[dataset["path"]]
    if not stored_cells(array):
        # zarr would give zeros, and the image would not be bent, without a word.
        raise ValueError("nothing of them is stored")
    values = np.asarray(array[:], dtype=np.float32)
    if len(values) == values.ndim - 1 == 2:
        values = np.pad(values[:, None], ((1, 0), (0, 0), (0, 0), (0, 0)))
        step_um, first_um = [1.0, *step_um], [0.0, *first_um]
    return Displacements(values, to_vector(step_um)), to_vector(first_um)
