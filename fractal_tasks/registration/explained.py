"""How much of all that two images show is explained by one shift."""

from collections.abc import Sequence

import numpy as np

from fractal_tasks.registration.patch import Pixels

_ROUNDING = 1e-3
"""Band-passed values below this part of the largest are rounding: 1e-6 of the detail,
before its root is taken. The noise of a camera is larger, next to any structure."""


def explained_part(fixed: Sequence[Pixels], moving: Sequence[Pixels]) -> float:
    """Give how much more pixels agree in sign than differ, of all that show anything.

    Each pixel counts the same, also those that only one image sees. So it is near 0
    where there is noise, however bright the structures are that match, and 1 only if
    nothing is left unexplained in either image. Negative for inverted contrast.

    Args:
        fixed: Band-passed: the part in which the images overlap, and the whole.
        moving: The same; the two parts have one shape.
    """
    agreement = np.ones(fixed[0].shape)
    detailed = 0
    for part, whole in (fixed, moving):
        least = _ROUNDING * float(np.abs(whole).max(initial=0))
        agreement *= np.sign(part) * (np.abs(part) > least)
        detailed += int(np.count_nonzero(np.abs(whole) > least))
    return 2 * float(agreement.sum()) / max(detailed, 1)
