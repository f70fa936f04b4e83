"""How a registration method reads pixels: one ROI of one image, at one level.

A method gets two *patch pyramids*, sequences of patches of the same ROI, finest
level first. It reads only the boxes it needs, so that a field never has to be in
memory at full resolution. The other patches here wrap one to show it differently.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Box: TypeAlias = tuple[slice, ...]
"""One slice per axis, non-negative start and stop, step 1."""

Pixels: TypeAlias = npt.NDArray[np.float32]

MAX_READ_PX = 2**22
"""Pixels held at once by what reads in blocks: one 2048 x 2048 plane, 16 MiB."""

_NORMAL_SD_PER_MAD = 1.4826
_BRIGHT_SDS = 5.0
"""Noise alone exceeds the background by so many standard deviations 3 in 10^7 times."""


class Patch(Protocol):
    """Pixels of one ROI at one resolution, axes ``([z,] y, x)``, read on demand."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of pixels per axis."""
        ...

    @property
    def spacing_um(self) -> tuple[float, ...]:
        """Pixel size per axis, in micrometres, same order as `shape`."""
        ...

    def read(self, box: Box) -> Pixels:
        """Read the pixels of `box`, which lies inside `shape`, as float32."""
        ...


PatchPyramid: TypeAlias = Sequence[Patch]


@dataclass(frozen=True)
class ArrayPatch:
    """A patch that is in memory.

    Example:
        >>> patch = ArrayPatch(np.arange(12).reshape(3, 4), spacing_um=(0.65, 0.65))
        >>> patch.shape
        (3, 4)
        >>> patch.read((slice(1, 3), slice(0, 2))).tolist()
        [[4.0, 5.0], [8.0, 9.0]]
    """

    array: npt.NDArray[np.generic]
    spacing_um: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of pixels per axis."""
        return self.array.shape

    def read(self, box: Box) -> Pixels:
        """Read the pixels of `box`."""
        return np.asarray(self.array[box], dtype=np.float32)


@dataclass(frozen=True)
class VolumePatch:
    """A 2D patch seen as a volume of one plane, 1 um thick; a volume as it is."""

    patch: Patch

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of pixels per axis: z, y, x."""
        return (1, *self.patch.shape)[-3:]

    @property
    def spacing_um(self) -> tuple[float, ...]:
        """Pixel size per axis: z, y, x."""
        return (1.0, *self.patch.spacing_um)[-3:]

    def read(self, box: Box) -> Pixels:
        """Read the pixels of `box`."""
        pixels = self.patch.read(box[-len(self.patch.shape) :])
        return pixels.reshape((1, *pixels.shape)[-3:])


@dataclass(frozen=True)
class MaxProjectionPatch:
    """The brightest pixel over z of a 3D patch; invalid (NaN) pixels do not count."""

    patch: Patch

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of pixels per axis: y, x."""
        return self.patch.shape[1:]

    @property
    def spacing_um(self) -> tuple[float, ...]:
        """Pixel size per axis: y, x."""
        return self.patch.spacing_um[1:]

    def read(self, box: Box) -> Pixels:
        """Project `box`, a few planes in memory at a time."""
        shape = tuple(axis.stop - axis.start for axis in box)
        planes = max(1, MAX_READ_PX // max(1, math.prod(shape)))
        projected = np.full(shape, np.nan, dtype=np.float32)
        depth = self.patch.shape[0]
        for first in range(0, depth, planes):
            slab = self.patch.read((slice(first, min(depth, first + planes)), *box))
            np.fmax(projected, np.fmax.reduce(slab, axis=0), out=projected)
        return projected


@dataclass(frozen=True)
class ResampledPatch:
    """A patch on another pixel size, interpolated linearly.

    The first corners coincide, and a pixel's centre is half a pixel from its corner,
    so nothing moves. Half a pixel along the border is extrapolated by repetition. Ask
    for about the pixel size of `patch`: much coarser pixels would be undersampled.
    """

    patch: Patch
    spacing_um: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of whole pixels per axis that `patch` covers, at least 1."""
        extents = zip(
            self.patch.shape, self.patch.spacing_um, self.spacing_um, strict=True
        )
        return tuple(max(1, math.floor(n * s / new + 1e-6)) for n, s, new in extents)

    def read(self, box: Box) -> Pixels:
        """Read the pixels of `box` from the pixels below it."""
        lower, weights = zip(*map(self._locate, range(len(box)), box), strict=True)
        starts = [int(index.min()) for index in lower]
        stops = [
            min(int(index.max()) + 2, size)
            for index, size in zip(lower, self.patch.shape, strict=True)
        ]
        pixels = self.patch.read(tuple(map(slice, starts, stops)))
        for axis, (index, weight) in enumerate(zip(lower, weights, strict=True)):
            first = index - starts[axis]
            last = np.minimum(first + 1, pixels.shape[axis] - 1)
            shape = [-1 if other == axis else 1 for other in range(pixels.ndim)]
            fraction = weight.reshape(shape)
            low, high = np.take(pixels, first, axis), np.take(pixels, last, axis)
            pixels = low + fraction * (high - low)
        return pixels

    def _locate(
        self, axis: int, span: slice
    ) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32]]:
        """Find the pixel of `patch` before each centre, and the way to the next."""
        ratio = self.spacing_um[axis] / self.patch.spacing_um[axis]
        last = self.patch.shape[axis] - 1
        position = (np.arange(span.start, span.stop) + 0.5) * ratio - 0.5
        position = np.clip(position, 0, last)
        lower = np.floor(position).astype(np.intp)
        return lower, (position - lower).astype(np.float32)


