"""Maps points by a scene, as the package of conformance cases wants it of a program.

Its arguments are a folder, the names of two coordinate systems, and points as JSON.
"""

import json
import sys
from pathlib import Path

import numpy as np

from fractal_tasks.transforms.foreign import read_transform
from fractal_tasks.transforms.rfc5 import Beside


def map_points(
    folder: Path, start: str, end: str, points: list[list[float]]
) -> list[list[float]]:
    """Map points of y, x or z, y, x."""
    text = (folder / "zarr.json").read_text()
    beside = Beside(ends=((start,), (end,)))
    transform, _ = read_transform(text, str(folder), beside)
    given = np.array(points, dtype=float)
    in_space = np.zeros((len(given), 3))
    in_space[:, 3 - given.shape[1] :] = given
    mapped = transform.map_points(in_space)[:, 3 - given.shape[1] :]
    found: list[list[float]] = mapped.tolist()
    return found


if __name__ == "__main__":
    _, path, source, target, coordinates = sys.argv
    mapped = map_points(Path(path), source, target, json.loads(coordinates))
    print(json.dumps({"coordinates": mapped}))  # noqa: T201 - what is asked
