"""Translation by correlation: search the whole ROI coarsely, measure it on windows."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from pydantic import Field

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.registration.base import RegistrationMethod
from fractal_tasks.registration.coarse import (
    CoarseSearch,
    Indices,
    Shift,
    search_coarsely,
)
from fractal_tasks.registration.estimate import Estimate
from fractal_tasks.registration.patch import Box, Patch, PatchPyramid, VolumePatch
from fractal_tasks.registration.refine import (
    CrossSpectra,
    Peak,
    Spectrum,
    correlate_windows,
    find_peak,
)
from fractal_tasks.registration.windows import Overlap, choose_windows, read_boxes
from fractal_tasks.transforms import Translation

Vector = npt.NDArray[np.float64]

_MIN_SIDE_PX = 8
"""Smallest patch, in y and x at the coarse level, that can show any detail."""

_CANDIDATES = 3
"""Shifts that are measured while none is convincing."""

_CONVINCING = 0.9
"""Confidence that ends the search."""

_REACH = 2
"""How far, in pixels of the coarse search, a measured shift may be from its guess."""


@dataclass(frozen=True)
class _Fit:
    """A measured shift and the evidence for it."""

    translation_um: Vector
    similarity: float
    overlap: float
    confidence: float

    @classmethod
    def judge(
        cls, translation_um: Vector, peak: Peak, search: CoarseSearch, overlap: float
    ) -> Self:
        """Give the confidence in a shift from independent evidence.

        The evidence is the height of the peak at full resolution over the next one,
        weighted by the variance that the images share at low resolution and by the
        overlap, for small overlaps agree by chance. It is below 1 for images that do
        not belong together, and 10 to 100 where they do. Windows that moved elsewhere
        count against it.
        """
        similarity = search.shifts.similarity_at(translation_um / search.spacing_um)
        evidence = peak.ratio * max(0.0, similarity) ** 2 * overlap
        confidence = peak.agreement**2 * evidence**2 / (1 + evidence**2)
        return cls(translation_um, similarity, overlap, confidence)


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

        Rotation is not seen: where it moves the parts of the ROI apart by more than a
        pixel or two (0.25 degrees over 2048 px), the confidence falls. The accuracy is
        some hundredths of a pixel of level 0, whatever `start_level`.
        """
        fixed = [VolumePatch(patch) for patch in fixed]
        moving = [VolumePatch(patch) for patch in moving]
        _check_pyramids(fixed, moving, start_level)
        search = search_coarsely(fixed, moving, start_level)
        limit_um = np.inf if self.max_shift_um is None else self.max_shift_um
        guesses = search.shifts.find_peaks(
            _CANDIDATES, self.min_overlap, limit_um / search.spacing_um
        )
        before = search.shifts.similarity_at(np.zeros(3))
        best = _Fit(np.zeros(3), before, 1.0, 0.0)
        for guess in guesses:
            fit = self._measure(fixed[0], moving[0], search, guess)
            best = max(best, fit, key=lambda one: one.confidence)
            if best.confidence > _CONVINCING:
                break
        z, y, x = best.translation_um.tolist()
        return Estimate(
            transform=Translation((z, y, x)),
            confidence=best.confidence,
            similarity_before=before,
            similarity_after=best.similarity,
            overlap=best.overlap,
        )

    def _measure(
        self, fixed: Patch, moving: Patch, search: CoarseSearch, guess: Shift
    ) -> _Fit:
        """Measure a shift at full resolution, starting from a guess."""
        scale = search.spacing_um / fixed.spacing_um
        start_px = np.rint(guess * scale).astype(int)
        overlap = Overlap.of(fixed, moving, start_px)
        size = overlap.window
        corners = choose_windows(search, guess, overlap, fixed.spacing_um)
        many_planes = max(fixed.shape[0], moving.shape[0]) > 1
        reach = np.ceil(_REACH * scale).astype(int) * (many_planes, 1, 1)
        boxes = [tuple(map(slice, corner, corner + size)) for corner in corners]
        others = [
            _moving_box(corner - start_px, size, int(reach[0]), moving.shape[0])
            for corner in corners
        ]
        shifts = np.arange(-reach[0], reach[0] + 1) + start_px[0]
        windows = zip(
            boxes,
            others,
            read_boxes(fixed, boxes),
            read_boxes(moving, others),
            strict=True,
        )
        spectra = [
            correlate_windows(one, two, shifts + other[0].start - box[0].start)
            for box, other, one, two in windows
        ]
        peak = find_peak(spectra, self._weigh, (int(reach[1]), int(reach[2])))
        shift_px = start_px + peak.shift_px - (reach[0], 0, 0)
        return _Fit.judge(
            shift_px * fixed.spacing_um,
            peak,
            search,
            _overlap(fixed.shape, moving.shape, shift_px),
        )


def _moving_box(corner: Indices, size: Indices, reach: int, planes: int) -> Box:
    """Give the box of a window in the moving patch, with planes around it."""
    z, y, x = map(slice, corner, corner + size)
    return slice(max(0, z.start - reach), min(planes, z.stop + reach)), y, x


def _overlap(
    fixed: tuple[int, ...], moving: tuple[int, ...], shift_px: Vector
) -> float:
    """Give what both patches see, as a fraction of the smaller one."""
    last = np.minimum(fixed, moving + shift_px)
    common = np.maximum(0, last - np.maximum(0, shift_px))
    return float(np.prod(common / np.minimum(fixed, moving)))


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
