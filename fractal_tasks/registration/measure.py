"""Measuring a shift at full resolution, starting from a guess.

Three steps: windows are read and correlated around the guess, what they share is found,
and what speaks for it is weighed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self, TypeAlias

import numpy as np

from fractal_tasks.model.candidate import LEFT_PX, find_left_px
from fractal_tasks.registration.coarse import CoarseSearch
from fractal_tasks.registration.evidence import Evidence, find_dissent, peak_ratio
from fractal_tasks.registration.likelihood import LikelyMotion, maximise_likelihood
from fractal_tasks.registration.motion import Motion, search_motion
from fractal_tasks.registration.patch import Box, Patch
from fractal_tasks.registration.refine import Depth, find_peak
from fractal_tasks.registration.similarity import Indices, Shift
from fractal_tasks.registration.spectra import (
    CrossSpectra,
    Spectrum,
    correlate_windows,
)
from fractal_tasks.registration.windows import Overlap, choose_windows, read_boxes
from fractal_tasks.transforms import FloatArray

Weigh: TypeAlias = Callable[[CrossSpectra], Spectrum]
"""How a method weighs the frequencies of cross-power spectra."""

_REACH = 2
"""How far, in pixels of the coarse search, a measured shift may be from its guess. The
peak is at most half a pixel off; rotation and blur add to it."""


@dataclass(frozen=True)
class Fit:
    """A measured shift and the evidence for it."""

    translation_um: FloatArray
    error_um: float
    """Standard error in y and x."""

    error_z_um: float | None
    """The same in z; None of single planes."""

    similarity: float
    """At low resolution; negative for inverted contrast."""

    overlap: float
    """What both images see, as a fraction of the smaller one."""

    evidence: Evidence
    motion: Motion
    """Rotation and scaling with it; none unless they are significant."""

    shown: Motion
    """Rotation and scaling that windows show, significant or not."""

    turn_error: float
    """Standard error of these, in radians and relative size."""

    blur_px: float
    """How far they move the corners of a window against its centre."""

    left_px: float | None
    """How far they move those of the ROI, which the translation does not undo; None if
    it is not known."""

    is_uneven: bool
    """Whether windows may show different movements."""

    def describe(
        self, similarity_before: float, left_px: float | None
    ) -> dict[str, float]:
        """Give the evidence by name, with what a transform leaves off."""
        return {
            "ratio": self.evidence.ratio,
            "lead": self.evidence.lead,
            "dissent": self.evidence.dissent,
            "similarity_before": similarity_before,
            "similarity_after": self.similarity,
            "overlap": self.overlap,
            "turn_deg": self.shown.angle_deg,
            "scale": self.shown.scale,
            "turn_error_deg": math.degrees(self.turn_error),
        } | ({} if left_px is None else {LEFT_PX: left_px})


@dataclass(frozen=True)
class WindowSet:
    """Windows of one size, cut out of both images at a whole-pixel shift, correlated.

    All that is found in them adds to that shift.
    """

    spectra: tuple[CrossSpectra, ...]
    """One of each window, with the same plane shifts in all."""

    centres_px: FloatArray
    """Centres in the moving image, from the centre of that, shape ``(n, 2)``."""

    size_px: Indices
    """Shape of a window (z, y, x)."""

    start_px: Indices
    """The shift they were cut out at (z, y, x)."""

    reach_px: Indices
    """How much further the shift is looked for, either way."""

    def at(self, plane_shift: int) -> Self:
        """Give the windows with one of their plane shifts only."""
        only = slice(plane_shift, plane_shift + 1)
        spectra = tuple(one.at(only) for one in self.spectra)
        return replace(self, spectra=spectra)


@dataclass(frozen=True)
class _Location:
    """The shift that windows share."""

    shift_px: FloatArray
    """Of the whole images (z, y, x)."""

    windows: WindowSet
    """At the plane shift that was found."""

    likely: LikelyMotion
    """Further than the windows were cut out at; rotation and scaling."""

    depth: Depth | None
    """What is known about z; None of single planes."""


def measure(
    fixed: Patch, moving: Patch, search: CoarseSearch, guess: Shift, weigh: Weigh
) -> Fit:
    """Measure how `moving` is shifted against `fixed`.

    Args:
        fixed: Volume of the reference at full resolution.
        moving: The other volume, of the same pixel size.
        search: The two at low resolution.
        guess: Shift in pixels of `search`.
        weigh: How the method weighs the frequencies of cross-power spectra.
    """
    windows = _correlate(fixed, moving, search, guess)
    location = _locate(windows, weigh)
    return _judge(fixed, moving, search, location)


def _correlate(
    fixed: Patch, moving: Patch, search: CoarseSearch, guess: Shift
) -> WindowSet:
    """Choose, read and correlate windows around a guess."""
    scale = search.spacing_um / fixed.spacing_um
    start_px = np.rint(guess * scale).astype(int)
    overlap = Overlap.of(fixed, moving, start_px)
    corners = choose_windows(search, guess, overlap, fixed.spacing_um)
    many_planes = max(fixed.shape[0], moving.shape[0]) > 1
    # A single plane against a single one has nowhere to go in z.
    axes = np.array((int(many_planes), 1, 1))
    reach_px = np.ceil(_REACH * scale).astype(int) * axes
    spectra = correlate_at(
        fixed, moving, overlap.window, corners, start_px, int(reach_px[0])
    )
    # Inverted contrast: with the sign changed, the trough is the peak from here on.
    contrast = np.sign(search.shifts.similarity_at(np.array(guess))) or 1.0
    centres = np.array(corners)[:, 1:] - start_px[1:] + overlap.window[1:] / 2
    return WindowSet(
        spectra=tuple(float(contrast) * one for one in spectra),
        centres_px=centres - np.array(moving.shape[1:]) / 2,
        size_px=overlap.window,
        start_px=start_px,
        reach_px=reach_px,
    )


def correlate_at(
    fixed: Patch,
    moving: Patch,
    size: Indices,
    corners: list[Indices],
    start_px: Indices,
    reach: int,
) -> list[CrossSpectra]:
    """Read and correlate windows.

    Args:
        fixed: Volume of the reference.
        moving: The other volume, of the same pixel size.
        size: Of a window (z, y, x).
        corners: First pixels of the windows in `fixed`.
        start_px: Whole-pixel shift of `moving` to cut them out at.
        reach: How many planes further they are correlated, in either direction.
    """
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
    # Plane shifts are those of the whole images; windows count from their own planes.
    return [
        correlate_windows(one, two, shifts + other[0].start - box[0].start)
        for box, other, one, two in windows
    ]


def _moving_box(corner: Indices, size: Indices, reach: int, planes: int) -> Box:
    """Give the box of a window in the moving patch, with planes around it."""
    z, y, x = map(slice, corner, corner + size)
    return slice(max(0, z.start - reach), min(planes, z.stop + reach)), y, x


def _locate(windows: WindowSet, weigh: Weigh) -> _Location:
    """Find what windows share: whole pixels, then rotation, then fractions."""
    planes, *reach = windows.reach_px.tolist()
    peak = find_peak(windows.spectra, weigh, (reach[0], reach[1]))
    windows = windows.at(peak.plane)
    motion = search_motion(
        windows.spectra, windows.centres_px, peak.shift_px, max(reach)
    )
    likely = maximise_likelihood(windows.spectra, windows.centres_px, motion)
    depth = Depth(0.0, 0.0) if peak.depth is None else peak.depth
    further_px = (peak.plane + depth.planes - planes, *likely.motion.shift_px)
    shift_px = np.add(windows.start_px, further_px)
    return _Location(shift_px, windows, likely, peak.depth)


def _judge(
    fixed: Patch, moving: Patch, search: CoarseSearch, location: _Location
) -> Fit:
    """Weigh what speaks for a shift, in the windows and at low resolution."""
    windows, likely = location.windows, location.likely
    error_z_um = None
    if location.depth is not None:
        planes = location.depth.error_among(max(fixed.shape[0], moving.shape[0]))
        error_z_um = planes * fixed.spacing_um[0]
    motion = likely.motion
    translation_um = location.shift_px * fixed.spacing_um
    coarse_shift = translation_um / search.spacing_um
    dissent = find_dissent(windows.spectra, windows.centres_px, motion)
    # What lies at another shift than the rest is off by as much.
    error_px = math.hypot(likely.error_px, dissent.spread_px)
    return Fit(
        translation_um=translation_um,
        error_um=error_px * max(fixed.spacing_um[1:]),
        error_z_um=error_z_um,
        similarity=search.shifts.similarity_at(coarse_shift),
        overlap=_overlap(fixed.shape, moving.shape, location.shift_px),
        evidence=Evidence(
            ratio=peak_ratio(windows.spectra, motion.shift_px),
            dissent=dissent.part,
            lead=search.lead_of(coarse_shift),
            error_px=error_px,
        ),
        motion=motion,
        shown=likely.shown,
        turn_error=likely.turn_error,
        blur_px=motion.spread_px(windows.size_px[1:].tolist()),
        left_px=find_left_px(motion.magnitude, likely.turn_error, moving.shape[1:]),
        is_uneven=dissent.is_uneven,
    )


def _overlap(
    fixed: tuple[int, ...], moving: tuple[int, ...], shift_px: FloatArray
) -> float:
    """Give what both patches see, as a fraction of the smaller one."""
    last = np.minimum(fixed, moving + shift_px)
    common = np.maximum(0, last - np.maximum(0, shift_px))
    return float(np.prod(common / np.minimum(fixed, moving)))