@dataclass(frozen=True)
class PatchView:
    """A patch of the shape and pixel size of another one."""

    patch: Patch

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of pixels per axis."""
        return self.patch.shape

    @property
    def spacing_um(self) -> tuple[float, ...]:
        """Pixel size per axis, in micrometres."""
        return self.patch.spacing_um


@dataclass(frozen=True)
class ClippedPatch(PatchView):
    """A patch with intensities below `lower` and above `upper` set to these."""

    lower: float
    upper: float

    def read(self, box: Box) -> Pixels:
        """Read and clip the pixels of `box`."""
        return np.clip(self.patch.read(box), self.lower, self.upper)


def intensity_limits(
    patch: Patch, lower_quantile: float, upper_quantile: float
) -> tuple[float, float]:
    """Find the intensities of two quantiles (0 to 1), for `ClippedPatch`.

    The upper quantile is taken among the pixels that stand out from the background.
    Among all pixels, 1 % of them could be all the nuclei of a sparse field.

    Takes every n-th pixel in y and x, at most 65 536 in all; invalid (NaN) pixels do
    not count. A patch without a valid pixel gives ``(0.0, 0.0)``.
    """
    step = math.ceil(math.sqrt(math.prod(patch.shape) / 2**16))
    every = (..., slice(None, None, step), slice(None, None, step))
    boxes = iterate_boxes(patch.shape, (1,) * len(patch.shape))
    sample = np.concatenate([patch.read(box)[every].ravel() for box in boxes])
    sample = sample[np.isfinite(sample)]
    if sample.size == 0:
        return 0.0, 0.0
    median = np.median(sample)
    deviation = _NORMAL_SD_PER_MAD * np.median(np.abs(sample - median))
    bright = sample[sample > median + _BRIGHT_SDS * deviation]
    lower = float(np.quantile(sample, lower_quantile))
    upper = float(np.quantile(bright if bright.size else sample, upper_quantile))
    return lower, max(lower, upper)


def iterate_boxes(
    shape: tuple[int, ...], factors: tuple[int, ...], max_px: int = MAX_READ_PX
) -> Iterator[Box]:
    """Divide a patch into boxes of bounded size that start at multiples of `factors`.

    The first axis is cut into steps of its factor, so a volume is read plane by plane.
    """
    side = math.isqrt(max_px // (factors[0] if len(shape) > 2 else 1))
    steps = [max(factor, side // factor * factor) for factor in factors]
    if len(shape) > 2:
        steps[0] = factors[0]
    starts = [range(0, n, step) for n, step in zip(shape, steps, strict=True)]
    for corner in product(*starts):
        yield tuple(
            slice(start, min(start + step, n))
            for start, step, n in zip(corner, steps, shape, strict=True)
        )
