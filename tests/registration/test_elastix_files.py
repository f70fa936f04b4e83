"""The user's own parameter files of elastix."""

from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.registration.elastix_files import ElastixFiles
from fractal_tasks.registration.registry import Method
from fractal_tasks.transforms import Warp
from tests.registration.scene import SHAPE
from tests.registration.test_bspline import bent_errors_px, draw_bent
from tests.registration.test_elastix import SHEAR, draw_changed, errors_px
from tests.registration.test_methods import draw_pair, register

RIGID = """// first a turn
(Registration "MultiResolutionRegistration")
(Transform "EulerTransform")
(Metric "AdvancedNormalizedCorrelation")
(Optimizer "AdaptiveStochasticGradientDescent")
(AutomaticScalesEstimation "true")
(FixedImagePyramid "FixedRecursiveImagePyramid")
(MovingImagePyramid "MovingRecursiveImagePyramid")
(NumberOfResolutions 2)
(MaximumNumberOfIterations 200)
(NumberOfSpatialSamples 2048)
(NewSamplesEveryIteration "true")
(ImageSampler "RandomCoordinate")
(Interpolator "LinearInterpolator")
(WriteResultImage "true")
(AutomaticTransformInitialization "true")
"""
AFFINE = RIGID.replace("EulerTransform", "AffineTransform")


def test_files_run_one_after_the_other(tmp_path: Path) -> None:
    path = tmp_path / "rigid (1).txt"
    path.write_text(RIGID)
    method = ElastixFiles(parameter_files=[str(path), AFFINE])
    fixed, moving, truth = draw_changed(SHEAR, (400, 400))
    assert errors_px(register(method, fixed, moving), truth, moving).max() < 0.4


@pytest.mark.parametrize("name", ["BSplineTransform", "RecursiveBSplineTransform"])
@pytest.mark.sampled(2)
def test_last_file_may_bend(name: str) -> None:
    bend = RIGID.replace("EulerTransform", name) + (
        "(FinalGridSpacingInPhysicalUnits 25)\n"
    )
    bend = bend.replace('(AutomaticScalesEstimation "true")\n', "")
    fixed, moving = draw_bent(1)
    found = register(ElastixFiles(parameter_files=[AFFINE, bend]), fixed, moving)
    assert isinstance(found.best.transform, Warp)
    assert np.median(bent_errors_px(found, SHAPE[2])) < 0.5


def test_texts_are_what_is_stored(tmp_path: Path) -> None:
    path = tmp_path / "rigid.txt"
    path.write_text(RIGID)
    method = ElastixFiles(parameter_files=[str(path)])
    fields = method.model_dump(mode="json")
    assert fields["parameter_files"] == [RIGID]
    path.unlink()
    assert TypeAdapter(Method).validate_python(fields) == method


def test_without_files_elastix_has_settings_of_its_own() -> None:
    fixed, moving, truth = draw_changed(SHEAR, (400, 400))
    found = register(ElastixFiles(), fixed, moving)
    assert errors_px(found, truth, moving).max() < 0.4


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (RIGID.replace("EulerTransform", "SplineKernelTransform"), "line 3.*Kernel"),
        (RIGID.replace('(Transform "EulerTransform")\n', ""), "found the Transform"),
        (RIGID.replace('"AdvancedNormal', "AdvancedNormal"), "line 4.*Metric"),
        (RIGID + "(NumberOfResolutions 3)\n", "line 17.*twice"),
    ],
    ids=["a warp", "no transform", "a quote is missing", "twice"],
)
def test_file_that_cannot_be_used_is_named_with_its_line(
    tmp_path: Path, text: str, reason: str
) -> None:
    path = tmp_path / "mine.txt"
    path.write_text(text)
    with pytest.raises(ValidationError, match=f"mine.txt.*{reason}"):
        ElastixFiles(parameter_files=[RIGID, str(path)])


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"gone\.txt' cannot be read"):
        ElastixFiles(parameter_files=[str(tmp_path / "gone.txt")])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (RIGID + "(FixedImageDimension 3)\n", "number 1: its FixedImageDimension is 3"),
        (RIGID.replace("AdvancedNormalized", "Un"), "UnCorrelation"),
        (RIGID.replace("Resolutions 2", "Resolutions two"), "NumberOfResolutions"),
    ],
    ids=["other axes", "unknown metric", "no number"],
)
def test_settings_that_elastix_cannot_run_are_an_error(text: str, reason: str) -> None:
    fixed, moving = draw_pair(2, (1.0, 2.0))
    with pytest.raises(InvalidInputError, match=reason):
        register(ElastixFiles(parameter_files=[text]), fixed, moving)


def test_stack_of_one_plane_is_registered_in_2d() -> None:
    fixed, moving = draw_pair(2, (1.0, 2.0))
    flat = RIGID + "(FixedImageDimension 2)\n"
    spacing_um = (1.0, 0.325, 0.325)
    stacks = fixed[None], moving[None]
    found = register(
        ElastixFiles(parameter_files=[flat]), *stacks, spacing_um=spacing_um
    )
    assert (found.best.confidence or 0) > 0.9
    solid = ElastixFiles(parameter_files=[flat.replace("Dimension 2", "Dimension 3")])
    with pytest.raises(InvalidInputError, match="registered in 2D"):
        register(solid, *stacks, spacing_um=spacing_um)


def test_images_that_elastix_gives_up_on_keep_what_correlation_finds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A mask of few pixels leaves no samples, which is no fault of the files."""
    fixed, moving = draw_pair(2, (1.0, 2.0))
    ratio = "(RequiredRatioOfValidSamples 1.1)\n"
    method = ElastixFiles(parameter_files=[RIGID + ratio])
    caplog.set_level("INFO")
    found = register(method, fixed, moving)
    assert np.isfinite(found.best.transform.displacement_at((0.0, 0.0, 0.0))).all()
    assert "gave up" in caplog.text
