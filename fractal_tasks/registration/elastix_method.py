"""What the methods that run elastix share: where they start, and what they keep."""

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import ClassVar, Literal, TypeAlias

import numpy as np
from pydantic import Field

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.model import Candidate
from fractal_tasks.model.candidate import LEFT_PX
from fractal_tasks.registration.base import RegistrationMethod
from fractal_tasks.registration.correlation import CONVINCING
from fractal_tasks.registration.elastix_images import Images, read_images
from fractal_tasks.registration.estimate import Estimate
from fractal_tasks.registration.itk_elastix import (
    ElastixError,
    Parameters,
    run_elastix,
)
from fractal_tasks.registration.motion import Motion
from fractal_tasks.registration.patch import Patch, PatchPyramid
from fractal_tasks.registration.phase_cross_correlation import PhaseCrossCorrelation
from fractal_tasks.registration.volume_pair import VolumePair
from fractal_tasks.transforms import (
    Affine,
    Transform,
    Translation,
    Warp,
    find_affine,
    to_affine,
)
from fractal_tasks.transforms.base import list_points
from fractal_tasks.transforms.bspline import read_bent_maps
from fractal_tasks.transforms.elastix import write_elastix_map

logger = logging.getLogger(__name__)

Kind: TypeAlias = Literal["translation", "rigid", "similarity", "affine", "bspline"]

ELASTIX_NAMES: Mapping[Kind, str] = MappingProxyType(
    {
        "translation": "TranslationTransform",
        "rigid": "EulerTransform",
        "similarity": "SimilarityTransform",
        "affine": "AffineTransform",
        "bspline": "RecursiveBSplineTransform",
    }
)
"""What elastix calls them, the more flexible ones last."""

_STARTS: Mapping[Kind, Literal["shift", "rigid", "similarity"]] = MappingProxyType(
    {
        "translation": "shift",
        "rigid": "rigid",
        "similarity": "similarity",
        "affine": "similarity",
        "bspline": "similarity",
    }
)
"""What is taken from correlation: the most of it that the transform allows."""

_KEEPS: Mapping[Kind, Callable[[Motion], Motion]] = MappingProxyType(
    {
        "translation": lambda motion: Motion(motion.shift_px),
        "rigid": Motion.rigid,
        "similarity": lambda motion: motion,
        "affine": lambda motion: motion,
        # The turn of what bends is a matter of its fit.
        "bspline": lambda motion: Motion(motion.shift_px),
    }
)
"""What of a motion each of them can undo."""

_MOST_STRETCH = 1.25
"""Samples that stretch or shrink more between rounds are not the same any more; elastix
gives such transforms where there is nothing to register."""

_LEAST_VOLUME = 0.3
"""Nor are those of which a piece shrinks to less: of what elastix bends too much, it
first folds some."""

_EXACT_PX = 0.05
"""How far displacements that are stored may be from what elastix found."""


@dataclass(frozen=True)
class Stage:
    """Parameter maps of elastix, run one after the other from the same start."""

    kind: Kind
    """The most flexible transform among them."""

    maps: Sequence[Parameters]

    @property
    def bends(self) -> bool:
        """Whether it can explain all that it is fitted to."""
        return self.kind == "bspline"


class ElastixMethod(RegistrationMethod):
    """A method that runs elastix from the shift that correlation finds."""

    takes_long: ClassVar[bool] = True

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
            if not _is_credible(candidate, best):
                continue
            if not _is_better(pair, candidate, best):
                refused.append(candidate)
                continue
            # What bends may be right still.
            bent = [one for one in refused if isinstance(one.transform, Warp)]
            best, refused = candidate, bent
            if self._is_enough(best):
                break
        if best.left_px is None and refused:
            best = _with_doubt(best, refused, moving[0])
        if isinstance(best.transform, Warp):
            left_px = max(best.left_px or 0.0, pair.find_left_px(best.transform))
            best = replace(best, evidence={**best.evidence, LEFT_PX: left_px})
        others = start.candidates[1:]
        if best.transform is not start.best.transform:
            others = tuple(_beside(best, one) for one in others)
        candidates = sorted((best, *others), key=lambda one: -(one.confidence or 0.0))
        return Estimate(tuple(candidates))


