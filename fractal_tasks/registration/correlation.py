"""Shifts by correlation: search the whole ROI coarsely, measure it on windows."""

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from pydantic import Field

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.model import Candidate
from fractal_tasks.registration.base import RegistrationMethod
from fractal_tasks.registration.coarse import (
    CoarseSearch,
    SearchLimits,
    search_coarsely,
)
from fractal_tasks.registration.estimate import Estimate
from fractal_tasks.registration.leftover import with_leftover
from fractal_tasks.registration.mapped import MappedPatch
from fractal_tasks.registration.measure import Fit, measure
from fractal_tasks.registration.motion import Motion
from fractal_tasks.registration.patch import (
    ClippedPatch,
    Patch,
    PatchPyramid,
    VolumePatch,
)
from fractal_tasks.registration.spectra import CrossSpectra, Spectrum
from fractal_tasks.registration.structure import STRUCTURE_UM
from fractal_tasks.transforms import (
    Affine,
    FloatArray,
    Transform,
    Translation,
    to_affine,
)

_MIN_SIDE_PX = 8
"""Smallest patch, in y and x at the coarse level, that can show any detail."""

_CANDIDATES = 5
"""Shifts that are measured while none is convincing. Each costs as much as the first,
and consensus chooses among them; a lattice has four next neighbours."""

CONVINCING = 0.95
"""Confidence in a peak that ends the search: what is left for all other shifts together
is no more than 0.05."""

_APART_UM = 0.25 * STRUCTURE_UM
"""Fits that are nearer measure the same peak, whose width is that of structures."""

_BLUR_PX = 0.5
"""From here on, undoing a rotation makes the peak sharper: linear interpolation itself
blurs by about as much."""

_SHARPER = 1.25
"""Undoing a rotation must raise the peak's ratio by so much to be believed. A wrong one
lowers it, and a ratio varies by some percent with the pixels. Chosen, not fitted."""


class CorrelationMethod(RegistrationMethod):
    """What the methods that correlate images have in common."""

    max_shift_um: float | None = Field(default=None, gt=0)
    """Largest shift to consider along each axis, in micrometres. Leave it empty to
    consider every shift that keeps `min_overlap`. A limit helps sparse images."""

    min_overlap: float = Field(default=0.1, gt=0, le=1)
    """Smallest part of the ROI (0 to 1) that both images must see. Lower it if the
    sample moved by almost a whole field."""

    @abstractmethod
    def _weigh(self, spectra: CrossSpectra) -> Spectrum:
        """Weigh the frequencies of the cross-power spectra."""

    def estimate(
        self, fixed: PatchPyramid, moving: PatchPyramid, *, start_level: int
    ) -> Estimate:
        """Estimate the translation that brings `moving` onto `fixed`.

        A rotation of up to 2 degrees and a change of size of up to 1.5 % are measured
        with it, and the translation is that of the centre of `moving`. The accuracy is
        some hundredths of a pixel of level 0, whatever `start_level`.
        """
        fits, before = self.fit_candidates(fixed, moving, start_level=start_level)
        if not fits:
            # Nothing is known but that the shift is not larger than the ROI.
            error_um = math.hypot(*np.multiply(fixed[0].shape, fixed[0].spacing_um))
            return Estimate((_stay(before, error_um),))
        best, *others = _without_repeats(fits)
        volume = VolumePatch(moving[0])
        if not self._keep(best.motion).linear.any():
            best = with_leftover(VolumePatch(fixed[0]), volume, best)
        return Estimate(
            tuple(
                to_candidate(fit, self._keep(fit.motion), before, volume)
                for fit in (best, *others)
            )
        )

    def fit_candidates(
        self, fixed: PatchPyramid, moving: PatchPyramid, *, start_level: int
    ) -> tuple[list[Fit], float]:
        """Measure the most probable shifts until one is convincing.

        Args:
            fixed: As for `estimate`.
            moving: As for `estimate`.
            start_level: As for `estimate`.

        Returns:
            The measured shifts in the order of the search, and the similarity at low
            resolution without a shift.
        """
        fixed = [VolumePatch(patch) for patch in fixed]
        moving = [VolumePatch(patch) for patch in moving]
        _check_pyramids(fixed, moving, start_level)
        search = search_coarsely(fixed, moving, start_level, self.limits)
        fits: list[Fit] = []
        for guess in search.find_peaks(_CANDIDATES):
            blurred = measure(fixed[0], moving[0], search, guess, self._weigh)
            fits.append(self._undo_turn(fixed, moving, start_level, blurred))
            if fits[-1].evidence.confidence > CONVINCING:
                break
        else:
            fits += self._fit_structures(fixed, moving, start_level, search)
        return fits, search.shifts.similarity_at(np.zeros(3))

    def _fit_structures(
        self,
        fixed: PatchPyramid,
        moving: PatchPyramid,
        start_level: int,
        search: CoarseSearch,
    ) -> Iterator[Fit]:
        """Measure the shifts that are most probable if brightness tells nothing.

        Debris in one image, much brighter than what both show, hides the right shift.
        """
        search = search.of_structures()
        if not search.is_dazzled():
            return
        for guess in search.find_peaks(_CANDIDATES):
            of_fixed, of_moving = search.limits_at(guess)
            reference = [ClippedPatch(patch, *of_fixed) for patch in fixed]
            other = [ClippedPatch(patch, *of_moving) for patch in moving]
            blurred = measure(reference[0], other[0], search, guess, self._weigh)
            fit = self._undo_turn(reference, other, start_level, blurred)
            yield fit
            if fit.evidence.confidence > CONVINCING:
                break

    def _keep(self, motion: Motion) -> Motion:
        """Give what of a motion is undone: its shift alone."""
        return Motion(motion.shift_px)

    @property
    def limits(self) -> SearchLimits:
        """Which shifts are considered."""
        limit_um = np.inf if self.max_shift_um is None else self.max_shift_um
        return SearchLimits(self.min_overlap, limit_um)

    def _undo_turn(
        self, fixed: PatchPyramid, moving: PatchPyramid, start_level: int, fit: Fit
    ) -> Fit:
        """Measure with rotation and scaling undone, while that is sharper.

        A blurred peak may show a part of them only. Each time the ratio rises by a
        factor, so this ends.
        """
        while fit.blur_px > _BLUR_PX:
            again = self._measure_turned(fixed, moving, start_level, fit)
            if not again.evidence.ratio > _SHARPER * fit.evidence.ratio:
                break
            fit = again
        return fit

    def _measure_turned(
        self, fixed: PatchPyramid, moving: PatchPyramid, start_level: int, fit: Fit
    ) -> Fit:
        """Measure again with rotation and scaling undone."""
        turn = replace(fit.motion, shift_px=(0.0, 0.0))
        turned = [
            MappedPatch(
                patch, to_affine(_to_transform(np.zeros(3), turn, patch)), patch.shape
            )
            for patch in moving
        ]
        # From the search on: at low resolution the images then match better, too.
        search = search_coarsely(fixed, turned, start_level, self.limits)
        guess = np.rint(fit.translation_um / search.spacing_um).astype(int)
        again = measure(fixed[0], turned[0], search, tuple(guess.tolist()), self._weigh)
        motion = again.motion.after(fit.motion)
        return replace(
            again,
            motion=motion,
            shown=again.shown.after(fit.motion),
            left_px=motion.spread_px(moving[0].shape[1:]),
        )


