"""Measuring a shift at full resolution, starting from a guess."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fractal_tasks.registration.coarse import CoarseSearch, Indices, Shift
from fractal_tasks.registration.evidence import Evidence, dissent, peak_ratio
from fractal_tasks.registration.motion import (
    Motion,
    maximise_likelihood,
    search_motion,
)
from fractal_tasks.registration.patch import Box, Patch
from fractal_tasks.registration.refine import find_peak
from fractal_tasks.registration.spectra import (
    CrossSpectra,
    Spectrum,
    correlate_windows,
)
from fractal_tasks.registration.windows import Overlap, choose_windows, read_boxes

_REACH = 2
"""How far, in pixels of the coarse search, a measured shift may be from its guess."""


@dataclass(frozen=True)
class Fit:
    """A measured shift and the evidence for it."""

    translation_um: npt.NDArray[np.float64]
    error_um: float
    """Standard error in y and x."""

    similarity: float
    """At low resolution; negative for inverted contrast."""

    overlap: float
    evidence: Evidence
    motion: Motion
    """Rotation and scaling, not undone."""

    blur_px: float
    """How far they move the corners of a window against its centre."""


def measure(
    fixed: Patch,
    moving: Patch,
    search: CoarseSearch,
    guess: Shift,
    weigh: Callable[[CrossSpectra], Spectrum],
) -> Fit:
    """Measure how `moving` is shifted against `fixed`.

    Args:
        fixed: Volume of the reference at full resolution.
        moving: The other volume, of the same pixel size.
        search: The two at low resolution.
        guess: Shift in pixels of `search`.
        weigh: How the method weighs the frequencies of cross-power spectra.
    """
    scale = search.spacing_um / fixed.spacing_um
    start_px = np.rint(guess * scale).astype(int)
    overlap = Overlap.of(fixed, moving, start_px)
    corners = choose_windows(search, guess, overlap, fixed.spacing_um)
    many_planes = max(fixed.shape[0], moving.shape[0]) > 1
    reach = np.ceil(_REACH * scale).astype(int) * (many_planes, 1, 1)
    contrast = np.sign(search.shifts.similarity_at(np.array(guess))) or 1.0
    windows = _correlate(fixed, moving, overlap.window, corners, start_px, reach[0])
    windows = [contrast * window for window in windows]
    peak = find_peak(windows, weigh, (int(reach[1]), int(reach[2])))
    windows = [one.at(peak.plane) for one in windows]
    centres = np.array(corners)[:, 1:] - start_px[1:] + overlap.window[1:] / 2
    centres -= np.array(moving.shape[1:]) / 2
    motion = search_motion(windows, centres, peak.shift_px, int(max(reach[1:])))
    likely = maximise_likelihood(windows, centres, motion)
    y, x = likely.motion.shift_px
    shift_px = np.add(start_px, (peak.plane + peak.fraction - reach[0], y, x))
    translation_um = shift_px * fixed.spacing_um
    coarse_shift = translation_um / search.spacing_um
    return Fit(
        translation_um=translation_um,
        error_um=likely.error_px * max(fixed.spacing_um[1:]),
        similarity=search.shifts.similarity_at(coarse_shift),
        overlap=_overlap(fixed.shape, moving.shape, shift_px),
        evidence=Evidence(
            ratio=peak_ratio(windows, (y, x)),
            dissent=dissent(windows, centres, likely.motion),
            lead=search.lead_of(coarse_shift),
            error_px=likely.error_px,
        ),
        motion=likely.motion,
        blur_px=float(
            np.hypot(likely.motion.rotation, likely.motion.scaling)
            * np.hypot(*overlap.window[1:])
            / 2
        ),
    )


def _correlate(
    fixed: Patch,
    moving: Patch,
    size: Indices,
    corners: list[Indices],
    start_px: Indices,
    reach: int,
) -> list[CrossSpectra]:
    """Read and correlate windows, `reach` planes further in either direction."""
    boxes = [tuple(map(slice, corner, corner + size)) for corner in corners]
    others = [
        _moving_box(corner - start_px, size, reach, moving.shape[0])
        for corner in corners
    ]
    shifts = np.arange(-reach, reach + 1) + start_px[0]
    windows = zip(
        boxes,
        others,
        read_boxes(fixed, boxes),
        read_boxes(moving, others),
        strict=True,
    )
    return [
        correlate_windows(one, two, shifts + other[0].start - box[0].start)
        for box, other, one, two in windows
    ]


def _moving_box(corner: Indices, size: Indices, reach: int, planes: int) -> Box:
    """Give the box of a window in the moving patch, with planes around it."""
    z, y, x = map(slice, corner, corner + size)
    return slice(max(0, z.start - reach), min(planes, z.stop + reach)), y, x


def _overlap(
    fixed: tuple[int, ...],
    moving: tuple[int, ...],
    shift_px: npt.NDArray[np.float64],
) -> float:
    """Give what both patches see, as a fraction of the smaller one."""
    last = np.minimum(fixed, moving + shift_px)
    common = np.maximum(0, last - np.maximum(0, shift_px))
    return float(np.prod(common / np.minimum(fixed, moving)))
