"""Two images of one ROI, for methods that fit transforms of any kind.

Such a method gets the ROI at low resolution, and proposes transforms. Whether one is
right, and how exact, is judged as for shifts: with the transform undone, what is left
to move is measured at full resolution.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from fractal_tasks.model import Candidate
from fractal_tasks.registration.coarse import (
    MAX_WHOLE_PX,
    SearchLimits,
    choose_level,
    search_coarsely,
)
from fractal_tasks.registration.correlation import to_candidate
from fractal_tasks.registration.gain import is_clear_gain
from fractal_tasks.registration.leftover import with_leftover
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
from fractal_tasks.transforms import Affine, to_affine

_FIT_PX = 0.05
"""How exact a transform of low resolution is in its corners, in pixels of that: about
what samples of known transforms show, whatever is measured at full resolution."""


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

    def read(self) -> tuple[ArrayPatch, ArrayPatch]:
        """Read both ROIs at low resolution, without outliers; NaN marks invalid pixels.

        Structures that are dark in one image only are bright in both.
        """
        level, factors = self._choose_level()
        z_um, y_um, x_um = np.multiply(self.fixed[level].spacing_um, factors).tolist()
        ours = read_binned(self.fixed[level], factors)
        theirs = np.float32(self.contrast) * read_binned(self.moving[level], factors)
        return (
            ArrayPatch(ours, (z_um, y_um, x_um)),
            ArrayPatch(theirs, (z_um, y_um, x_um)),
        )

    def judge(
        self,
        transform: Affine,
        keep: Callable[[Motion], Motion],
        similarity_before: float,
    ) -> Candidate:
        """Measure what a transform leaves to move in y and x, and what speaks for it.

        Args:
            transform: Moving to fixed.
            keep: Gives what of a motion that is left may be added to it.
            similarity_before: That of the images as they lie.

        Returns:
            The transform with what was left.
        """
        placed = self._place(transform)
        search = search_coarsely(self.fixed, placed, self.start_level, self.limits)
        fit = measure(self.fixed[0], placed[0], search, (0, 0, 0), whiten)
        kept = keep(fit.motion)
        if not kept.linear.any():
            fit = with_leftover(self.fixed[0], placed[0], fit)
        fit = replace(fit, translation_um=fit.translation_um * (0, 1, 1))
        left = to_candidate(fit, kept, similarity_before, placed[0])
        found = to_affine(left.transform).after(transform)
        # The corners are as far off as what is left of the turn, or may be.
        _, *sides_um = np.multiply(placed[0].shape, placed[0].spacing_um)
        corner_um = fit.turn_error * math.hypot(*sides_um) / 2
        left_um = (left.left_px or 0.0) * max(placed[0].spacing_um[1:])
        level, factors = self._choose_level()
        fit_um = _FIT_PX * max(np.multiply(self.fixed[level].spacing_um, factors)[1:])
        return replace(
            left,
            transform=found,
            error_um=math.hypot(fit.error_um, corner_um, left_um, fit_um),
            evidence={**left.evidence, "overlap": self._overlap(found)},
        )

    def is_clear_gain(self, before: Affine, after: Affine) -> bool:
        """Tell whether a transform explains the images clearly better than another."""
        return is_clear_gain(
            self.fixed[0], self.moving[0], before, after, contrast=self.contrast
        )

    def _choose_level(self) -> tuple[int, tuple[int, int, int]]:
        """Choose what is read whole: a level, and how many of its pixels are binned."""
        level, size = choose_level(self.fixed, self.moving, self.start_level)
        bins = 1
        while size > MAX_WHOLE_PX * bins**2:
            bins *= 2
        return level, (1, bins, bins)

    def _place(self, transform: Affine) -> Sequence[Patch]:
        """Give the moving image where a transform puts it."""
        pairs = zip(self.fixed, self.moving, strict=False)
        return [MappedPatch(theirs, transform, ours.shape) for ours, theirs in pairs]

    def _overlap(self, transform: Affine) -> float:
        """Give what both see, as a fraction of the smaller image, on a grid."""
        fixed, moving = self.fixed[0], self.moving[0]
        steps = (np.arange(16) + 0.5) / 16
        grid = np.stack(np.meshgrid(*(steps,) * 3, indexing="ij"), -1).reshape(-1, 3)
        sizes = [np.multiply(one.shape, one.spacing_um) for one in (fixed, moving)]
        mapped = transform.map_points(grid * sizes[1])
        seen = np.all((mapped >= 0) & (mapped <= sizes[0]), axis=1).mean()
        part = float(np.prod(sizes[1]) / min(map(np.prod, sizes)))
        return min(1.0, float(seen) * part)