def to_candidate(
    fit: Fit, kept: Motion, similarity_before: float, moving: Patch
) -> Candidate:
    """Give a fit with what its confidence was computed from.

    Args:
        fit: A measured shift, with rotation and scaling.
        kept: What of its motion the transform is to undo.
        similarity_before: That of the images as they lie.
        moving: Volume of the image that moved.
    """
    left_px, error_um = fit.left_px, fit.error_um
    if kept.linear.any():
        # Corners are as far off as the turn may be.
        half_um = math.hypot(*np.multiply(moving.shape, moving.spacing_um)[-2:]) / 2
        error_um = math.hypot(error_um, fit.turn_error * half_um)
        left = replace(
            fit.motion,
            rotation=fit.motion.rotation - kept.rotation,
            scaling=fit.motion.scaling - kept.scaling,
        )
        # What else windows differ by is not known once they turned.
        left_px = None if fit.is_uneven else left.spread_px(moving.shape[1:])
    return Candidate(
        transform=_to_transform(fit.translation_um, kept, moving),
        confidence=fit.evidence.confidence,
        error_um=error_um,
        evidence=fit.describe(similarity_before, left_px),
        error_z_um=fit.error_z_um,
    )


def _without_repeats(fits: Sequence[Fit]) -> list[Fit]:
    """Sort fits, best first, and leave out those that are near a better one."""
    kept: list[Fit] = []
    for fit in sorted(fits, key=lambda one: -one.evidence.confidence):
        distances_um = [fit.translation_um - other.translation_um for other in kept]
        if all(np.abs(apart).max() > _APART_UM for apart in distances_um):
            kept.append(fit)
    return kept


def _to_transform(
    translation_um: FloatArray, motion: Motion, moving: Patch
) -> Transform:
    """Give the transform of a shift and a turn of a patch, about its centre."""
    z_um, y_um, x_um = translation_um.tolist()
    if not motion.linear.any():
        return Translation((z_um, y_um, x_um))
    matrix = np.eye(3)
    # Motions are those of pixels, which may be larger along one axis.
    spacing = np.diag(moving.spacing_um[1:])
    matrix[1:, 1:] += spacing @ motion.linear @ np.linalg.inv(spacing)
    centre_um = np.multiply(moving.shape, moving.spacing_um) / 2
    return Affine.about(centre_um, matrix, (z_um, y_um, x_um))


def _stay(similarity: float, error_um: float) -> Candidate:
    """Give no movement, in which nobody should believe."""
    return Candidate(
        transform=Translation((0.0, 0.0, 0.0)),
        confidence=0.0,
        error_um=error_um,
        evidence={
            "similarity_before": similarity,
            "similarity_after": similarity,
            "overlap": 1.0,
        },
    )


def _check_pyramids(
    fixed: PatchPyramid, moving: PatchPyramid, start_level: int
) -> None:
    """Refuse what cannot be registered.

    Raises:
        InvalidInputError: The level does not exist or has too few pixels.
    """
    levels = min(len(fixed), len(moving))
    if start_level >= levels:
        raise InvalidInputError(
            f"The search should start at level {start_level}, but the images have "
            f"{levels} levels in common. Choose a finer level_path."
        )
    shapes = fixed[start_level].shape, moving[start_level].shape
    if min(map(min, (shape[1:] for shape in shapes))) < _MIN_SIDE_PX:
        raise InvalidInputError(
            f"At level {start_level} the ROI has {shapes[0]} and {shapes[1]} pixels "
            f"(z, y, x), but at least {_MIN_SIDE_PX} in y and x are needed. Choose a "
            "finer level_path or a larger ROI."
        )
