"""How windows of one ROI moved together: a shift, and a small rotation and scaling.

The displacement of a window whose centre lies at ``p`` from the ROI's centre is
``t + L p`` with ``L = [[s, -r], [r, s]]`` (y, x): ``r`` is the angle in radians and
``s`` the relative change of size. ``t`` is the displacement of the ROI's centre.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import numpy as np
import numpy.typing as npt

from fractal_tasks.registration.spectra import (
    CrossSpectra,
    evaluate_around,
    whiten,
)
from fractal_tasks.transforms import FloatArray

_MAX_ROTATION, _MAX_SCALING = np.deg2rad(2.0), 0.015
"""Largest motion searched: a plate that was taken out and put back turns less."""

_STEP_PX = 2.0
"""How far a step of the search moves the outermost window: the width of a peak."""

_LEAST_WINDOWS = 3
"""With two windows any two peaks fit some rotation and scaling: nothing is left over
to contradict a wrong one."""

_RESERVE = 1.5
"""A window moves by radius x (rotation + scaling) at most; half as much again leaves
room for rounding."""

_GAIN = 1.15
"""A motion must raise the common peak by so much to be preferred over a shift: some
motion always raises it a little. Chosen, not fitted; a motion that is let in here for
no reason is given up by the chi-square of `likelihood`."""

_CONTRAST = 1.6
"""And so much higher must it be than that of most motions: in images that do not match,
all motions have about the same. Chosen, not fitted, as `_GAIN`."""


@dataclass(frozen=True)
class Motion:
    """A shift of the centre with a small rotation and scaling."""

    shift_px: tuple[float, float]
    rotation: float = 0.0
    scaling: float = 0.0

    @property
    def linear(self) -> FloatArray:
        """The matrix ``L``."""
        return np.array([[self.scaling, -self.rotation], [self.rotation, self.scaling]])

    @property
    def magnitude(self) -> float:
        """How far it moves a point against the centre, relative to their distance."""
        # ``L`` turns what it is applied to, and scales it by one and the same factor.
        return math.hypot(self.rotation, self.scaling)

    # Of a turn and a scale, 1 + s and r are its cosine and sine, times the scale.
    @property
    def angle_deg(self) -> float:
        """The turn, from y towards x."""
        return math.degrees(math.atan2(self.rotation, 1 + self.scaling))

    @property
    def scale(self) -> float:
        """The size, 1 for unchanged."""
        return math.hypot(1 + self.scaling, self.rotation)

    def rigid(self) -> "Motion":
        """Give the motion without its change of size."""
        angle = math.radians(self.angle_deg)
        return replace(self, rotation=math.sin(angle), scaling=math.cos(angle) - 1)

    def after(self, first: "Motion") -> "Motion":
        """Give the motion of what moved by `first`, without its shift, and then so.

        Example:
            >>> Motion((1.0, 2.0), scaling=0.5).after(Motion((9.0, 9.0), scaling=0.25))
            Motion(shift_px=(1.0, 2.0), rotation=0.0, scaling=0.875)
        """
        # Matrices of this form multiply as complex numbers do.
        second, one = (complex(m.scaling, m.rotation) for m in (self, first))
        both = second + one + second * one
        return replace(self, rotation=both.imag, scaling=both.real)

    def spread_px(self, size_px: Sequence[int]) -> float:
        """Give how far the corners of a box (y, x) move against its centre."""
        return self.magnitude * math.hypot(*size_px) / 2


def search_motion(
    windows: Sequence[CrossSpectra],
    centres_px: FloatArray,
    peak_px: tuple[int, int],
    reach_px: int,
) -> Motion:
    """Search rotation and scaling for the highest common peak of all windows.

    Each window has a surface, its whitened correlation by shift. Under the right motion
    all of them peak at the same shift once each is moved by ``L p``, so their sum has
    the highest peak.

    Args:
        windows: One plane shift each.
        centres_px: Centres of the windows from the ROI's centre, shape ``(n, 2)``.
        peak_px: The best shift without rotation and scaling.
        reach_px: How far from it the shift is searched.

    Returns:
        The best motion; a mere shift unless another one is clearly better.
    """
    plain = Motion((float(peak_px[0]), float(peak_px[1])))
    radius_px = float(np.abs(centres_px).max())
    if len(windows) < _LEAST_WINDOWS or radius_px * _MAX_ROTATION < _STEP_PX / 2:
        return plain
    size = windows[0].size
    # Beyond half a window surfaces repeat. Half of that is for the shift, the rest, as
    # far as it is needed, for what rotation and scaling add.
    limit = (min(size) - 1) // 2
    reach = min(reach_px, limit // 2)
    farthest_px = radius_px * (_MAX_ROTATION + _MAX_SCALING)
    margin = min(int(np.ceil(_RESERVE * farthest_px)), limit - reach)
    total = reduce(add, windows)
    surfaces = [
        evaluate_around(whiten(one, total)[0], size, peak_px, reach + margin)
        for one in windows
    ]
    peaks = []
    for turn in _list_turns(_STEP_PX / radius_px):
        moves = np.rint(centres_px @ turn.linear.T).astype(int)
        if np.abs(moves).max() <= margin:
            peaks.append(_find_common_peak(surfaces, moves + margin, reach, turn))
    best = max(peaks, key=lambda peak: peak.height)
    unturned = next(peak for peak in peaks if not peak.motion.linear.any())
    usual = float(np.median([peak.height for peak in peaks]))
    if not best.height > max(_GAIN * unturned.height, _CONTRAST * usual):
        return plain
    y, x = best.motion.shift_px
    return replace(best.motion, shift_px=(peak_px[0] + y, peak_px[1] + x))


def _list_turns(step: float) -> Iterator[Motion]:
    """List the rotations and scalings to try, in steps of both, without a shift."""
    for rotation in _steps(_MAX_ROTATION, step):
        for scaling in _steps(_MAX_SCALING, step):
            yield Motion((0.0, 0.0), float(rotation), float(scaling))


def _steps(limit: float, step: float) -> FloatArray:
    """Give the multiples of a step within a limit of either sign, 0 in the middle."""
    count = int(limit / step)
    steps: FloatArray = np.multiply(
        np.arange(-count, count + 1), step, dtype=np.float64
    )
    return steps


@dataclass(frozen=True)
class _CommonPeak:
    """The highest value of surfaces that were moved by a motion and added up."""

    motion: Motion
    """With the shift of the peak from the middle of the surfaces."""

    height: float


def _find_common_peak(
    surfaces: Sequence[npt.NDArray[np.floating]],
    corners: npt.NDArray[np.intp],
    reach: int,
    turn: Motion,
) -> _CommonPeak:
    """Add up a part of each surface and find the peak.

    Args:
        surfaces: One for each window.
        corners: First row and column of the parts, shape ``(n, 2)``.
        reach: Parts reach so far to either side of their middle.
        turn: The rotation and scaling that gave the corners.
    """
    width = 2 * reach + 1
    parts = [
        surface[y : y + width, x : x + width]
        for surface, (y, x) in zip(surfaces, corners, strict=True)
    ]
    common = np.sum(parts, axis=0)
    row, column = np.unravel_index(common.argmax(), common.shape)
    shift_px = float(row - reach), float(column - reach)
    return _CommonPeak(replace(turn, shift_px=shift_px), float(common.max()))
