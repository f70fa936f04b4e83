"""Whether a camera shows itself: only it makes views of different fields match."""

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import TypeAlias

import numpy as np

from fractal_tasks.registration.patch import Patch, Pixels, VolumePatch
from fractal_tasks.registration.spectra import (
    correlate_windows,
    evaluate_around,
    surface_noise,
    whiten,
)

View: TypeAlias = tuple[Patch, Patch]
"""A field in the reference and in an acquisition, of one shape, at full resolution."""

_WINDOW_PX = 512
"""Side of what is compared, in the middle of a field."""

_REACH_PX = 2
"""How far from no shift the peak of a camera is looked for."""

_CLEAR_SDS = 7.0
"""So many standard deviations of the surface high it must be. In noise the highest of
5 x 5 values is about 2."""


def shows_camera(view: View, others: Sequence[View]) -> bool:
    """Tell whether a field matches others without a shift, each in its own acquisition.

    Whatever is the same at the same pixels adds up over the fields; cells do not.

    Args:
        view: The field.
        others: At least one other field.
    """
    fixed, moving = map(_read_middle, view)
    pairs = [(fixed, _read_middle(other)) for _, other in others]
    pairs += [(_read_middle(other), moving) for other, _ in others]
    still = np.zeros(1, dtype=np.intp)
    total = reduce(add, (correlate_windows(one, two, still) for one, two in pairs))
    spectrum = whiten(total)[0]
    surface = evaluate_around(spectrum, total.size, (0, 0), _REACH_PX)
    return bool(surface.max() > _CLEAR_SDS * surface_noise(spectrum, total.size))


def _read_middle(patch: Patch) -> Pixels:
    """Read the middle of a field, of a stack the middle plane."""
    volume = VolumePatch(patch)
    size = np.minimum(volume.shape, (1, _WINDOW_PX, _WINDOW_PX))
    first = (np.array(volume.shape) - size) // 2
    return volume.read(tuple(map(slice, first, first + size)))
