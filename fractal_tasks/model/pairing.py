"""Which ROIs, or images, of two acquisitions show the same place.

By name; what is left, by place; and if nothing fits, by order where the numbers are the
same. Names give way where they are the same at other places: after another scan order
field 3 may lie where field 5 was.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from fractal_tasks.transforms import FloatArray

PairedBy: TypeAlias = Literal["name", "place", "order"]
"""What tells that two belong together. Order alone tells little: such a pair counts
only if the images themselves say that it is right."""

NEAR = 0.25
"""At the same place are two whose centres are this part of their size apart, or less,
along y and x: of a field, at least half is then seen by both."""


@dataclass(frozen=True)
class Item:
    """A ROI or an image that is to be paired."""

    key: str
    """Tells it apart from the others of its acquisition."""

    name: str
    centre_um: tuple[float, float] | None = None
    """Where it lies (y, x); None if that is not known."""

    size_um: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Pairing:
    """What belongs together, by key."""

    partners: Mapping[str, str]
    """The fixed one of each moving one that has a partner, in the order of these."""

    paired_by: Mapping[str, PairedBy]
    """By the key of the moving one."""

    fixed_alone: tuple[str, ...]
    moving_alone: tuple[str, ...]

    def describe(self) -> str:
        """Say how many were paired by what, e.g. ``3 by name, 1 by place``."""
        counts = Counter(self.paired_by.values())
        return ", ".join(f"{count} by {how}" for how, count in counts.items())


def pair_items(fixed: Sequence[Item], moving: Sequence[Item]) -> Pairing:
    """Pair two acquisitions, each item with at most one of the other.

    Args:
        fixed: Of the reference, in its order.
        moving: Of the acquisition, in its order.
    """
    by_name = _pair_by_name(fixed, moving)
    by_place = _pair_by_place(fixed, moving)
    if _is_contradicted(by_name, by_place, fixed, moving):
        by_name = {}
    if by_name:
        named = set(by_name.values())
        by_place = _pair_by_place(
            [one for one in fixed if one.key not in named],
            [one for one in moving if one.key not in by_name],
        )
    how: dict[str, PairedBy] = dict.fromkeys(by_name, "name")
    how |= dict.fromkeys(by_place, "place")
    partners = by_name | by_place
    if not partners and len(fixed) == len(moving):
        keys = zip(moving, fixed, strict=True)
        partners = {one.key: other.key for one, other in keys}
        how = dict.fromkeys(partners, "order")
    taken = set(partners.values())
    order = [one.key for one in moving]
    return Pairing(
        partners={key: partners[key] for key in order if key in partners},
        paired_by={key: how[key] for key in order if key in how},
        fixed_alone=tuple(one.key for one in fixed if one.key not in taken),
        moving_alone=tuple(key for key in order if key not in partners),
    )


def _pair_by_name(fixed: Sequence[Item], moving: Sequence[Item]) -> dict[str, str]:
    """Pair names that each of the two has once."""
    counts = Counter(one.name for one in moving), Counter(one.name for one in fixed)
    keys = {one.name: one.key for one in fixed if counts[1][one.name] == 1}
    return {
        one.key: keys[one.name]
        for one in moving
        if counts[0][one.name] == 1 and one.name in keys
    }


def _pair_by_place(fixed: Sequence[Item], moving: Sequence[Item]) -> dict[str, str]:
    """Pair those that are nearest to each other, and near."""
    from scipy.spatial import cKDTree

    fixed = [one for one in fixed if one.centre_um is not None]
    moving = [one for one in moving if one.centre_um is not None]
    if not fixed or not moving:
        return {}
    trees = cKDTree(_centres_um(fixed)), cKDTree(_centres_um(moving))
    _, nearest_fixed = trees[0].query(_centres_um(moving))
    _, nearest_moving = trees[1].query(_centres_um(fixed))
    return {
        one.key: fixed[index].key
        for position, (one, index) in enumerate(zip(moving, nearest_fixed, strict=True))
        if nearest_moving[index] == position
        and _is_near(_offset_um(fixed[index], one), fixed[index], one)
    }


def _centres_um(items: Sequence[Item]) -> FloatArray:
    return np.array([one.centre_um for one in items], dtype=float)


def _offset_um(fixed: Item, moving: Item) -> FloatArray:
    offset: FloatArray = np.subtract(_centres_um([moving]), _centres_um([fixed]))[0]
    return offset


def _is_near(offset_um: FloatArray, fixed: Item, moving: Item) -> bool:
    limit_um = NEAR * np.minimum(fixed.size_um, moving.size_um)
    return bool(np.all(np.abs(offset_um) <= limit_um))


def _is_contradicted(
    by_name: Mapping[str, str],
    by_place: Mapping[str, str],
    fixed: Sequence[Item],
    moving: Sequence[Item],
) -> bool:
    """Whether names are the same at other places, where others lie.

    All of them off by the same vector are not: the origin was another one.
    """
    other = [key for key in by_name if by_place.get(key, by_name[key]) != by_name[key]]
    if not other:
        return False
    items = {one.key: one for one in fixed}, {one.key: one for one in moving}
    offsets_um = {
        key: _offset_um(items[0][partner], items[1][key])
        for key, partner in by_name.items()
        if items[0][partner].centre_um and items[1][key].centre_um
    }
    common_um = np.median(list(offsets_um.values()), axis=0)
    return any(
        not _is_near(offsets_um[key] - common_um, items[0][by_name[key]], items[1][key])
        for key in other
    )