def _propose(
    pair: VolumePair, start: Candidate, stages: Sequence[Stage]
) -> Iterator[Candidate]:
    """Fit transforms, one stage after the other, and judge each."""
    begin = linear = to_affine(start.transform)
    for stage in stages:
        images = read_images(pair, linear, bends=stage.bends)
        if images is None:
            return
        found = _fit(images, linear if stage.bends else begin, stage, pair)
        if found is None or not _is_possible(found):
            continue
        linear = find_affine(found)
        before = start.evidence["similarity_before"]
        keep = _KEEPS[stage.kind]
        candidate = pair.judge(found, keep, before)
        is_shift = stage.kind == "translation"
        yield _as_translation(candidate) if is_shift else candidate


def _fit(
    images: Images, start: Affine, stage: Stage, pair: VolumePair
) -> Transform | None:
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
    pixel_um = np.array(pair.fixed[0].spacing_um)
    last_um = (np.array(pair.fixed[0].shape) - 0.5) * pixel_um
    exact_um = _EXACT_PX * float(pixel_um[1:].min())
    return read_bent_maps(maps, np.stack([pixel_um / 2, last_um]), exact_um)


def _beside(best: Candidate, other: Candidate) -> Candidate:
    """Give another candidate what a better one leaves: one of them is right at most."""
    left = 1 - (best.confidence or 0.0)
    return replace(other, confidence=min(other.confidence or 0.0, left))


def _with_doubt(
    best: Candidate, refused: Sequence[Candidate], moving: Patch
) -> Candidate:
    """Say how far places may be off if what was refused is right after all."""
    box_um = np.zeros((2, 3))
    box_um[1, -len(moving.shape) :] = np.multiply(moving.shape, moving.spacing_um)
    points = list_points(box_um)
    ours, *others = (one.transform.map_points(points) for one in (best, *refused))
    off_px = (np.array(others) - ours)[..., 1:] / moving.spacing_um[-2:]
    left_px = float(np.linalg.norm(off_px, axis=-1).max())
    return replace(best, evidence={**best.evidence, LEFT_PX: left_px})


def _is_credible(candidate: Candidate, best: Candidate) -> bool:
    """Tell whether a transform that allows more is as sure as the simpler one.

    From CONVINCING on none is lower than another one in any sense that matters; and
    what may be something else is not bent onto it.
    """
    bends = isinstance(candidate.transform, Warp)
    enough = CONVINCING if bends else min(best.confidence or 0.0, CONVINCING)
    return (candidate.confidence or 0.0) >= enough


def _is_better(pair: VolumePair, candidate: Candidate, best: Candidate) -> bool:
    """Tell whether a transform that allows more explains the images better.

    What bends must be better, too, than what of it does not.
    """
    after = candidate.transform
    if not isinstance(after, Warp):
        before, after = to_affine(best.transform), to_affine(after)
        return pair.is_clear_gain(before, after, held_out=False)
    return all(
        pair.is_clear_gain(find_affine(one), after, held_out=True)
        for one in (best.transform, after)
    )


def _as_translation(candidate: Candidate) -> Candidate:
    """Give the shift of a candidate as that."""
    z_um, y_um, x_um = to_affine(candidate.transform).offset_um
    return replace(candidate, transform=Translation((z_um, y_um, x_um)))


def _is_possible(transform: Transform) -> bool:
    """Tell whether a sample could have done it."""
    if isinstance(transform, Warp) and transform.field.least_volume < _LEAST_VOLUME:
        return False
    least, most = find_affine(transform).stretches
    return 1 / _MOST_STRETCH < least <= most < _MOST_STRETCH
