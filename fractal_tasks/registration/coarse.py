"""Searching a whole ROI at low resolution: every shift, each over its true overlap."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import scipy

from fractal_tasks.registration.brightness import Limits, limit_to_common, saturate
from fractal_tasks.registration.explained import explained_part
from fractal_tasks.registration.patch import Box, PatchPyramid, Pixels
from fractal_tasks.registration.prepare import band_pass, read_binned
from fractal_tasks.registration.similarity import Shift, ShiftMap, map_similarity
from fractal_tasks.registration.structure import STRUCTURE_UM

MAX_WHOLE_PX = 2**20
"""A coarser level is read as a whole while a ROI has more pixels than this."""

_MAX_SHIFTS = 2**21
"""Limit of the shifts to try: 724 x 724 px, or 10 planes of 166 x 166 px."""

_ENOUGH_SHIFTS, _ENOUGH_UM = 2**18, 0.25 * STRUCTURE_UM
"""Images of 256 x 256 px are small enough, and pixels of a quarter of a nucleus are
coarse enough: the narrower Gaussian of the band-pass then still resolves it."""

_TOO_FINE_UM, _LEAST_PX = 0.12 * STRUCTURE_UM, 64
"""Pixels below about 1/8 of a nucleus would let the wider Gaussian of the band-pass (4
pixels) keep texture, and not cells: they are binned while as many pixels are left."""

_MANY_PLANES = 8
"""Fewer are not binned: half of them would be too few to find the shift in z."""

_PEAK_RADIUS_PX = 4
"""Shifts around a peak that belong to it: the larger sigma of the band-pass."""

_HEAP_UM, _HEAP_SHARE = 1.6 * STRUCTURE_UM, 0.2
"""Size of the strongest single structure, a large nucleus or a heap of dirt, and the
most that it is of a ROI: in one that shows a single cell it is a part of the cell."""

_DAZZLED = 0.8
"""Debris hides the rest from a fifth of all detail on, where structures are few."""

_NO_SCORE, _NO_TOTAL = 1e-6, 1e-30
"""Least divisors, where there is no signal to divide by."""


@dataclass(frozen=True)
class SearchLimits:
    """Which shifts are considered."""

    min_overlap: float
    """Smallest part of the smaller image that both must see."""

    max_shift_um: float
    """Largest shift along each axis."""


@dataclass(frozen=True)
class CoarseSearch:
    """Two ROIs at low resolution and how similar they are at every shift."""

    images: tuple[Pixels, Pixels]
    """Fixed and moving, binned; axes ``(z, y, x)``. NaN marks invalid pixels."""

    fixed: Pixels
    moving: Pixels
    """The same, band-passed."""

    spacing_um: npt.NDArray[np.float64]
    shifts: ShiftMap
    limits: SearchLimits
    scores: npt.NDArray[np.float64]
    """How much each similarity says, given what chance does; 0 where a shift is not
    considered."""

    @classmethod
    def of(
        cls,
        images: tuple[Pixels, Pixels],
        details: tuple[Pixels, Pixels],
        spacing_um: npt.NDArray[np.float64],
        limits: SearchLimits,
    ) -> Self:
        """Compare two images at every shift.

        Args:
            images: Binned.
            details: The same, band-passed.
            spacing_um: Size of their pixels.
            limits: Which shifts are considered.
        """
        shifts = map_similarity(*details)
        scores = _score(shifts, limits.min_overlap, limits.max_shift_um / spacing_um)
        return cls(images, *details, spacing_um, shifts, limits, scores)

    def of_structures(self) -> Self:
        """Compare where pixels stand out, not by how much."""
        fixed, moving = (band_pass(saturate(image)) for image in self.images)
        return self.of(self.images, (fixed, moving), self.spacing_um, self.limits)

    def is_dazzled(self) -> bool:
        """Tell whether most detail of an image is brighter than what both show.

        Asked of `of_structures`; if not, brightness has not misled.
        """
        peaks = self.find_peaks(1)
        if not peaks:
            return False
        parts = (
            _sum_detail(np.clip(image, *limits)) / max(_sum_detail(image), _NO_TOTAL)
            for image, limits in zip(self.images, self.limits_at(peaks[0]), strict=True)
        )
        return min(parts) < _DAZZLED

    def limits_at(self, shift: Shift) -> tuple[Limits, Limits]:
        """Give the intensities between which both show the same at a shift."""
        fixed_box, moving_box = self._overlap(np.array(shift))
        return limit_to_common(
            (self.images[0][fixed_box], self.images[1][moving_box]),
            (self.fixed[fixed_box], self.moving[moving_box]),
            np.sign(self.shifts.similarity_at(np.array(shift))),
        )

    def find_peaks(self, count: int) -> list[Shift]:
        """Find the shifts of the highest separate peaks, best first."""
        scores = self.scores.copy()
        peaks: list[Shift] = []
        while len(peaks) < count and scores.max() > 0:
            top = np.unravel_index(scores.argmax(), scores.shape)
            peak = tuple(int(i - z) for i, z in zip(top, self.shifts.zero, strict=True))
            scores[self._around(np.array(peak))] = 0
            peaks.append(peak)
        return peaks

    def lead_of(self, shift: npt.NDArray[np.float64]) -> float:
        """Give the score around a shift over the highest one elsewhere.

        Only what remains of the score without the structure that adds most to it: one
        speck of dirt always matches another, unless there is nothing else, nor noise.
        """
        around = self._around(shift)
        elsewhere = self.scores.copy()
        elsewhere[around] = 0
        height = float(self.scores[around].max(initial=0))
        return self._rest(shift) * height / max(float(elsewhere.max()), _NO_SCORE)

    def _rest(self, shift: npt.NDArray[np.float64]) -> float:
        """Give the part of the correlation that needs more than its strongest place."""
        fixed_box, moving_box = self._overlap(shift)
        ours, theirs = self.fixed[fixed_box], self.moving[moving_box]
        if not ours.size:
            return 0.0
        common = ours * theirs
        total = float(common.sum(dtype=np.float64))
        extent_um = np.min(self.fixed.shape[1:] * self.spacing_um[1:])
        structure_um = min(_HEAP_UM, _HEAP_SHARE * extent_um)
        # Odd numbers of pixels, so that the square has a pixel in its middle.
        sides = (2 * np.rint(structure_um / self.spacing_um / 2) + 1).astype(int)
        # From any plane it reaches all of them.
        sides[0] = 2 * common.shape[0] + 1
        local = scipy.ndimage.uniform_filter(common, tuple(sides), mode="constant")
        largest = float((np.sign(total) * local).max()) * float(np.prod(sides))
        rest = max(0.0, 1 - largest / max(abs(total), _NO_TOTAL))
        explained = explained_part((ours, self.fixed), (theirs, self.moving))
        return max(rest, explained * math.copysign(1, total))

    def _overlap(self, shift: npt.NDArray[np.float64]) -> tuple[Box, Box]:
        """Give the parts of both that lie on each other at a shift."""
        offset = np.rint(shift).astype(int)
        first = np.maximum(0, offset)
        last = np.maximum(
            first, np.minimum(self.fixed.shape, self.moving.shape + offset)
        )
        return (
            tuple(map(slice, first, last)),
            tuple(map(slice, first - offset, last - offset)),
        )

    def _around(self, shift: npt.NDArray[np.float64]) -> tuple[slice, ...]:
        """Give the part of the scores that belongs to a peak at a shift."""
        centre = np.rint(shift + self.shifts.zero).astype(int)
        first = np.clip(centre - _PEAK_RADIUS_PX, 0, self.scores.shape)
        last = np.clip(centre + _PEAK_RADIUS_PX + 1, 0, self.scores.shape)
        return tuple(map(slice, first, last))


def search_coarsely(
    fixed: PatchPyramid,
    moving: PatchPyramid,
    start_level: int,
    limits: SearchLimits,
) -> CoarseSearch:
    """Compare whole ROIs at a level no finer than `start_level`, binned further.

    Args:
        fixed: Volumes, finest level first.
        moving: Volumes of the same spacing; their shape may differ.
        start_level: Index of the finest level that may be read as a whole.
        limits: Which shifts are considered.
    """
    # Binning makes a coarse level out of it anyway, but reading all pixels is what
    # costs.
    level, _ = choose_level(fixed, moving, start_level)
    shape = tuple(map(max, fixed[level].shape, moving[level].shape))
    spacing_um = fixed[level].spacing_um
    factors = _choose_bins(shape, spacing_um)
    fixed_image = read_binned(fixed[level], factors)
    moving_image = read_binned(moving[level], factors)
    return CoarseSearch.of(
        (fixed_image, moving_image),
        (band_pass(fixed_image), band_pass(moving_image)),
        np.multiply(spacing_um, factors),
        limits,
    )


def choose_level(
    fixed: PatchPyramid,
    moving: PatchPyramid,
    start_level: int,
    most_px: int = MAX_WHOLE_PX,
) -> tuple[int, int]:
    """Choose what is read as a whole: the finest level that is small, or the last one.

    Args:
        fixed: Volumes, finest level first.
        moving: The same of the other image.
        start_level: Index of the finest level that may be chosen.
        most_px: Number of pixels that is small.

    Returns:
        The level, and how many pixels the larger of the two has there.
    """
    levels = range(start_level, min(len(fixed), len(moving)))
    sizes = [
        max(math.prod(fixed[level].shape), math.prod(moving[level].shape))
        for level in levels
    ]
    found = zip(levels, sizes, strict=True)
    small = [(level, size) for level, size in found if size <= most_px]
    return small[0] if small else (levels[-1], sizes[-1])


def _sum_detail(image: Pixels) -> float:
    """Add up what the image counts in a correlation with itself."""
    return float(np.square(band_pass(image)).sum(dtype=np.float64))


def _score(
    shifts: ShiftMap, min_overlap: float, max_shift_px: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Weigh the similarities, of either sign, by how little chance explains them.

    The spread by chance goes with the inverse square root of the number of pixels, so
    a similarity counts the less the smaller the overlap. A stain with inverted contrast
    has a negative similarity.
    """
    scores: npt.NDArray[np.float64] = np.abs(shifts.similarity) * np.sqrt(
        shifts.overlap
    )
    scores[shifts.overlap < min_overlap] = 0
    for axis, limit in enumerate(max_shift_px):
        steps = np.arange(scores.shape[axis]) - shifts.zero[axis]
        np.moveaxis(scores, axis, 0)[np.abs(steps) > limit] = 0
    return scores


def _choose_bins(
    shape: tuple[int, ...], spacing_um: tuple[float, ...]
) -> tuple[int, ...]:
    """Choose how many pixels to average per axis (z, y, x), powers of 2.

    Binning goes on while there are too many shifts to try, while it makes the search
    faster and loses no cells, or while pixels show the texture of cells. z is binned
    only while planes are many and closer than pixels are wide.
    """
    factors = (1, 1, 1)
    while True:
        planes, *sides = sizes = [n // f for n, f in zip(shape, factors, strict=True)]
        depth_um, *widths_um = np.multiply(spacing_um, factors)
        pixel_um = min(widths_um)
        shifts = math.prod(2 * n - 1 for n in sizes)
        too_many = shifts > _MAX_SHIFTS
        can_be_faster = shifts > _ENOUGH_SHIFTS and pixel_um < _ENOUGH_UM
        shows_texture = pixel_um < _TOO_FINE_UM and min(sides) >= 2 * _LEAST_PX
        if not (too_many or can_be_faster or shows_texture):
            return factors
        z, y, x = factors
        close = planes >= _MANY_PLANES and depth_um < pixel_um
        factors = (2 * z, y, x) if close else (z, 2 * y, 2 * x)
