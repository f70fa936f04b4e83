"""A multiplexed OME-Zarr plate of which everything is known.

Geometry
    A well is a continuous plane of nuclei that goes on beyond the borders of the
    image. Acquisition 0, the reference, sees it as it is: its fields join into a
    mosaic. In a later acquisition each field is a camera window of its own onto the
    moved sample, so neighbouring fields no longer join, nuclei come in and go out at
    the borders, and two acquisitions share only a part of what a field shows. Nuclei
    are formulas evaluated where they have moved to; nothing is interpolated.

Conventions
    Order z, y, x; micrometres from the corner of the well; pixel ``i`` is centred at
    ``i + 1/2``. A transform maps moving to fixed, ``x_reference = A x_acquisition +
    b``; a translation is ``x_reference - x_acquisition``, so a sample that sits 4 px
    further in the acquisition has -4 px. Rotation and scale act about the well's
    centre, in the plane.

Truth
    ``<plate>.truth.json`` beside the plate, read with `load_truth`: the options and,
    per well, acquisition and field, the transform and whether the field is empty.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.synthetic.options import PlateOptions
from fractal_tasks.synthetic.truth import load_truth, save_truth

__all__ = ["PlateOptions", "create_plate", "load_truth"]


def create_plate(
    path: str | Path,
    options: PlateOptions | None = None,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Write a synthetic plate with known truth.

    The plate is built beside its place under a hidden name and renamed when complete.

    Args:
        path: Where the plate shall be, e.g. ``demo/plate.zarr``; folders above it are
            made.
        options: Size, sample, stage and camera; left out, a plate of one well with
            2 x 2 fields and 3 acquisitions.
        progress: Called with the number of wells that are written, and of all.

    Returns:
        The absolute path of the plate.

    Raises:
        InvalidInputError: There is already something at `path`.
    """
    # ngio takes two seconds to import, which the options alone do not need.
    from fractal_tasks.synthetic.writing import write_plate

    path = Path(path).absolute()
    if path.exists():
        raise InvalidInputError(
            f"{path}: already exists, and a synthetic plate overwrites nothing. Give "
            "another path or delete it."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f".{path.name}.", dir=path.parent
    ) as hidden:
        unfinished = Path(hidden) / path.name
        truth = write_plate(unfinished, options or PlateOptions(), progress)
        # The truth comes first: a plate without it would be useless.
        save_truth(truth, path)
        unfinished.rename(path)
    return path
