"""How probable a way is in which the fields of a well may have moved.

A hypothesis is one group of fields that move together, or a few of them. Each field
belongs to a group with the share of the group. If a candidate of it is right, it
scatters about the model of the group; if not, it lies anywhere in the search area.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from fractal_tasks.model import WellMovement
from fractal_tasks.qc.candidates import CandidateArrays
from fractal_tasks.qc.groups import APART, Group, outside
from fractal_tasks.transforms import FloatArray

ALONE = 0.01
"""Probability that the fields of a well have nothing in common."""

_FURTHER_GROUP = 0.01
"""Probability of a second group, as of a slide that moved in the middle of a scan; of a
third one after that; and so on."""

# Fields scatter about their group by a log-normal prior: by 0.4 um, within a factor of
# 3.3 in two of three wells. Stages repeat a position to a few tenths of um, bad ones to
# some um.
_MEDIAN_SCATTER_UM, _LOG_SD = 0.4, 1.2
_SCATTERS_UM = 0.1 * 2.0 ** np.arange(8)
# A scatter of more than an eighth of the ROI is no agreement.
_LARGEST_SCATTER = 8

PLATE_KNOWS = 0.9
"""Probability that a well is one of those that move as the plate does."""

STILL_PX = 1.5
"""Width of "no movement relative to the camera": its peak is that sharp."""


@dataclass(frozen=True)
class Hypothesis:
    """Groups of fields, the largest one first."""

    groups: tuple[Group, ...]
    shares: tuple[float, ...]
    """Of the fields that belong to each group; they sum to 1."""

    evidence: float
    """Log probability of all estimates and of this, up to a constant."""

    camera: bool = False
    """Whether a peak of no movement may be a pattern of the camera: then agreement on
    it says nothing."""

    is_common: bool = True
    """Whether fields move together at all; if not, each counts by itself."""

    members_um: FloatArray = field(default_factory=lambda: np.zeros((0, 2)))
    """Centres of the ROIs that were fitted, shape ``(m, 2)``."""

    belongs: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))
    """How probable each of them is in each group, shape ``(m, g)``."""

    def local_shares(self, candidates: CandidateArrays) -> FloatArray:
        """Give how probable each group is at each ROI, ``(n, g)``.

        Groups are rows, columns or sections, so neighbours tell; far from all of them
        only the size of the groups does.
        """
        if len(self.groups) == 1:
            return np.ones((len(candidates.centres_um), 1))
        offsets_um = candidates.centres_um[:, None] - self.members_um
        # A side of the ROI, a quarter of the search area, is the unit of distance.
        squares = (offsets_um**2).sum(axis=2) * 4 / candidates.search_area_um2[:, None]
        near = np.exp(-squares / 2)
        local: FloatArray = near @ self.belongs + self.shares
        local /= local.sum(axis=1, keepdims=True)
        return local

    def gains(self, candidates: CandidateArrays) -> FloatArray:
        """Give the gain of each candidate in each group, times its share ``(g, n, k)``.

        See `Group.gains`.
        """
        gains = np.stack([group.gains(candidates) for group in self.groups])
        if self.camera:
            still = find_still(candidates)
            gains = np.where(gains > 1, gains ** (1 - still), gains)
        shared: FloatArray = gains * np.reshape(self.shares, (-1, 1, 1))
        return shared


def find_still(candidates: CandidateArrays) -> FloatArray:
    """Say of each candidate how much it is "no movement", 0 to 1, ``(n, k)``."""
    lengths_um = np.hypot(*np.moveaxis(candidates.displacements_um[..., 1:], -1, 0))
    widths_um = STILL_PX * candidates.pixels_um[:, None]
    still: FloatArray = np.exp(-((lengths_um / widths_um) ** 2) / 2)
    return still


def scatters_um(candidates: CandidateArrays) -> tuple[FloatArray, FloatArray]:
    """Give scatters to try, and their prior probabilities."""
    largest = math.sqrt(float(np.median(candidates.search_area_um2)) / 4)
    most_um = max(largest / _LARGEST_SCATTER, 0.2)
    kept: FloatArray = np.array([one for one in _SCATTERS_UM if one <= most_um])
    prior: FloatArray = np.exp(
        -((np.log(kept / _MEDIAN_SCATTER_UM) / _LOG_SD) ** 2) / 2
    )
    return kept, prior / prior.sum()


def weigh(
    candidates: CandidateArrays,
    groups: Sequence[Group],
    plate: WellMovement | None,
    *,
    camera: bool = False,
) -> Hypothesis:
    """Find how probable all estimates are if the fields move in these groups.

    Where the model lies is integrated out: it fits within its variance, out of all that
    was possible before. So candidates do not count as agreement with themselves.
    """
    shares, belongs = _find_shares(candidates, groups)
    found = Hypothesis(
        tuple(groups), shares, 0.0, camera, True, candidates.centres_um, belongs
    )
    joint = (1 - APART) * candidates.probabilities * found.gains(candidates).sum(axis=0)
    nothing = outside(candidates)
    gain = float(np.log1p(joint.sum(axis=1) / nothing).sum())
    evidence = float(np.log(nothing).sum()) + _log_expm1(gain)
    evidence += math.log(1 - ALONE) + (len(groups) - 1) * math.log(_FURTHER_GROUP)
    possible, prior = scatters_um(candidates)
    nearest = int(np.argmin(np.abs(possible - groups[0].scatter_um)))
    evidence += math.log(prior[nearest])
    for group in groups:
        evidence += _log_place(candidates, group, plate) + group.log_freedom()
        if camera:
            moved = 1 - stillness(candidates, group)
            evidence += math.log(max(moved, 1e-300))
    order = np.argsort(np.negative(found.shares), kind="stable")
    return replace(
        found,
        groups=tuple(groups[index] for index in order),
        shares=tuple(found.shares[index] for index in order),
        belongs=found.belongs[:, order],
        evidence=evidence,
    )


def weigh_alone(prior: float = ALONE) -> Hypothesis:
    """Give the hypothesis that fields have nothing in common: each counts by itself."""
    return Hypothesis((), (), math.log(prior), is_common=False)


def weigh_lost(candidates: CandidateArrays) -> Hypothesis:
    """Give the one that there is a group, but no candidate shows it."""
    nothing = float(np.log(outside(candidates)).sum())
    return Hypothesis((), (), nothing + math.log(1 - ALONE))


def _log_expm1(value: float) -> float:
    """Give log(exp(value) - 1): what does not need the group is not counted for it."""
    return value + math.log(max(-math.expm1(-value), 1e-300))


def _log_place(
    candidates: CandidateArrays, group: Group, plate: WellMovement | None
) -> float:
    """Give the log of the part of all places, or of those that the plate expects."""
    width_um2 = 2 * np.pi / group.weight
    density = 1 / float(np.median(candidates.search_area_um2))
    if plate is not None:
        variance = plate.scatter_um**2 + 1 / group.weight
        apart_um = np.subtract(group.model.shift_um, plate.translation_um)[1:]
        bell = np.exp(-(apart_um @ apart_um) / (2 * variance)) / (2 * np.pi * variance)
        density = (1 - PLATE_KNOWS) * density + PLATE_KNOWS * float(bell)
    return math.log(width_um2 * density)


def stillness(candidates: CandidateArrays, group: Group) -> float:
    """Say how much the movement of a group is "no movement", 0 to 1."""
    _, y_um, x_um = group.model.shift_um
    width_um = STILL_PX * float(np.median(candidates.pixels_um))
    return math.exp(-((math.hypot(y_um, x_um) / width_um) ** 2) / 2)


def _find_shares(
    candidates: CandidateArrays, groups: Sequence[Group]
) -> tuple[tuple[float, ...], FloatArray]:
    """Give the part of all fields, and of each, that belongs to each group, by EM."""
    count = len(groups)
    shares = np.full(count, 1 / count)
    if count == 1:
        return (1.0,), np.ones((len(candidates.centres_um), 1))
    gains = np.stack([group.gains(candidates) for group in groups], axis=2)
    weights = (1 - APART) * (candidates.probabilities[..., None] * gains).sum(axis=1)
    nothing = outside(candidates)[:, None]
    belongs = weights
    for _ in range(20):
        joint = weights * shares
        belongs = joint / (nothing + joint.sum(axis=1, keepdims=True))
        # One field is shared by all: no group is ever impossible.
        shares = (belongs.sum(axis=0) + 1 / count) / (belongs.sum() + 1)
    return tuple(shares.tolist()), belongs
