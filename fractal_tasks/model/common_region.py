"""The largest box of which all acquisitions see every pixel, whatever moved them.

A box of the reference is seen if its pre-image lies inside a box of the acquisition.
With ``y = A x + b`` for the pre-image, side ``k`` of it reaches from the sum of the
smaller to that of the larger of ``A_kj lo_j`` and ``A_kj hi_j``: two linear conditions
on the six numbers of the box. So the largest volume is a convex problem.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fractal_tasks.transforms import FloatArray, Transform

_ROUNDING = 1e-7
"""Conditions that hold up to this part of the size of the box do hold."""


@dataclass(frozen=True)
class Seen:
    """What an acquisition sees: the points whose pre-image lies inside its box."""

    matrix: FloatArray
    """``A``, shape ``(3, 3)``."""

    offset_um: FloatArray
    """``b``, shape ``(3,)``."""

    start_um: FloatArray
    """First corner of what it sees in its own image, shape ``(3,)``."""

    stop_um: FloatArray
    """The opposite corner."""

    @classmethod
    def through(
        cls,
        transform: Transform,
        start_um: npt.ArrayLike,
        stop_um: npt.ArrayLike,
        region_um: FloatArray,
    ) -> "Seen":
        """Say what is seen through a transform.

        One that is not affine is taken as the affine one next to it, and the box is
        made smaller, side by side, by how far they differ there: what is seen then is
        seen for sure, and what is given up is that much.

        Args:
            transform: Acquisition to reference.
            start_um: First corner of the acquisition's box, in its own image.
            stop_um: The opposite corner.
            region_um: Both corners of the box in question of the reference, ``(2, 3)``.
        """
        points = transform.probe_points(region_um)
        pulled = transform.pull_points(points)
        # Around the middle, where rounding matters least; flat boxes have no slope.
        middle = points.mean(axis=0)
        slopes, *_ = np.linalg.lstsq(points - middle, pulled - pulled.mean(axis=0))
        matrix = slopes.T
        offset = pulled.mean(axis=0) - matrix @ middle
        off = pulled - points @ slopes - offset
        rounding_um = _ROUNDING * np.ptp(region_um, axis=0).max()
        off[:, np.abs(off).max(axis=0) < rounding_um] = 0
        gaps = [np.diff(np.unique(axis)).max(initial=0) for axis in points.T]
        reach_um = float(np.linalg.norm(matrix, 2) * np.linalg.norm(gaps))
        start, stop = np.asarray(start_um, float), np.asarray(stop_um, float)
        return cls(
            matrix,
            offset,
            start + _most_beyond(start - pulled + off, -off, reach_um),
            stop - _most_beyond(pulled - off - stop, off, reach_um),
        )


def _most_beyond(
    beyond_um: FloatArray, off_um: FloatArray, reach_um: float
) -> FloatArray:
    """Give how far beyond sides points lie that an affine map has elsewhere.

    Only those count that it has so near that they could lie beyond it.

    Args:
        beyond_um: How far beyond each side it has them, shape ``(n, 3)``.
        off_um: How much farther they are.
        reach_um: How far what lies between two points is from them.
    """
    near = beyond_um > -np.abs(off_um).max(axis=0) - reach_um
    most: FloatArray = np.where(near, off_um, 0).max(axis=0)
    return most


def find_largest_box(
    outer_um: FloatArray, views: Sequence[Seen], axes: Sequence[int] = (0, 1, 2)
) -> FloatArray | None:
    """Give the largest box inside `outer_um` that all see.

    Args:
        outer_um: Its first and its opposite corner, shape ``(2, 3)``.
        views: What acquisitions see.
        axes: Those along which it may become smaller; of others nothing is asked.

    Returns:
        Both corners, shape ``(2, 3)``; None if there is no such box.
    """
    used = list(axes)
    sizes = np.ptp(outer_um, axis=0)[used]
    if (sizes <= 0).any():
        return None
    conditions, limits = _list_conditions(outer_um, views, used)
    start = _find_any(outer_um[:, used], conditions, limits)
    if start is None:
        return None
    found = outer_um.copy()
    found[:, used] = _grow(start, sizes, conditions, limits).reshape(2, -1)
    return found


def _list_conditions(
    outer_um: FloatArray, views: Sequence[Seen], axes: list[int]
) -> tuple[FloatArray, FloatArray]:
    """Give ``C`` and ``d`` of all conditions ``C (lo, hi) <= d`` on a box."""
    n = len(axes)
    rows = [np.hstack([-np.eye(n), np.zeros((n, n))])]
    rows.append(np.hstack([np.zeros((n, n)), np.eye(n)]))
    limits = [-outer_um[0, axes], outer_um[1, axes]]
    for view in views:
        matrix = view.matrix[np.ix_(axes, axes)]
        # What the other axes add is that of their middle.
        others = [axis for axis in range(3) if axis not in axes]
        middle = outer_um.mean(axis=0)[others]
        offset = view.offset_um[axes] + view.matrix[np.ix_(axes, others)] @ middle
        rising, falling = np.maximum(matrix, 0), np.minimum(matrix, 0)
        rows += [np.hstack([falling, rising]), -np.hstack([rising, falling])]
        limits += [view.stop_um[axes] - offset, offset - view.start_um[axes]]
    # Where an image has all planes, nothing is asked.
    asked = np.isfinite(np.concatenate(limits))
    return np.vstack(rows)[asked], np.concatenate(limits)[asked]


def _find_any(
    outer_um: FloatArray, conditions: FloatArray, limits: FloatArray
) -> FloatArray | None:
    """Give the largest box of the outer one's proportions, ``(lo, hi)``, if any."""
    from scipy.optimize import linprog

    half = np.ptp(outer_um, axis=0) / 2
    n = len(half)
    # lo = c - s half and hi = c + s half, with the centre c and the scale s.
    by_centre = conditions[:, :n] + conditions[:, n:]
    by_scale = (conditions[:, n:] - conditions[:, :n]) @ half
    solved = linprog(
        [*np.zeros(n), -1.0],
        A_ub=np.column_stack([by_centre, by_scale]),
        b_ub=limits,
        bounds=[(None, None)] * n + [(0, 1)],
    )
    if not solved.success or solved.x[-1] <= _ROUNDING:
        return None
    centre, scale = solved.x[:n], solved.x[-1]
    return np.concatenate([centre - scale * half, centre + scale * half])


def _grow(
    start: FloatArray, sizes: FloatArray, conditions: FloatArray, limits: FloatArray
) -> FloatArray:
    """Make a box as large as conditions allow: the sum of logarithms of its sides."""
    from scipy.optimize import minimize

    n = len(sizes)
    units = np.concatenate([sizes, sizes])

    def loss(box: FloatArray) -> tuple[float, FloatArray]:
        # In units of the outer box all numbers are near 1.
        sides = np.maximum(box[n:] - box[:n], 1e-9)
        return -float(np.log(sides).sum()), np.concatenate([1 / sides, -1 / sides])

    solved = minimize(
        loss,
        start / units,
        jac=True,
        method="SLSQP",
        constraints={
            "type": "ineq",
            "fun": lambda box: (limits - conditions @ (box * units)) / sizes.max(),
            "jac": lambda box: -conditions * units / sizes.max(),
        },
        options={"ftol": 1e-9, "maxiter": 200},
    )
    found: FloatArray = solved.x * units
    excess = (conditions @ found - limits).max()
    is_better = solved.success and excess <= _ROUNDING * sizes.max()
    return found if is_better else start
