"""Searching a whole ROI at low resolution: every shift, each over its true overlap."""

import math
from dataclasses import dataclass
from functools import reduce
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

from fractal_tasks.registration.explained import explained_part
from fractal_tasks.registration.patch import PatchPyramid, Pixels
from fractal_tasks.registration.prepare import band_pass, read_binned
from fractal_tasks.registration.structure import STRUCTURE_UM

Shift: TypeAlias = tuple[int, ...]
Indices: TypeAlias = npt.NDArray[np.intp]

_MAX_READ_PX = 2**20
"""A coarser level is searched while a ROI has more pixels than this."""

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

_EMPTY = 1e-3
"""Energy per pixel, as a fraction of the image's mean, that counts as no signal.
Without it, two empty corners that share one photon would match perfectly."""

_NO_SCORE, _NO_TOTAL = 1e-6, 1e-30
"""Least divisors, where there is no signal to divide by."""


@dataclass(frozen=True)
class ShiftMap:
    """Similarity of two images at every shift (moving to fixed, in pixels)."""

    similarity: Pixels
    """Normalised cross-correlation over the overlap, -1 to 1."""

    overlap: npt.NDArray[np.float64]
    """What both images see, as a fraction of the smaller one."""

    zero: Shift
    """Index of no shift."""

    def similarity_at(self, shift: npt.NDArray[np.float64]) -> float:
        """Interpolate the similarity linearly at a shift in (fractions of) pixels."""
        last = np.subtract(self.similarity.shape, 1)
        index = np.clip(shift + self.zero, 0, last)
        lower = np.floor(index).astype(int)
        values = self.similarity[tuple(slice(first, first + 2) for first in lower)]
        for fraction in index - lower:
            values = values[0] + fraction * (values[-1] - values[0])
        return float(np.clip(values, -1, 1))


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

    fixed: Pixels
    moving: Pixels
    """Binned and band-passed, axes ``(z, y, x)``."""

    spacing_um: npt.NDArray[np.float64]
    shifts: ShiftMap
    scores: npt.NDArray[np.float64]
    """How much each similarity says, given what chance does; 0 where a shift is not
    considered."""

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
        offset = np.rint(shift).astype(int)
        first = np.maximum(0, offset)
        last = np.minimum(self.fixed.shape, self.moving.shape + offset)
        if np.any(last <= first):
            return 0.0
        ours = self.fixed[tuple(map(slice, first, last))]
        theirs = self.moving[tuple(map(slice, first - offset, last - offset))]
        common = ours * theirs
        total = float(common.sum(dtype=np.float64))
        extent_um = np.min(self.fixed.shape[1:] * self.spacing_um[1:])
        structure_um = min(_HEAP_UM, _HEAP_SHARE * extent_um)
        # Odd numbers of pixels, so that the square has a pixel in its middle.
        sides = (2 * np.rint(structure_um / self.spacing_um / 2) + 1).astype(int)
        # From any plane it reaches all of them.
        sides[0] = 2 * common.shape[0] + 1
        local = ndimage.uniform_filter(common, tuple(sides), mode="constant")
        largest = float((np.sign(total) * local).max()) * float(np.prod(sides))
        rest = max(0.0, 1 - largest / max(abs(total), _NO_TOTAL))
        explained = explained_part((ours, self.fixed), (theirs, self.moving))
        return max(rest, explained * math.copysign(1, total))

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
    levels = range(start_level, min(len(fixed), len(moving)))
    sizes = [
        max(math.prod(fixed[level].shape), math.prod(moving[level].shape))
        for level in levels
    ]
    # The finest level that is cheap to read; binning makes a fine level out of it
    # anyway, but reading all pixels is what costs.
    small = [n for n, size in zip(levels, sizes, strict=True) if size <= _MAX_READ_PX]
    level = small[0] if small else levels[-1]
    shape = tuple(map(max, fixed[level].shape, moving[level].shape))
    spacing_um = fixed[level].spacing_um
    factors = _choose_bins(shape, spacing_um)
    small_fixed = band_pass(read_binned(fixed[level], factors))
    small_moving = band_pass(read_binned(moving[level], factors))
    spacing = np.multiply(spacing_um, factors)
    shifts = map_similarity(small_fixed, small_moving)
    return CoarseSearch(
        small_fixed,
        small_moving,
        spacing,
        shifts,
        _score(shifts, limits.min_overlap, limits.max_shift_um / spacing),
    )


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


def map_similarity(fixed: Pixels, moving: Pixels) -> ShiftMap:
    """Correlate two band-passed images at every shift that leaves an overlap.

    Zero padding leaves no wrap-around to resolve, and dividing by the energy inside
    each overlap makes small overlaps comparable with large ones. The images have zero
    mean (and 0 where invalid), so no local mean is needed.

    Args:
        fixed: Reference, any number of axes.
        moving: The other image; its shape may differ.

    References:
        Padfield, IEEE Trans. Image Process. 21, 2706 (2012),
        doi:10.1109/TIP.2011.2181402 (the general case, with masks).
    """
    pairs = list(zip(fixed.shape, moving.shape, strict=True))
    shifts = [np.arange(1 - n_moving, n_fixed) for n_fixed, n_moving in pairs]
    lengths = [
        np.minimum(n_fixed, n_moving + axis) - np.maximum(0, axis)
        for axis, (n_fixed, n_moving) in zip(shifts, pairs, strict=True)
    ]
    # As long as there are shifts: no shift wraps around onto another one.
    padded = [fft.next_fast_len(axis.size, real=True) for axis in shifts]
    spectrum = fft.rfftn(fixed, padded) * fft.rfftn(moving, padded).conj()
    product = fft.irfftn(spectrum, padded)
    # Negative shifts lie at the end of a transform; sort them to the front.
    for axis, shift in enumerate(shifts):
        product = np.take(product, shift, axis=axis, mode="wrap")
    norm = np.sqrt(
        _sum_overlaps(fixed, [np.maximum(0, axis) for axis in shifts], lengths)
        * _sum_overlaps(moving, [np.maximum(0, -axis) for axis in shifts], lengths)
    )
    smaller = min(fixed.size, moving.size)
    return ShiftMap(
        similarity=np.divide(product, norm, out=np.zeros_like(product), where=norm > 0),
        overlap=reduce(np.multiply.outer, lengths) / smaller,
        zero=tuple(n - 1 for n in moving.shape),
    )


def _sum_overlaps(
    image: Pixels, starts: list[Indices], lengths: list[Indices]
) -> npt.NDArray[np.float64]:
    """Add up the energy of `image` in the overlap of every shift."""
    energy = image.astype(np.float64) ** 2
    energy += _EMPTY * energy.mean()
    for axis, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        energy = sum_runs(energy, axis, start, length)
    return energy


def sum_runs(
    values: npt.NDArray[np.float64], axis: int, start: Indices, length: Indices
) -> npt.NDArray[np.float64]:
    """Add up runs of `length` values from `start` along one axis.

    By differences of a running sum, so long runs cost no more than short ones.
    """
    padding = [(int(other == axis), 0) for other in range(values.ndim)]
    running = np.pad(values.cumsum(axis=axis), padding)
    total: npt.NDArray[np.float64] = np.take(running, start + length, axis)
    total -= np.take(running, start, axis)
    return total
