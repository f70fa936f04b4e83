"""Transforms by elastix, with the user's own parameter files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.model import Candidate
from fractal_tasks.registration.elastix_method import (
    ELASTIX_NAMES,
    ElastixMethod,
    Kind,
    Stage,
)
from fractal_tasks.registration.estimate import Estimate
from fractal_tasks.registration.itk_elastix import Parameters
from fractal_tasks.registration.patch import PatchPyramid
from fractal_tasks.transforms.bspline import BSPLINES
from fractal_tasks.transforms.elastix_text import parse_elastix_text

_KINDS: dict[str, Kind] = {
    **{name: kind for kind, name in ELASTIX_NAMES.items()},
    **dict.fromkeys(BSPLINES, "bspline"),
}

_OURS: Parameters = {
    # It starts from the shift that was found, and gives back the transform alone.
    "AutomaticTransformInitialization": ("false",),
    "HowToCombineTransforms": ("Compose",),
    "InitialTransformParameterFileName": ("NoInitialTransform",),
    "WriteResultImage": ("false",),
}
"""What the parameters of a file have to be here."""

_PLAIN = """
(Registration "MultiResolutionRegistration")
(Transform "AffineTransform")
(Metric "AdvancedMattesMutualInformation")
(Optimizer "AdaptiveStochasticGradientDescent")
(AutomaticScalesEstimation "true")
(FixedImagePyramid "FixedSmoothingImagePyramid")
(MovingImagePyramid "MovingSmoothingImagePyramid")
(NumberOfResolutions 4)
(MaximumNumberOfIterations 256)
(NumberOfSpatialSamples 2048)
(NewSamplesEveryIteration "true")
(ImageSampler "RandomCoordinate")
(Interpolator "LinearInterpolator")
"""
"""What elastix has where nothing is asked for."""


class ElastixFiles(ElastixMethod):
    """Transforms by elastix with your own parameter files.

    The files run one after the other from the shift that phase cross-correlation finds.
    What they find is kept only if it makes the images clearly more similar and no less
    certain.

    References:
        Klein et al., IEEE Trans. Med. Imaging 29, 196 (2010),
        doi:10.1109/TMI.2009.2035616.
    """

    type: Literal["elastix_files"] = "elastix_files"

    parameter_files: list[str] = Field(default=[])
    """Parameter files of elastix in the order in which they run, each a path or the
    text itself; the texts are stored with the result. Without any, the settings that
    elastix has for an affine transform."""

    @field_validator("parameter_files")
    @classmethod
    def _read_files(cls, given: list[str]) -> list[str]:
        """Take texts for paths, and refuse what could not be run or stored.

        Raises:
            ValueError: A file cannot be read, is malformed, or asks for a transform
                that cannot be stored.
        """
        texts = [_read_text(one) for one in given]
        for one, text in zip(given, texts, strict=True):
            _kind_of(text, _name_of(one))
        return texts

    @property
    def _texts(self) -> list[str]:
        return self.parameter_files or [_PLAIN]

    @property
    def _most_flexible(self) -> Kind:
        """The most flexible transform of all files."""
        kinds = [_kind_of(text, "") for text in self._texts]
        return max(kinds, key=list(ELASTIX_NAMES).index)

    def _list_stages(self, start: Candidate) -> Sequence[Stage]:
        """Give all files as one stage."""
        maps = [{**parse_elastix_text(text, ""), **_OURS} for text in self._texts]
        return [Stage(self._most_flexible, maps)]

    def estimate(
        self, fixed: PatchPyramid, moving: PatchPyramid, *, start_level: int
    ) -> Estimate:
        """Estimate the transform that brings `moving` onto `fixed`.

        Raises:
            InvalidInputError: A file is for images of other dimensions, or elastix
                cannot run it.
        """
        is_flat = all((1, *one[0].shape)[-3] == 1 for one in (fixed, moving))
        ndim = 2 if is_flat else 3
        for number, text in enumerate(self.parameter_files, start=1):
            parameters = parse_elastix_text(text, "")
            for name in ("FixedImageDimension", "MovingImageDimension"):
                found = parameters.get(name, (str(ndim),))
                if found != (str(ndim),):
                    raise InvalidInputError(
                        f"parameter_files, number {number}: its {name} is "
                        f"{' '.join(found)}, but the ROI is registered in {ndim}D. "
                        "Choose a file for that, or other 'dimensions'."
                    )
        return super().estimate(fixed, moving, start_level=start_level)


def _read_text(given: str) -> str:
    """Give the text of a file, or what is one already."""
    if _is_text(given):
        return given
    try:
        return Path(given).expanduser().read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"parameter file {given!r} cannot be read ({error}). Give the path of a "
            "text file on the machine that runs this, or the text itself."
        ) from error


def _is_text(given: str) -> bool:
    """Tell a parameter file from its path: it begins with an entry or a remark."""
    return given.lstrip().startswith(("(", "//"))


def _name_of(given: str) -> str:
    return "parameter text" if _is_text(given) else given


def _kind_of(text: str, name: str) -> Kind:
    """Give what kind of transform a file asks for.

    Raises:
        ValueError: It is malformed, or the transform cannot be stored.
    """
    found = parse_elastix_text(text, name).get("Transform", ())
    kind = _KINDS.get(" ".join(found))
    if kind is None:
        lines = text.splitlines()
        numbers = [n for n, line in enumerate(lines, 1) if "(Transform " in line]
        where = f", line {numbers[0]}" if numbers else ""
        raise ValueError(
            f"{name}{where}: found the Transform {' '.join(found) or 'none'!r}; one "
            f"that can be stored is needed: {', '.join(_KINDS)}"
        )
    return kind
