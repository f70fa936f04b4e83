"""What the methods that run elastix share: where they start, and what they keep."""

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import Field

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.model import Candidate
from fractal_tasks.model.candidate import LEFT_PX
from fractal_tasks.model.common_region import list_points
from fractal_tasks.registration.base import RegistrationMethod
from fractal_tasks.registration.correlation import CONVINCING
from fractal_tasks.registration.estimate import Estimate
from fractal_tasks.registration.itk_elastix import (
    ElastixError,
    ElastixImage,
    Parameters,
    run_elastix,
)
from fractal_tasks.registration.mapped import MappedPatch
from fractal_tasks.registration.motion import Motion
from fractal_tasks.registration.patch import ArrayPatch, Patch, PatchPyramid
from fractal_tasks.registration.phase_cross_correlation import PhaseCrossCorrelation
from fractal_tasks.registration.prepare import fill_invalid
from fractal_tasks.registration.volume_pair import VolumePair
from fractal_tasks.transforms import Affine, Translation, to_affine
from fractal_tasks.transforms.elastix import read_elastix_maps, write_elastix_map

logger = logging.getLogger(__name__)

Kind: TypeAlias = Literal["translation", "rigid", "similarity", "affine"]

ELASTIX_NAMES: Mapping[Kind, str] = MappingProxyType(
    {
        "translation": "TranslationTransform",
        "rigid": "EulerTransform",
        "similarity": "SimilarityTransform",
        "affine": "AffineTransform",
    }
)
"""What elastix calls them, the more flexible ones last."""

_STARTS: Mapping[Kind, Literal["shift", "rigid", "similarity"]] = MappingProxyType(
    {
        "translation": "shift",
        "rigid": "rigid",
        "similarity": "similarity",
        "affine": "similarity",
    }
)
"""What is taken from correlation: the most of it that the transform allows."""

_KEEPS: Mapping[Kind, Callable[[Motion], Motion]] = MappingProxyType(
    {
        "translation": lambda motion: Motion(motion.shift_px),
        "rigid": Motion.rigid,
        "similarity": lambda motion: motion,
        "affine": lambda motion: motion,
    }
)
"""What of a motion each of them can undo."""

_MOST_STRETCH = 1.25
"""Samples that stretch or shrink more between rounds are not the same any more; elastix
gives such transforms where there is nothing to register."""

_LEAST_PX, _LEAST_SEEN = 16, 0.05
"""Pixels per side (y, x), and part of the ROI that both see, with which elastix starts:
it samples what both see, and its pyramid halves each side."""


@dataclass(frozen=True)
class Stage:
    """Parameter maps of elastix, run one after the other from the same start."""

    kind: Kind
    """The most flexible transform among them."""

    maps: Sequence[Parameters]


class ElastixMethod(RegistrationMethod):
    """A method that runs elastix from the shift that correlation finds."""

    max_shift_um: float | None = Field(default=None, gt=0)
    """Largest shift to consider along each axis, in micrometres. Leave it empty to
    consider every shift that keeps `min_overlap`."""

    min_overlap: float = Field(default=0.1, gt=0, le=1)
    """Smallest part of the ROI (0 to 1) that both images must see."""

    @property
    @abstractmethod
    def _most_flexible(self) -> Kind:
        """The most flexible transform that is allowed."""

    @abstractmethod
    def _list_stages(self, start: Candidate) -> Sequence[Stage]:
        """List what is tried after what correlation found, the simplest first."""

    def _is_enough(self, found: Candidate) -> bool:
        """Tell whether the next stages are not needed."""
        return False

    def estimate(
        self, fixed: PatchPyramid, moving: PatchPyramid, *, start_level: int
    ) -> Estimate:
        """Estimate the transform that brings `moving` onto `fixed`."""
        correlation = PhaseCrossCorrelation(
            motion=_STARTS[self._most_flexible],
            max_shift_um=self.max_shift_um,
            min_overlap=self.min_overlap,
        )
        start = correlation.estimate(fixed, moving, start_level=start_level)
        stages = self._list_stages(start.best)
        if not stages:
            return start
        contrast = np.sign(start.best.evidence["similarity_after"]) or 1.0
        pair = VolumePair.of(
            fixed,
            moving,
            start_level,
            correlation.limits,
            float(contrast),
        ).without_debris(to_affine(start.best.transform))
        best, refused = start.best, []
        for candidate in _propose(pair, start.best, stages):
            if not _is_better(pair, candidate, best):
                refused.append(candidate)
                continue
            best, refused = candidate, []
            if self._is_enough(best):
                break
        if best.left_px is None and refused:
            best = _with_doubt(best, refused[-1], moving[0])
        candidates = best, *start.candidates[1:]
        return Estimate(
            tuple(sorted(candidates, key=lambda one: -(one.confidence or 0.0)))
        )


