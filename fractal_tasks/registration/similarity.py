"""How similar two images are at every shift, each over its true overlap."""

from dataclasses import dataclass
from functools import reduce
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import scipy

from fractal_tasks.registration.patch import Pixels

Shift: TypeAlias = tuple[int, ...]
Indices: TypeAlias = npt.NDArray[np.intp]

_EMPTY = 1e-3
"""Energy per pixel, as a fraction of the image's mean, that counts as no signal.
Without it, two empty corners that share one photon would match perfectly."""


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
    padded = [scipy.fft.next_fast_len(axis.size, real=True) for axis in shifts]
    spectrum = scipy.fft.rfftn(fixed, padded) * scipy.fft.rfftn(moving, padded).conj()
    product = scipy.fft.irfftn(spectrum, padded)
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
