"""What elastix gets of a pair of ROIs."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fractal_tasks.registration.itk_elastix import ElastixImage
from fractal_tasks.registration.mapped import MappedPatch
from fractal_tasks.registration.patch import ArrayPatch
from fractal_tasks.registration.prepare import fill_invalid
from fractal_tasks.registration.volume_pair import VolumePair
from fractal_tasks.transforms import Affine

_LEAST_PX, _LEAST_SEEN = 16, 0.05
"""Pixels per side (y, x), and part of the ROI that both see, with which elastix starts:
it samples what both see, and its pyramid halves each side."""


@dataclass(frozen=True)
class Images:
    """What elastix gets."""

    fixed: ElastixImage
    moving: ElastixImage

    seen: npt.NDArray[np.bool_]
    """The pixels of `fixed` that count: those that both show, where registration
    starts; for what bends, without those that it is judged by."""


def read_images(pair: VolumePair, start: Affine, *, bends: bool) -> Images | None:
    """Read both images; None if they show too little to start with."""
    ours, theirs = pair.read(finely=bends)
    whole = tuple(slice(0, n) for n in ours.shape)
    fixed = ours.read(whole)
    shown = MappedPatch(theirs, start, ours.shape).read(whole)
    seen = np.isfinite(fixed) & np.isfinite(shown)
    if min(ours.shape[1:]) < _LEAST_PX or seen.mean() < _LEAST_SEEN:
        return None
    if not (np.ptp(fixed[seen]) and np.ptp(shown[seen])):
        return None
    if bends:
        seen &= ~pair.hold_out(ours)
    ndim = 2 if ours.shape[0] == theirs.shape[0] == 1 else 3
    return Images(
        _to_image(ours, ndim),
        _to_image(theirs, ndim),
        seen.reshape(seen.shape[-ndim:]),
    )


def _to_image(patch: ArrayPatch, ndim: int) -> ElastixImage:
    """Give the pixels as elastix needs them, all valid."""
    pixels = fill_invalid(np.asarray(patch.array, dtype=np.float32))
    return ElastixImage(pixels.reshape(pixels.shape[-ndim:]), patch.spacing_um[-ndim:])