def _propose(
    pair: VolumePair, start: Candidate, stages: Sequence[Stage]
) -> Iterator[Candidate]:
    """Fit transforms, one stage after the other, and judge each."""
    begin = to_affine(start.transform)
    images = _read_images(pair, begin)
    if images is None:
        return
    for stage in stages:
        found = _fit(images, begin, stage)
        if found is None or not _is_possible(found):
            continue
        before = start.evidence["similarity_before"]
        candidate = pair.judge(found, _KEEPS[stage.kind], before)
        is_shift = stage.kind == "translation"
        yield _as_translation(candidate) if is_shift else candidate


def _fit(images: "_Images", start: Affine, stage: Stage) -> Affine | None:
    """Run elastix; None if it gives up, as it does on images of other things.

    Raises:
        InvalidInputError: It does not understand its parameters.
    """
    try:
        maps = run_elastix(
            images.fixed,
            images.moving,
            stage.maps,
            initial=write_elastix_map(start, ndim=images.seen.ndim),
            mask=images.seen,
        )
    except ElastixError as error:
        if error.is_of_parameters:
            raise InvalidInputError(
                f"elastix cannot run with these parameters: {error}. Correct the "
                "parameter files."
            ) from error
        logger.info("elastix gave up on a ROI: %s", error)
        return None
    return read_elastix_maps(maps)


def _with_doubt(best: Candidate, refused: Candidate, moving: Patch) -> Candidate:
    """Say how far places may be off if what was refused is right after all."""
    box_um = np.zeros((2, 3))
    box_um[1, -len(moving.shape) :] = np.multiply(moving.shape, moving.spacing_um)
    points = list_points(box_um)
    mapped = (one.transform.map_points(points) for one in (best, refused))
    off_px = np.subtract(*mapped)[:, 1:] / moving.spacing_um[-2:]
    left_px = float(np.linalg.norm(off_px, axis=1).max())
    return replace(best, evidence={**best.evidence, LEFT_PX: left_px})


def _is_better(pair: VolumePair, candidate: Candidate, best: Candidate) -> bool:
    """Tell whether a transform that allows more earned it."""
    # From there on none is lower than another one in any sense that matters.
    enough = min(best.confidence or 0.0, CONVINCING)
    if (candidate.confidence or 0.0) < enough:
        return False
    return pair.is_clear_gain(to_affine(best.transform), to_affine(candidate.transform))


def _as_translation(candidate: Candidate) -> Candidate:
    """Give the shift of a candidate as that."""
    z_um, y_um, x_um = to_affine(candidate.transform).offset_um
    return replace(candidate, transform=Translation((z_um, y_um, x_um)))


def _is_possible(transform: Affine) -> bool:
    """Tell whether a sample could have done it."""
    least, most = transform.stretches
    return 1 / _MOST_STRETCH < least <= most < _MOST_STRETCH


@dataclass(frozen=True)
class _Images:
    """What elastix gets."""

    fixed: ElastixImage
    moving: ElastixImage

    seen: npt.NDArray[np.bool_]
    """The pixels of `fixed` that both show, where registration starts."""


def _read_images(pair: VolumePair, start: Affine) -> _Images | None:
    """Read both images; None if they show too little to start with."""
    ours, theirs = pair.read()
    whole = tuple(slice(0, n) for n in ours.shape)
    fixed = ours.read(whole)
    shown = MappedPatch(theirs, start, ours.shape).read(whole)
    seen = np.isfinite(fixed) & np.isfinite(shown)
    if min(ours.shape[1:]) < _LEAST_PX or seen.mean() < _LEAST_SEEN:
        return None
    if not (np.ptp(fixed[seen]) and np.ptp(shown[seen])):
        return None
    ndim = 2 if ours.shape[0] == theirs.shape[0] == 1 else 3
    return _Images(
        _to_image(ours, ndim),
        _to_image(theirs, ndim),
        seen.reshape(seen.shape[-ndim:]),
    )


def _to_image(patch: ArrayPatch, ndim: int) -> ElastixImage:
    """Give the pixels as elastix needs them, all valid."""
    pixels = fill_invalid(np.asarray(patch.array, dtype=np.float32))
    return ElastixImage(pixels.reshape(pixels.shape[-ndim:]), patch.spacing_um[-ndim:])
