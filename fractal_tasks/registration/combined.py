"""Several channels of a ROI as one image, to which each adds what it shows."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from fractal_tasks.registration.brightness import usual_step
from fractal_tasks.registration.patch import (
    Box,
    Patch,
    PatchView,
    Pixels,
    intensity_limits,
)

_NOISE_TIMES = 10.0
"""A contrast of so many times the noise counts half as much as any larger one, and one
of less by its square: as the noise that comes with it then does."""

_SAMPLE_PX = 512
"""Width of the middle of a patch in which noise is measured."""

_QUANTILE = 0.99
"""What is brighter, or darker, than all but one of a hundred pixels is an outlier."""


@dataclass(frozen=True)
class _Share:
    """How much the intensities of a channel count."""

    background: float
    scale: float

    @classmethod
    def of(cls, patch: Patch) -> Self:
        """Measure it: channels with much contrast count alike, noise hardly counts."""
        background, highest = intensity_limits(patch, 0.5, _QUANTILE)
        lowest, _ = intensity_limits(patch, 1 - _QUANTILE, _QUANTILE)
        contrast = max(highest - background, background - lowest)
        noise = usual_step(patch.read(_middle_of(patch)))
        power = contrast**2 + (_NOISE_TIMES * noise) ** 2
        return cls(background, contrast / power if power > 0 else 0.0)


def _middle_of(patch: Patch) -> Box:
    """Give a box of one plane in the middle."""
    sides = (*(1,) * (len(patch.shape) - 2), _SAMPLE_PX, _SAMPLE_PX)
    starts = [
        max(0, (n - side) // 2) for n, side in zip(patch.shape, sides, strict=True)
    ]
    return tuple(
        slice(start, min(start + side, n))
        for start, side, n in zip(starts, sides, patch.shape, strict=True)
    )


@dataclass(frozen=True)
class CombinedPatch(PatchView):
    """The sum of a patch and of those of other channels at the same place."""

    others: tuple[Patch, ...] = field(repr=False)
    shares: tuple[_Share, ...]
    """Of `patch`, and of each of the others."""

    def read(self, box: Box) -> Pixels:
        """Read and add up the pixels of `box`; what is invalid in one is."""
        total = np.zeros([side.stop - side.start for side in box], np.float32)
        for patch, share in zip((self.patch, *self.others), self.shares, strict=True):
            total += np.float32(share.scale) * (
                patch.read(box) - np.float32(share.background)
            )
        return total


def combine(channels: Sequence[Sequence[Patch]], level: int) -> list[Patch]:
    """Give the pyramid of all channels together; of one alone its own.

    Args:
        channels: The pyramid of each, all of the same shapes.
        level: At which contrast and noise are measured.
    """
    first, *others = channels
    if not others:
        return list(first)
    shares = tuple(_Share.of(pyramid[level]) for pyramid in channels)
    return [
        CombinedPatch(patch, tuple(rest), shares)
        for patch, *rest in zip(first, *others, strict=True)
    ]
