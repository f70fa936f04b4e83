"""What speaks against a candidate that the model of a well cannot see.

The model knows how far a candidate moves the centre of its ROI, and nothing else of
it. A veto looks at the candidate itself. It can only lower its probability, never
raise it or choose another one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from fractal_tasks.model import Candidate, Measurement
from fractal_tasks.transforms import Translation
from fractal_tasks.transforms.folding import smallest_volumes


@dataclass(frozen=True)
class Objection:
    """What a veto says against a candidate."""

    limit: float
    """The candidate is at most this probable, 0 to 1."""

    reason: str
    """What its transform does, e.g. ``folds space near y=3.0, x=4.0 um``."""


Veto: TypeAlias = Callable[[Candidate, Measurement], Objection | None]
"""Looks at one candidate of a measurement; None if it has nothing to say."""

# Probe points along z, y and x: what is smooth over a sixteenth of the ROI cannot hide
# a fold between them.
_PROBES = (3, 17, 17)


def folds(candidate: Candidate, measurement: Measurement) -> Objection | None:
    """Object if a transform turns the ROI inside out or tears it somewhere.

    No sample does so.
    """
    if isinstance(candidate.transform, Translation):
        return None
    centre_um = np.asarray(measurement.centre_um)
    # A plane has no thickness: a pixel is enough to tell up from down.
    size_um = np.maximum(measurement.size_um, measurement.pixel_um)
    axes_um = [
        centre_um[axis] + size_um[axis] * (np.linspace(0, 1, count) - 0.5)
        for axis, count in enumerate(_PROBES)
    ]
    grid_um = np.stack(np.meshgrid(*axes_um, indexing="ij"), axis=-1)
    mapped_um = candidate.transform.map_points(grid_um.reshape(-1, 3))
    volumes_um3 = smallest_volumes(mapped_um.reshape(grid_um.shape))
    # Not "<= 0": a point that is mapped to NaN has no image, which is a tear.
    if (volumes_um3 > 0).all():
        return None
    worst = np.unravel_index(
        np.argmin(np.nan_to_num(volumes_um3, nan=-np.inf)), volumes_um3.shape
    )
    z_um, y_um, x_um = grid_um[worst]
    where = f"z={z_um:.1f}, y={y_um:.1f}, x={x_um:.1f} um"
    return Objection(limit=0.0, reason=f"folds or tears the ROI near {where}")


VETOES: tuple[Veto, ...] = (folds,)
"""Name a new veto here: nothing else has to know of it."""


def find_objections(
    measurement: Measurement, vetoes: Sequence[Veto] = VETOES
) -> tuple[Objection | None, ...]:
    """Give the strongest objection to each candidate of a measurement."""
    return tuple(
        min(
            filter(None, (veto(candidate, measurement) for veto in vetoes)),
            key=lambda objection: objection.limit,
            default=None,
        )
        for candidate in measurement.candidates
    )
