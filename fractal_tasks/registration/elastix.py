"""Linear transforms by elastix, started from the shift that correlation finds."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from fractal_tasks.model import Candidate
from fractal_tasks.registration.base import RegistrationMethod
from fractal_tasks.registration.coarse import SearchLimits
from fractal_tasks.registration.estimate import Estimate
from fractal_tasks.registration.itk_elastix import (
    ElastixError,
    ElastixImage,
    run_elastix,
)
from fractal_tasks.registration.mapped import MappedPatch
from fractal_tasks.registration.motion import Motion
from fractal_tasks.registration.patch import ArrayPatch, PatchPyramid
from fractal_tasks.registration.phase_cross_correlation import PhaseCrossCorrelation
from fractal_tasks.registration.prepare import fill_invalid
from fractal_tasks.registration.roi_pair import RoiPair
from fractal_tasks.transforms import Affine, Translation, to_affine
from fractal_tasks.transforms.elastix import read_elastix_maps, write_elastix_map

Kind = Literal["translation", "rigid", "similarity", "affine"]

_ELASTIX_NAMES = MappingProxyType(
    {
        "translation": "TranslationTransform",
        "rigid": "EulerTransform",
        "similarity": "SimilarityTransform",
        "affine": "AffineTransform",
    }
)
_METRICS = MappingProxyType(
    {
        "correlation": "AdvancedNormalizedCorrelation",
        "mutual_information": "AdvancedMattesMutualInformation",
    }
)
_STARTS: MappingProxyType[str, Literal["shift", "rigid", "similarity"]]
_STARTS = MappingProxyType(
    {
        "translation": "shift",
        "rigid": "rigid",
        "similarity": "similarity",
        "affine": "similarity",
        "auto": "similarity",
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

_EXPLAINED_PX = 0.5
"""A transform that leaves no place off by more explains the images."""

_CONVINCING = 0.95
"""From here on no confidence is lower than another one in any sense that matters."""

_MOST_STRETCH = 1.25
"""Samples that stretch or shrink more between rounds are not the same any more; elastix
gives such transforms where there is nothing to register."""

_LEAST_PX, _LEAST_SEEN = 16, 0.05
"""Pixels per side (y, x), and part of the ROI that both see, with which elastix starts:
it samples what both see, and its pyramid halves each side."""


class Elastix(RegistrationMethod):
    """Linear transforms by elastix: for samples that turned, grew or were sheared.

    Starts from the shift that phase cross-correlation finds, so that large ones are no
    harder than small ones. A more flexible transform is kept only if it makes the
    images clearly more similar and no less certain; otherwise what correlation found
    is.

    References:
        Klein et al., IEEE Trans. Med. Imaging 29, 196 (2010),
        doi:10.1109/TMI.2009.2035616.
    """

    type: Literal["elastix"] = "elastix"

    transform: Literal["auto", "translation", "rigid", "similarity", "affine"] = "auto"
    """What the sample may have done. `rigid` turns it, `similarity` also changes its
    size, `affine` also stretches and shears it, in all axes of a stack. `auto` takes
    the simplest that explains the images, in most plates the shift."""

    metric: Literal["correlation", "mutual_information"] = "correlation"
    """How similarity is measured. Choose `mutual_information` where the two stains
    show different structures."""

    resolutions: int = Field(default=2, ge=1, le=8)
    """Number of resolutions, coarse to fine. More of them find larger turns."""

    iterations: int = Field(default=256, ge=1)
    """Steps of the optimiser at each resolution."""

    samples: int = Field(default=2048, ge=100)
    """Places of the ROI that are compared in each step, drawn anew each time."""

    random_seed: int = Field(default=1, ge=0)
    """Seed of these places: the same one gives the same result."""

    max_shift_um: float | None = Field(default=None, gt=0)
    """Largest shift to consider along each axis, in micrometres. Leave it empty to
    consider every shift that keeps `min_overlap`."""

    min_overlap: float = Field(default=0.1, gt=0, le=1)
    """Smallest part of the ROI (0 to 1) that both images must see."""

    def estimate(
        self, fixed: PatchPyramid, moving: PatchPyramid, *, start_level: int
    ) -> Estimate:
        """Estimate the transform that brings `moving` onto `fixed`."""
        start = PhaseCrossCorrelation(
            motion=_STARTS[self.transform],
            max_shift_um=self.max_shift_um,
            min_overlap=self.min_overlap,
        ).estimate(fixed, moving, start_level=start_level)
        kinds = self._list_kinds(start.best)
        if not kinds:
            return start
        limit_um = np.inf if self.max_shift_um is None else self.max_shift_um
        contrast = np.sign(start.best.evidence["similarity_after"]) or 1.0
        pair = RoiPair.of(
            fixed,
            moving,
            start_level,
            SearchLimits(self.min_overlap, limit_um),
            float(contrast),
        ).without_debris(to_affine(start.best.transform))
        best = start.best
        for candidate in self._propose(pair, start.best, kinds):
            if _is_better(pair, candidate, best):
                best = candidate
                if self.transform == "auto" and _is_explained(best):
                    break
        rest = start.candidates[1:]
        return Estimate(
            tuple(sorted((best, *rest), key=lambda one: -(one.confidence or 0.0)))
        )

    def _list_kinds(self, start: Candidate) -> list[Kind]:
        """List the transforms to try after what correlation found, simplest first."""
        if self.transform != "auto":
            return [self.transform]
        if not isinstance(start.transform, Translation):
            return ["affine"]
        return [] if _is_explained(start) else ["rigid", "similarity", "affine"]

    def _propose(
        self, pair: RoiPair, start: Candidate, kinds: list[Kind]
    ) -> Iterator[Candidate]:
        """Fit transforms, one kind after the other, and judge each."""
        begin = to_affine(start.transform)
        images = _read_images(pair, begin)
        if images is None:
            return
        for kind in kinds:
            found = self._fit(images, begin, kind)
            if found is not None and _is_possible(found):
                candidate = pair.judge(
                    found, _KEEPS[kind], start.evidence["similarity_before"]
                )
                yield _as_translation(candidate) if kind == "translation" else candidate

    def _fit(self, images: "_Images", start: Affine, kind: Kind) -> Affine | None:
        """Run elastix; None if it gives up, as it does on images of other things."""
        try:
            maps = run_elastix(
                images.fixed,
                images.moving,
                [self._write_parameters(kind)],
                initial=write_elastix_map(start, ndim=images.seen.ndim),
                mask=images.seen,
            )
        except ElastixError:
            return None
        return read_elastix_maps(maps)

    def _write_parameters(self, kind: Kind) -> dict[str, tuple[str, ...]]:
        """Write the parameter map of a stage."""
        values = {
            "Registration": "MultiResolutionRegistration",
            "FixedImagePyramid": "FixedRecursiveImagePyramid",
            "MovingImagePyramid": "MovingRecursiveImagePyramid",
            "NumberOfResolutions": self.resolutions,
            "Transform": _ELASTIX_NAMES[kind],
            "HowToCombineTransforms": "Compose",
            "AutomaticTransformInitialization": "false",
            "AutomaticScalesEstimation": "true",
            "Metric": _METRICS[self.metric],
            "NumberOfHistogramBins": 32,
            "Interpolator": "LinearInterpolator",
            "ImageSampler": "RandomCoordinate",
            "NumberOfSpatialSamples": self.samples,
            "NewSamplesEveryIteration": "true",
            "Optimizer": "AdaptiveStochasticGradientDescent",
            "MaximumNumberOfIterations": self.iterations,
            "RandomSeed": self.random_seed,
            "WriteResultImage": "false",
        }
        return {name: (str(value),) for name, value in values.items()}


def _is_explained(candidate: Candidate) -> bool:
    """Tell whether a transform is known to leave nothing off."""
    return candidate.left_px is not None and candidate.left_px < _EXPLAINED_PX


def _is_better(pair: RoiPair, candidate: Candidate, best: Candidate) -> bool:
    """Tell whether a transform that allows more earned it."""
    enough = min(best.confidence or 0.0, _CONVINCING)
    if (candidate.confidence or 0.0) < enough:
        return False
    return pair.is_clear_gain(to_affine(best.transform), to_affine(candidate.transform))


def _as_translation(candidate: Candidate) -> Candidate:
    """Give the shift of a candidate as that."""
    z_um, y_um, x_um = to_affine(candidate.transform).offset_um
    return replace(candidate, transform=Translation((z_um, y_um, x_um)))


def _is_possible(transform: Affine) -> bool:
    """Tell whether a sample could have done it."""
    stretches = np.linalg.svd(np.array(transform.matrix), compute_uv=False)
    return bool(1 / _MOST_STRETCH < stretches.min() <= stretches.max() < _MOST_STRETCH)


@dataclass(frozen=True)
class _Images:
    """What elastix gets."""

    fixed: ElastixImage
    moving: ElastixImage

    seen: npt.NDArray[np.bool_]
    """The pixels of `fixed` that both show, where registration starts."""


def _read_images(pair: RoiPair, start: Affine) -> _Images | None:
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
