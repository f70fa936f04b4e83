"""The part of a ROI that is compared: what an object covers, or what stands out."""

import math
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt
import scipy

from fractal_tasks.registration.brightness import saturate
from fractal_tasks.registration.patch import Box, Patch, PatchView, Pixels
from fractal_tasks.registration.prepare import read_binned
from fractal_tasks.registration.structure import STRUCTURE_UM

Mask = npt.NDArray[np.bool_]

_MARGIN_UM = 0.5 * STRUCTURE_UM
"""Around objects: their borders tell most about where they are."""

_MAX_PX = 512
"""Pixels along y and x on which a threshold is found."""

_BINS = 256
"""Of the histogram of intensities."""


@dataclass(frozen=True, eq=False)
class Region:
    """What of a ROI is compared."""

    mask: Mask
    """Axes ``([z,] y, x)``, from the first corner of the ROI on."""

    spacing_um: tuple[float, ...]
    """Size of its pixels, same order."""

    @classmethod
    def around(cls, objects: Mask, spacing_um: tuple[float, ...]) -> Self:
        """Give objects with a margin of half a structure around them, in the plane.

        Args:
            objects: Where they are, axes ``([z,] y, x)``.
            spacing_um: Size of these pixels, same order.
        """
        reach = np.ceil(np.divide(_MARGIN_UM, spacing_um[-2:])).astype(int)
        size = (*(1,) * (objects.ndim - 2), *(2 * reach + 1).tolist())
        return cls(
            scipy.ndimage.maximum_filter(objects, size, mode="constant"), spacing_um
        )

    @classmethod
    def of_bright(cls, patch: Patch) -> Self:
        """Give what is brighter than Otsu's threshold, with the same margin.

        The threshold is found on intensities that are compressed above ten times the
        noise, or debris would be all that is brighter.

        References:
            Otsu, IEEE Trans. Syst. Man Cybern. 9, 62 (1979),
            doi:10.1109/TSMC.1979.4310076.
        """
        bins = [math.ceil(n / _MAX_PX) for n in patch.shape[-2:]]
        factors = (*(1,) * (len(patch.shape) - 2), *bins)
        image = saturate(read_binned(patch, factors))
        spacing_um = tuple(np.multiply(patch.spacing_um, factors).tolist())
        return cls.around(image > find_threshold(image), spacing_um)

    def at(self, box: Box, spacing_um: tuple[float, ...]) -> Mask:
        """Tell which pixels of a box of a patch are in it, by their centres."""
        mask = self.mask
        if mask.ndim > len(box):
            mask = np.any(mask, axis=0)
        for axis in range(-mask.ndim, 0):
            ratio = spacing_um[axis] / self.spacing_um[axis]
            places = (np.arange(box[axis].start, box[axis].stop) + 0.5) * ratio
            nearest = np.minimum(places.astype(np.intp), mask.shape[axis] - 1)
            mask = mask.take(nearest, axis=axis)
        return mask


@dataclass(frozen=True)
class RegionPatch(PatchView):
    """A patch of which pixels outside of a region are invalid (NaN)."""

    region: Region = field(repr=False)

    def read(self, box: Box) -> Pixels:
        """Read the pixels of `box`."""
        inside = self.region.at(box, self.spacing_um)
        return np.where(inside, self.patch.read(box), np.float32(np.nan))


def find_threshold(image: Pixels) -> float:
    """Find the intensity that parts the pixels into two classes most unlike (Otsu).

    Invalid (NaN) pixels do not count; without any valid one it is infinity.

    Example:
        >>> 1 < find_threshold(np.array([0, 1, 1, 8, 9, 9], np.float32)) < 8
        True
    """
    valid = image[np.isfinite(image)]
    if valid.size == 0:
        return math.inf
    counts, edges = np.histogram(valid, _BINS)
    centres = (edges[:-1] + edges[1:]) / 2
    below = counts.cumsum()[:-1]
    above = valid.size - below
    total = (counts * centres).cumsum()
    apart = total[:-1] / np.maximum(below, 1) - (total[-1] - total[:-1]) / np.maximum(
        above, 1
    )
    between = below * above * apart**2
    # Between classes that are far apart any threshold is as good: the middle of these.
    best = np.flatnonzero(between == between.max())
    return float(edges[1 + (best[0] + best[-1]) // 2])
