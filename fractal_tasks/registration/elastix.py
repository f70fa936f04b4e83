"""Transforms by elastix, with settings for nuclei and tissue."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from pydantic import Field

from fractal_tasks.model import Candidate
from fractal_tasks.registration.correlation import CONVINCING
from fractal_tasks.registration.elastix_method import (
    ELASTIX_NAMES,
    ElastixMethod,
    Kind,
    Stage,
)
from fractal_tasks.transforms import Translation, Warp

_METRICS: Mapping[str, str] = MappingProxyType(
    {
        "correlation": "AdvancedNormalizedCorrelation",
        "mutual_information": "AdvancedMattesMutualInformation",
    }
)

_STEP_SAMPLES = 10_000
"""Places by which the optimiser chooses the size of its steps. elastix takes 100 000,
which takes as long as the steps, and finds nothing better."""

_EXPLAINED_PX = 0.5
"""A transform that leaves no place off by more explains the images."""


class Elastix(ElastixMethod):
    """Transforms by elastix: for samples that turned, grew, were sheared or bent.

    Starts from the shift that phase cross-correlation finds, so that large ones are no
    harder than small ones. A more flexible transform is kept only if it makes the
    images clearly more similar and no less certain; otherwise what correlation found
    is.

    References:
        Klein et al., IEEE Trans. Med. Imaging 29, 196 (2010),
        doi:10.1109/TMI.2009.2035616.
    """

    type: Literal["elastix"] = "elastix"

    transform: Literal[
        "auto", "translation", "rigid", "similarity", "affine", "bspline"
    ] = "auto"
    """What the sample may have done. `rigid` turns it, `similarity` also changes its
    size, `affine` also stretches and shears it, in all axes of a stack; `bspline` bends
    it. `auto` takes the simplest of the linear ones that explains the images, in most
    plates the shift."""

    grid_spacing_um: float = Field(default=20.0, gt=0)
    """Distance of the control points of `bspline` (um): about three quarters of the
    distance over which the sample bends."""

    metric: Literal["correlation", "mutual_information"] = "correlation"
    """How similarity is measured. Choose `mutual_information` where the two stains
    show different structures."""

    resolutions: int = Field(default=2, ge=1, le=8)
    """Number of resolutions, coarse to fine. More of them find larger turns."""

    iterations: int = Field(default=256, ge=1)
    """Steps of the optimiser at each resolution."""

    samples: int = Field(default=2048, ge=100)
    """Places of the ROI that are compared in each step, drawn anew each time."""

    random_seed: int = Field(default=1, ge=0, lt=2**32)
    """Seed of these places: the same one gives the same result."""

    @property
    def _most_flexible(self) -> Kind:
        """The most flexible transform that is allowed."""
        return "affine" if self.transform == "auto" else self.transform

    def _list_stages(self, start: Candidate) -> Sequence[Stage]:
        """List what is tried after what correlation found, the simplest first.

        But what is to bend is bent first: seldom is that refused, and something else
        needed.
        """
        stages = [
            Stage(kind, [self._write_parameters(kind)])
            for kind in self._list_kinds(start)
        ]
        if self.transform == "bspline":
            maps = [self._write_rough_affine(), self._write_bspline()]
            return [Stage("bspline", maps), *stages]
        return stages

    def _list_kinds(self, start: Candidate) -> Sequence[Kind]:
        if self.transform == "bspline":
            return ["affine"]
        if self.transform != "auto":
            return [self.transform]
        if isinstance(start.transform, Translation) and _is_explained(start):
            return []
        # Where correlation is sure, it found the turn and size, or that there is none.
        is_sure = (start.confidence or 0.0) > CONVINCING
        return ["affine"] if is_sure else ["rigid", "similarity", "affine"]

    def _is_enough(self, found: Candidate) -> bool:
        """Tell whether the next stages are not needed."""
        if self.transform == "auto":
            return _is_explained(found)
        return isinstance(found.transform, Warp)

    def _write_parameters(self, kind: Kind) -> dict[str, tuple[str, ...]]:
        """Write the parameter map of a stage."""
        values = {
            "Registration": "MultiResolutionRegistration",
            "FixedImagePyramid": "FixedRecursiveImagePyramid",
            "MovingImagePyramid": "MovingRecursiveImagePyramid",
            "NumberOfResolutions": self.resolutions,
            "Transform": ELASTIX_NAMES[kind],
            "HowToCombineTransforms": "Compose",
            "AutomaticTransformInitialization": "false",
            "AutomaticScalesEstimation": "true",
            "Metric": _METRICS[self.metric],
            "NumberOfHistogramBins": 32,
            "Interpolator": "LinearInterpolator",
            "ImageSampler": "RandomCoordinate",
            "NumberOfSpatialSamples": self.samples,
            "NumberOfSamplesForExactGradient": _STEP_SAMPLES,
            "NewSamplesEveryIteration": "true",
            "Optimizer": "AdaptiveStochasticGradientDescent",
            "MaximumNumberOfIterations": self.iterations,
            "RandomSeed": self.random_seed,
            "WriteResultImage": "false",
        }
        return {name: (str(value),) for name, value in values.items()}

    def _write_rough_affine(self) -> dict[str, tuple[str, ...]]:
        """Write that of what comes before bending, and need not be exact."""
        return self._write_parameters("affine") | {
            "NumberOfResolutions": ("1",),
            "MaximumNumberOfIterations": (str(math.ceil(self.iterations / 4)),),
        }

    def _write_bspline(self) -> dict[str, tuple[str, ...]]:
        """Write the parameter map of what bends: it has more to find."""
        return self._write_parameters("bspline") | {
            "NumberOfSpatialSamples": (str(2 * self.samples),),
            # Around the windows that are held out all may be seen.
            "ErodeMask": ("false",),
            "FinalGridSpacingInPhysicalUnits": (str(self.grid_spacing_um),),
        }


def _is_explained(candidate: Candidate) -> bool:
    """Tell whether a transform is known to leave nothing off."""
    return candidate.left_px is not None and candidate.left_px < _EXPLAINED_PX
