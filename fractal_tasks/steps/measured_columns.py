"""Which measurements of objects hold for another image, by the names of columns."""

import re
from collections.abc import Iterable

from fractal_tasks.transforms import Transform, Translation, Warp, to_affine

CENTROIDS = (
    ("z", "y", "x"),
    ("centroid_z", "centroid_y", "centroid_x"),
    ("centroid_z_um", "centroid_y_um", "centroid_x_um"),
    ("z_centroid", "y_centroid", "x_centroid"),
)
"""What columns of coordinates are called; without the first one for planes."""

_INDEXED = re.compile(r"centroid[-_](\d)")
"""As scikit-image calls them, in the order z, y, x, or y, x."""

_PLACE = re.compile(
    r"(^|[-_ ])(centroid|bbox|boundingbox|cent(er|re)|position|coords|[zyx]|"
    r"[zyx]_micrometer)([-_ ]|\d|$)",
    re.IGNORECASE,
)
_DIRECTION = re.compile(
    r"orientation|angle|feret|inertia_tensor([-_]|$)|moments([-_]|$)|^slice|^image$",
    re.IGNORECASE,
)
_SIZE = re.compile(
    r"size|area|volume|perimeter|axis|diameter|num_pixels|surface|inertia|moments|width|"
    r"height|depth",
    re.IGNORECASE,
)


def find_coordinates(columns: Iterable[str]) -> list[str]:
    """Find the columns of coordinates, in the order z, y, x or y, x; none if unsure."""
    there = set(columns)
    for names in CENTROIDS:
        found = [name for name in names if name in there]
        if found[-2:] == list(names[1:]):
            return found
    return sorted(name for name in there if _INDEXED.fullmatch(name))


def list_outdated(
    columns: Iterable[str], mapped: Iterable[str], transforms: Iterable[Transform]
) -> list[str]:
    """List columns of which values do not hold where the objects are now.

    Places never do. What tells a direction does not if something turned or bent, and
    what tells a size not if lengths changed. Intensities hold.

    Args:
        columns: Names of all.
        mapped: Those that were mapped.
        transforms: What was done.

    Example:
        >>> names = ["label", "y", "x", "bbox-0", "area", "orientation", "mean_DAPI"]
        >>> list_outdated(names, ["y", "x"], [Translation((0.0, 1.0, 2.0))])
        ['bbox-0']
    """
    patterns = [_PLACE]
    if not all(isinstance(one, Translation) for one in transforms):
        patterns.append(_DIRECTION)
    if not all(map(_keeps_lengths, transforms)):
        patterns.append(_SIZE)
    done = set(mapped)
    return [
        name
        for name in columns
        if name not in done and any(one.search(name) for one in patterns)
    ]


def _keeps_lengths(transform: Transform) -> bool:
    return not isinstance(transform, Warp) and to_affine(transform).is_rigid
