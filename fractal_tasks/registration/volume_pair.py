"""Two images of one ROI, for methods that fit transforms of any kind.

Such a method gets the ROI at low resolution, and proposes transforms. Whether one is
right, and how exact, is judged as for shifts: with the transform undone, what is left
to move is measured at full resolution.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from fractal_tasks.model import Candidate
from fractal_tasks.registration.coarse import (
    MAX_WHOLE_PX,
    SearchLimits,
    choose_level,
    search_coarsely,
)
from fractal_tasks.registration.correlation import to_candidate
from fractal_tasks.registration.gain import (
    find_unlike,
    hold_out_windows,
    is_clear_gain,
    spread_windows,
)
from fractal_tasks.registration.leftover import measure_left_px, with_leftover
from fractal_tasks.registration.mapped import MappedPatch
from fractal_tasks.registration.measure import measure
from fractal_tasks.registration.motion import Motion
from fractal_tasks.registration.patch import (
    ArrayPatch,
    ClippedPatch,
    Patch,
    PatchPyramid,
    VolumePatch,
)
from fractal_tasks.registration.prepare import read_binned
from fractal_tasks.registration.spectra import whiten
from fractal_tasks.transforms import Affine, Transform, Warp, compose
from fractal_tasks.transforms.base import grid_points

Mask: TypeAlias = npt.NDArray[np.bool_]

_MAX_FINE_PX = 2**21
"""As `MAX_WHOLE_PX`, for transforms with many parameters: of each place they need to
know all that is seen of it."""

_FIT_PX, _BENT_PX = 0.05, 0.15
"""How exact a linear transform of low resolution is in its corners, and one that bends
anywhere, in pixels of that: about what samples of known transforms show, whatever is
measured at full resolution."""


@dataclass(frozen=True)
class VolumePair:
    """The pyramids of both images, as volumes."""

    fixed: PatchPyramid
    moving: PatchPyramid
    start_level: int
    limits: SearchLimits

    contrast: float
    """1, or -1 if the contrast of one image is inverted."""

    @classmethod
    def of(
        cls,
        fixed: PatchPyramid,
        moving: PatchPyramid,
        start_level: int,
        limits: SearchLimits,
        contrast: float,
    ) -> Self:
        """Take 2D images as volumes of one plane."""
        return cls(
            [VolumePatch(patch) for patch in fixed],
            [VolumePatch(patch) for patch in moving],
            start_level,
            limits,
            contrast,
        )

    def without_debris(self, start: Affine) -> Self:
        """Limit intensities to those of what both show, if debris hides it.

        Args:
            start: Moving to fixed, about right.
        """
        placed = self._place(start)
        search = search_coarsely(self.fixed, placed, self.start_level, self.limits)
        structures = search.of_structures()
        if not structures.is_dazzled():
            return self
        ours, theirs = structures.limits_at((0, 0, 0))
        return replace(
            self,
            fixed=[ClippedPatch(patch, *ours) for patch in self.fixed],
            moving=[ClippedPatch(patch, *theirs) for patch in self.moving],
        )

    def hold_out(self, fixed: ArrayPatch) -> Mask:
        """Give the pixels of what was read that judge what bends, and do not fit it."""
        held_out = np.zeros(fixed.shape, dtype=bool)
        ratio = np.divide(self.fixed[0].spacing_um, fixed.spacing_um)
        for window in hold_out_windows(self.fixed[0].shape):
            first = np.floor([side.start for side in window] * ratio).astype(int)
            stop = np.ceil([side.stop for side in window] * ratio).astype(int)
            held_out[tuple(map(slice, first, stop))] = True
        return held_out

    def read(self, *, finely: bool = False) -> tuple[ArrayPatch, ArrayPatch]:
        """Read both ROIs at low resolution, without outliers; NaN marks invalid pixels.

        Structures that are dark in one image only are bright in both.

        Args:
            finely: At the finest level that is small enough, not from `start_level` on.
        """
        level, factors = self._choose_level(finely=finely)
        z_um, y_um, x_um = np.multiply(self.fixed[level].spacing_um, factors).tolist()
        ours = read_binned(self.fixed[level], factors)
        theirs = np.float32(self.contrast) * read_binned(self.moving[level], factors)
        return (
            ArrayPatch(ours, (z_um, y_um, x_um)),
            ArrayPatch(theirs, (z_um, y_um, x_um)),
        )

    def judge(
        self,
        transform: Transform,
        keep: Callable[[Motion], Motion],
        similarity_before: float,
    ) -> Candidate:
        """Measure what a transform leaves to move in y and x, and what speaks for it.

        Args:
            transform: Moving to fixed.
            keep: Gives what of a motion that is left may be added to it.
            similarity_before: That of the images as they lie.

        Returns:
            The transform with what was left; what bends as it is, as that was fitted to
            more of the pixels.
        """
        placed = self._place(transform)
        search = search_coarsely(self.fixed, placed, self.start_level, self.limits)
        fit = measure(self.fixed[0], placed[0], search, (0, 0, 0), whiten)
        bends = isinstance(transform, Warp)
        kept = keep(fit.motion)
        if not kept.linear.any():
            fit = with_leftover(self.fixed[0], placed[0], fit)
        fit = replace(fit, translation_um=fit.translation_um * (0, 1, 1))
        left = to_candidate(fit, kept, similarity_before, placed[0])
        found = transform if bends else compose(transform, left.transform)
        if bends:
            apart_um = float(np.linalg.norm(fit.translation_um))
        else:
            # The corners are as far off as what is left of the turn, or may be.
            _, *sides_um = np.multiply(placed[0].shape, placed[0].spacing_um)
            apart_um = fit.turn_error * math.hypot(*sides_um) / 2
        left_um = (left.left_px or 0.0) * max(placed[0].spacing_um[1:])
        level, factors = self._choose_level(finely=bends)
        pixel_um = max(np.multiply(self.fixed[level].spacing_um, factors)[1:])
        fit_um = (_BENT_PX if bends else _FIT_PX) * pixel_um
        return replace(
            left,
            transform=found,
            error_um=math.hypot(fit.error_um, apart_um, left_um, fit_um),
            evidence={**left.evidence, "overlap": self._overlap(found)},
        )

    def is_clear_gain(
        self, before: Transform, after: Transform, *, held_out: bool
    ) -> bool:
        """Tell whether a transform explains the images clearly better than another.

        Args:
            before: The simpler one.
            after: The other one.
            held_out: Whether to ask only what `hold_out` left out of the fit: one that
                bends explains whatever it is fitted to.
        """
        choose = hold_out_windows if held_out else spread_windows
        shape = self.fixed[0].shape
        return is_clear_gain(
            self.fixed[0],
            self.moving[0],
            before,
            after,
            choose(shape),
            contrast=self.contrast,
        )

    def find_left_px(self, warp: Warp) -> float:
        """Give how far places are off, at most, by what windows show, or may be.

        Where too little is seen to tell, they may be by all that others are bent.
        """
        fixed = self.fixed[0]
        placed = MappedPatch(self.moving[0], warp, fixed.shape)
        left_px = measure_left_px(fixed, placed, np.zeros(3)) or 0.0
        windows = spread_windows(fixed.shape)
        if not find_unlike(fixed, placed, windows, contrast=self.contrast):
            return left_px
        along = np.reshape(fixed.spacing_um[1:], (2, 1, 1, 1))
        bent_px = np.linalg.norm(warp.field.values_um[1:] / along, axis=0)
        return max(left_px, float(bent_px.max()))

    def _choose_level(self, *, finely: bool) -> tuple[int, tuple[int, int, int]]:
        """Choose what is read whole: a level, and how many of its pixels are binned."""
        first, most = (0, _MAX_FINE_PX) if finely else (self.start_level, MAX_WHOLE_PX)
        level, size = choose_level(self.fixed, self.moving, first, most)
        bins = 1
        while size > most * bins**2:
            bins *= 2
        return level, (1, bins, bins)

    def _place(self, transform: Transform) -> Sequence[Patch]:
        """Give the moving image where a transform puts it."""
        pairs = zip(self.fixed, self.moving, strict=False)
        return [MappedPatch(theirs, transform, ours.shape) for ours, theirs in pairs]

    def _overlap(self, transform: Transform) -> float:
        """Give what both see, as a fraction of the smaller image, on a grid."""
        fixed, moving = self.fixed[0], self.moving[0]
        grid = grid_points([(np.arange(16) + 0.5) / 16] * 3)
        sizes = [np.multiply(one.shape, one.spacing_um) for one in (fixed, moving)]
        mapped = transform.map_points(grid * sizes[1])
        seen = np.all((mapped >= 0) & (mapped <= sizes[0]), axis=1).mean()
        part = float(np.prod(sizes[1]) / min(map(np.prod, sizes)))
        return min(1.0, float(seen) * part)
