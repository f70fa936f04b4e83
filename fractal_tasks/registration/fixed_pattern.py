"""What a camera shows at the same pixels in every field: hot pixels, dust, scratches.

In a comparison of two acquisitions it votes for no movement, and in a field without
cells it is all there is. Many fields show it, and different fields that are compared
tell how similar it alone makes two images.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy

from fractal_tasks.registration.patch import Box, Patch, PatchView, Pixels
from fractal_tasks.registration.prepare import band_pass, extract_detail, read_binned
from fractal_tasks.registration.similarity import sum_runs

Mask = npt.NDArray[np.bool_]

_MAX_FIELDS = 12
"""More fields cost time and add little."""

_MIN_FIELDS = 4
"""Fewer can show the same cells by chance."""

_MAX_BINS = 256
"""Bins, not pixels, are masked: so many along an axis at most."""

_CHANCE = 1e-6
"""Probability that noise makes a bin look like fixed pattern: with 256 x 256 bins, one
image in 15 has one such bin."""

_RINGING, _RING_BINS, _PASSES = 0.2, 13, 3
"""The difference of Gaussians rings around a bright bin, as far as the wider one (4
bins) reaches. So what is fainter than 0.2 of a bin within 6 bins waits for a pass in
which that bin is left out. What three passes leave is faint: see `explains`."""

_TOLERANCE_BINS = 1e-6
"""Pixel sizes are stored with rounding: an edge that touches a bin is not in it."""

_SURPRISING_SDS, _LEAST_SD = 5.0, 0.02
"""Two views of one place must be so many standard deviations more similar than those of
two places. These are few and may be alike by chance, so the deviation has a minimum.
Of the mean of different fields, it is so many standard errors."""

_CERTAIN = 0.9
"""Whatever the spread, views are of one place if they are so much of the way from the
similarity of two places to 1."""

_STILL_BINS = 1.0
"""A shift below this may be the pattern itself: it is binned, so its own shift of 0 may
be measured as up to a bin."""

_VISIBLE = 0.1
"""Different fields that are on average more similar than this show the camera, if so
many pairs hardly are by chance."""

_AS_SIMILAR, _ITSELF = 0.5, 0.999
"""Another field is as similar as the own partner if it is half as much: of different
cells, views are a tenth as similar at most. Beyond 0.999 it is the same view."""


@dataclass(frozen=True, eq=False)
class FixedPattern:
    """Where a camera shows itself, and how similar that makes two images."""

    mask: Mask
    """True where bins are to be left out, shape ``(y, x)``."""

    factors: tuple[int, ...]
    """Pixels per bin, of the patches it was found in."""

    spacing_um: tuple[float, float]
    """Size of a bin."""

    views: tuple[Pixels, Pixels]
    """What is left of some fields, in either acquisition: detail, ``(n, y, x)``."""

    @cached_property
    def still(self) -> "Chance":
        """How similar it makes different fields without a shift."""
        return self._chance_at((0, 0))

    def shows_in(self, fixed: Patch, moving: Patch) -> bool:
        """Tell whether other fields are similar to this one without a shift.

        All of them on average, more than by chance; or one of them about as much as
        the two views of the field are: where most fields are empty, these show nothing
        but the camera, and those with cells hardly do.

        Args:
            fixed: As one of those the pattern was found in.
            moving: The same.
        """
        if self.still.mean > self.still.least_visible:
            return True
        one, two = self._details_of(fixed, moving)
        own = float(_find_similarity(one, two, (0, 0))[0, 0])
        # In both acquisitions, as cells may lie alike by chance in one.
        others = np.minimum(
            _find_similarity(one, self.views[1], (0, 0))[0],
            _find_similarity(self.views[0], two, (0, 0))[:, 0],
        )
        is_itself = _find_similarity(one, self.views[0], (0, 0))[0] > _ITSELF
        return bool(np.any(others[~is_itself] > max(_VISIBLE, _AS_SIMILAR * own)))

    def explains(
        self, fixed: Patch, moving: Patch, shift_um: tuple[float, float]
    ) -> bool:
        """Tell whether two views of a field are no more similar than of two fields.

        Args:
            fixed: As one of those the pattern was found in.
            moving: The same.
            shift_um: How they were found to be shifted (y, x). A broad pattern, or one
                that repeats, also makes others than no shift, but is most similar
                without: what is more similar elsewhere moved with the sample.
        """
        bins = np.divide(shift_um, self.spacing_um)
        is_still = bool(np.abs(bins).max() < _STILL_BINS)
        y, x = (0, 0) if is_still else np.rint(bins).astype(int).tolist()
        if max(np.abs((y, x)) - self.mask.shape) >= 0:
            return False
        chance = self.still if is_still else self._chance_at((y, x))
        if not is_still and not chance.least_visible < chance.mean < self.still.mean:
            return False
        one, two = self._details_of(fixed, moving)
        # A stain may be inverted, a camera never is.
        return abs(float(_find_similarity(one, two, (y, x))[0, 0])) < chance.limit

    def _details_of(self, fixed: Patch, moving: Patch) -> tuple[Pixels, Pixels]:
        one, two = (
            _find_detail(_read(patch, self.factors), self.mask)[None]
            for patch in (fixed, moving)
        )
        return one, two

    def _chance_at(self, shift: tuple[int, int]) -> "Chance":
        # Images of field i and of field j, i not j, have only the camera in common.
        similarity = _find_similarity(*self.views, shift)
        different = similarity[~np.eye(len(similarity), dtype=bool)]
        return Chance(float(different.mean()), float(different.std()), len(different))


@dataclass(frozen=True)
class Chance:
    """How similar views of different fields are."""

    mean: float
    spread: float
    """Standard deviation."""

    pairs: int
    """How many were compared."""

    @property
    def least_visible(self) -> float:
        """What the mean must exceed to be the camera, and not chance in few pairs."""
        surprising = _SURPRISING_SDS * self.spread / math.sqrt(self.pairs)
        return max(_VISIBLE, surprising)

    @property
    def limit(self) -> float:
        """A similarity that different fields do not reach."""
        surprising = _SURPRISING_SDS * max(self.spread, _LEAST_SD)
        return self.mean + min(surprising, _CERTAIN * (1 - self.mean))


def find_fixed_pattern(
    fixed: Sequence[Patch], moving: Sequence[Patch]
) -> FixedPattern | None:
    """Find what a camera shows at the same place in different fields.

    Args:
        fixed: Different fields of one acquisition, all of one shape ``([z,] y, x)``; of
            a stack the mean over z is taken.
        moving: The same fields in the other acquisition, in the same order.

    Returns:
        None for a single field, or fields of several shapes: these cannot tell.
    """
    fields = [*fixed, *moving]
    if len(fixed) < 2 or len({field.shape for field in fields}) > 1:
        return None
    shape, spacing_um = fields[0].shape, fields[0].spacing_um
    bins = [max(1, -(-n // _MAX_BINS)) for n in shape[-2:]]
    factors = (*(1,) * (len(shape) - 2), *bins)
    # Evenly: the fields at one end of a well may all be empty.
    chosen = np.linspace(0, len(fixed) - 1, min(len(fixed), _MAX_FIELDS))
    sides = [
        np.stack([_read(side[index], factors) for index in np.rint(chosen).astype(int)])
        for side in (fixed, moving)
    ]
    mask = _find_mask(sides[0]) | _find_mask(sides[1])
    one, two = (
        np.stack([_find_detail(image, mask) for image in side]) for side in sides
    )
    bin_um = spacing_um[-2] * bins[0], spacing_um[-1] * bins[1]
    return FixedPattern(mask, factors, bin_um, (one, two))


def _read(patch: Patch, factors: tuple[int, ...]) -> Pixels:
    """Read an image of bins, of a stack its mean; with hot pixels, which are sought."""
    image = read_binned(patch, factors, outliers=True)
    return image if image.ndim == 2 else image.mean(axis=0)


def _leave_out(mask: Mask, images: Pixels) -> Pixels:
    """Give images with masked bins invalid."""
    return np.where(mask, np.float32(np.nan), images)


def _find_detail(image: Pixels, mask: Mask) -> Pixels:
    """Give the detail of the bins that are not masked, 0 of the others."""
    return band_pass(_leave_out(mask, image))


def _find_similarity(
    fixed: Pixels, moving: Pixels, shift: tuple[int, int]
) -> npt.NDArray[np.float64]:
    """Correlate (-1 to 1) each of some images with each of others at a shift."""
    boxes = [
        tuple(
            slice(max(0, by), n + min(0, by))
            for by, n in zip(shift_of_one, fixed.shape[1:], strict=True)
        )
        for shift_of_one in (shift, (-shift[0], -shift[1]))
    ]
    vectors = []
    for images, box in zip((fixed, moving), boxes, strict=True):
        flat = images[(slice(None), *box)].reshape(len(images), -1)
        # Bright spots on dark ground would be alike at any shift.
        flat = flat - flat.mean(axis=1, keepdims=True)
        lengths = np.linalg.norm(flat, axis=1, keepdims=True)
        vectors.append(
            np.divide(flat, lengths, out=np.zeros_like(flat), where=lengths > 0)
        )
    similarity: npt.NDArray[np.float64] = vectors[0] @ vectors[1].T
    return similarity


def _find_mask(images: Pixels) -> Mask:
    """Find bins that show the same in all images of one acquisition."""
    mask = np.zeros(images.shape[1:], bool)
    if len(images) < _MIN_FIELDS:
        return mask
    for _ in range(_PASSES):
        found = _find_shared(_leave_out(mask, images))
        if not found.any():
            break
        mask |= found
    return mask


def _find_shared(images: Pixels) -> Mask:
    """Find the bins whose detail stands out by Student's t.

    Cells differ between fields, the camera does not.
    """
    details = np.stack([extract_detail(image) for image in images])
    shared = np.abs(details.mean(axis=0))
    error = details.std(axis=0, ddof=1) / np.sqrt(len(details))
    limit = scipy.special.stdtrit(len(details) - 1, 1 - _CHANCE)
    # A spread from a few fields is small somewhere by chance: no bin gets less than is
    # usual in this image.
    significant = shared > limit * np.maximum(error, np.median(error))
    found: Mask = significant & (
        shared > _RINGING * scipy.ndimage.maximum_filter(shared, _RING_BINS)
    )
    return found


@dataclass(frozen=True)
class MaskedPatch(PatchView):
    """A patch in which the pixels of a fixed pattern are invalid (NaN)."""

    pattern: FixedPattern

    def read(self, box: Box) -> Pixels:
        """Read the pixels of `box`; any that touches a masked bin is invalid."""
        # Levels have other pixels than the bins: count the masked bins that each pixel
        # touches, along one axis and then along the other.
        touched = self.pattern.mask.astype(np.float64)
        for axis, span in enumerate(box[-2:]):
            scale = self.spacing_um[axis - 2] / self.pattern.spacing_um[axis]
            edges = np.arange(span.start, span.stop + 1) * scale
            bins = touched.shape[axis]
            first = np.minimum(edges[:-1] + _TOLERANCE_BINS, bins - 1).astype(int)
            last = np.ceil(edges[1:] - _TOLERANCE_BINS).astype(int)
            length = np.clip(last, first + 1, bins) - first
            touched = sum_runs(touched, axis, first, length)
        return np.where(touched > 0, np.float32(np.nan), self.patch.read(box))
