"""Division by the brightness around each place, where illumination misleads."""

from dataclasses import dataclass, field

import numpy as np
import scipy

from fractal_tasks.registration.patch import (
    ArrayPatch,
    Box,
    Patch,
    PatchView,
    Pixels,
    ResampledPatch,
)
from fractal_tasks.registration.prepare import fill_invalid, read_binned
from fractal_tasks.registration.structure import STRUCTURE_UM

_BIN_UM = 0.5 * STRUCTURE_UM
"""Pixels on which it is measured: structures are some of them wide."""

_AROUND_UM = 5 * STRUCTURE_UM
"""Around is within so much, of which structures fill less than half."""

_LEAST = 1e-3
"""Part of the usual brightness below which there is none to divide by."""


@dataclass(frozen=True, eq=False)
class Brightness:
    """The median around each place of a ROI, on coarse pixels."""

    values: Pixels
    """Shape ``(y, x)``, of all planes together; 1 in the median."""

    spacing_um: tuple[float, ...]
    """Of these pixels, y and x."""

    @classmethod
    def of(cls, patch: Patch) -> "Brightness":
        """Measure it on a patch of any level."""
        wanted = np.divide(_BIN_UM, patch.spacing_um[-2:])
        most = np.array(patch.shape[-2:])
        y, x = np.clip(np.rint(wanted), 1, most).astype(int).tolist()
        binned = read_binned(patch, (*patch.shape[:-2], y, x))
        binned = binned.reshape(binned.shape[-2:])
        spacing_um = np.multiply(patch.spacing_um[-2:], (y, x))
        width = (2 * np.rint(_AROUND_UM / 2 / spacing_um) + 1).astype(int).tolist()
        around = scipy.ndimage.median_filter(
            fill_invalid(binned), width, mode="nearest"
        )
        smooth = scipy.ndimage.uniform_filter(around, width, mode="nearest")
        usual = float(np.nanmedian(np.abs(smooth))) if smooth.size else 0.0
        if not usual > 0:
            return cls(np.ones_like(smooth), tuple(spacing_um.tolist()))
        values = np.maximum(smooth / usual, _LEAST).astype(np.float32)
        return cls(values, tuple(spacing_um.tolist()))

    def at(self, box: Box, spacing_um: tuple[float, ...]) -> Pixels:
        """Give it at the pixels of a box of a patch, interpolated linearly."""
        coarse = ArrayPatch(self.values, self.spacing_um)
        return ResampledPatch(coarse, spacing_um[-2:]).read(box[-2:])


@dataclass(frozen=True)
class EvenPatch(PatchView):
    """A patch divided by the brightness around each place."""

    brightness: Brightness = field(repr=False)

    def read(self, box: Box) -> Pixels:
        """Read and divide the pixels of `box`."""
        even: Pixels = self.patch.read(box) / self.brightness.at(box, self.spacing_um)
        return even
