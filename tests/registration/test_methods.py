"""The contract of a registration method: each member of the registry keeps it.

Truth is the closed form of the drawn cells. Tolerances are in pixels of level 0: 0.15
in y and x, 0.3 planes in z, for images with photon noise. Any transform is judged, by
where it puts points all over the ROI.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.model.candidate import EVIDENCE
from fractal_tasks.registration.base import RegistrationMethod
from fractal_tasks.registration.chi2_shift import Chi2Shift
from fractal_tasks.registration.elastix_method import ElastixMethod
from fractal_tasks.registration.estimate import Estimate
from fractal_tasks.registration.evidence import Evidence
from fractal_tasks.registration.patch import ArrayPatch, Box, Pixels
from fractal_tasks.registration.phase_cross_correlation import PhaseCrossCorrelation
from fractal_tasks.registration.registry import METHODS as OWN
from fractal_tasks.registration.registry import FurtherMethods, Method
from fractal_tasks.transforms import TRANSFORM_TYPES, Translation
from tests.registration.scene import (
    SHAPE,
    SPACING_UM,
    Image,
    build_pyramid,
    draw_cells,
    photograph,
)
from tests.registration.truth import displacements_px, target_errors_px

METHODS = OWN + FurtherMethods().list_models()
"""Also those of packages that are installed beside this one: the contract is theirs."""

TOLERANCE_PX = np.array([0.3, 0.15, 0.15])


def as_param(method: type[RegistrationMethod], *further: Any) -> Any:
    """Give the values of a test; those that ask elastix are run by `make e2e`.

    `test_elastix` has what is theirs alone.
    """
    marks = [pytest.mark.e2e] if issubclass(method, ElastixMethod) else []
    return pytest.param(method(), *further, marks=marks)


each_method = pytest.mark.parametrize(
    "method", [as_param(method) for method in METHODS], ids=lambda method: method.type
)
each_dimension = pytest.mark.parametrize(
    ("method", "ndim"),
    [
        as_param(method, n)
        for method in METHODS
        for n in sorted(method.dimensionalities)
    ],
    ids=lambda value: f"{value}d" if isinstance(value, int) else value.type,
)


def register(
    method: RegistrationMethod,
    fixed: Image,
    moving: Image,
    *,
    start_level: int = 1,
    spacing_um: tuple[float, ...] | None = None,
) -> Estimate:
    spacing_um = spacing_um or SPACING_UM[fixed.ndim]
    return method.estimate(
        build_pyramid(fixed, spacing_um),
        build_pyramid(moving, spacing_um),
        start_level=start_level,
    )


def methods_with(parameter: str) -> Any:
    """Parametrise a test over the methods that have a parameter."""
    methods = [method for method in METHODS if parameter in method.model_fields]
    return pytest.mark.parametrize(
        "method", list(map(as_param, methods)), ids=lambda method: method.type
    )


def confidence_of(estimate: Estimate) -> float:
    confidence = estimate.best.confidence
    assert confidence is not None
    return confidence


def assert_found(
    estimate: Estimate, truth_px: tuple[float, ...], moving: Image
) -> None:
    spacing_um = SPACING_UM[moving.ndim]
    errors = target_errors_px(estimate, truth_px, moving.shape, spacing_um)
    assert np.all(np.abs(errors).max(axis=0) < TOLERANCE_PX), errors
    assert 0.5 < confidence_of(estimate) <= 1
    assert_well_formed(estimate)


def assert_rejected(estimate: Estimate) -> None:
    assert 0 <= confidence_of(estimate) < 0.5
    assert_well_formed(estimate)


def assert_well_formed(estimate: Estimate) -> None:
    """Check what can be stored, and is promised for any images."""
    confidences = [one.confidence for one in estimate.candidates]
    assert confidences == sorted(confidences, reverse=True)
    for candidate in estimate.candidates:
        assert candidate.transform.type in TRANSFORM_TYPES
        numbers = [
            *candidate.transform.displacement_at((0.0, 0.0, 0.0)),
            *candidate.evidence.values(),
            candidate.confidence,
            candidate.error_um,
        ]
        assert np.isfinite(numbers).all(), candidate
        assert 0 <= candidate.confidence <= 1
        assert candidate.error_um >= 0
        assert candidate.evidence.keys() <= EVIDENCE.keys()


def draw_pair(
    ndim: int, truth_px: tuple[float, ...], seed: int = 1
) -> tuple[Image, Image]:
    shape, spacing_um = SHAPE[ndim], SPACING_UM[ndim]
    fixed = draw_cells(seed, shape, spacing_um)
    moving = draw_cells(seed, shape, spacing_um, truth_px)
    return photograph(seed, fixed), photograph(seed + 1, moving)


def test_a_block_4_px_further_in_the_moving_image_gives_minus_1_3_um() -> None:
    fixed, moving = np.zeros((2, 64, 64), np.float32)
    fixed[20:30, 25:35] = 1000
    moving[24:34, 25:35] = 1000
    for method in METHODS:
        estimate = register(method(), fixed, moving, start_level=0)
        # 4 pixels of 0.325 um; the points of the block itself.
        block_um = 0.325 * np.array([(0, 24, 25), (0, 34, 35), (0, 29, 30)])
        moved_um = estimate.best.transform.map_points(block_um) - block_um
        expected = np.broadcast_to((0, -1.3, 0), (3, 3))
        np.testing.assert_allclose(moved_um, expected, rtol=0, atol=0.15 * 0.325)


@each_dimension
@pytest.mark.parametrize(
    "shift",
    [(0, 0, 0), (1, 4, -6), (-0.4, 2.37, 5.71), (1.3, -81.6, 23.2), (0.6, 60.3, 93.8)],
    ids=["none", "whole", "sub-pixel", "large", "diagonal"],
)
@pytest.mark.sampled(4)
def test_a_known_shift_is_found(
    method: RegistrationMethod, ndim: int, shift: tuple[float, ...]
) -> None:
    fixed, moving = draw_pair(ndim, shift[-ndim:])
    assert_found(register(method, fixed, moving), shift[-ndim:], moving)


@each_dimension
@pytest.mark.sampled(3)
def test_the_search_level_does_not_change_the_accuracy(
    method: RegistrationMethod, ndim: int
) -> None:
    truth = (0.7, -13.3, 21.6)[-ndim:]
    fixed, moving = draw_pair(ndim, truth)
    for start_level in (0, 2):
        estimate = register(method, fixed, moving, start_level=start_level)
        assert_found(estimate, truth, moving)


@each_dimension
def test_gain_and_offset_do_not_matter(method: RegistrationMethod, ndim: int) -> None:
    truth = (0.0, 7.4, -3.2)[-ndim:]
    shape, spacing_um = SHAPE[ndim], SPACING_UM[ndim]
    fixed = photograph(1, draw_cells(3, shape, spacing_um))
    moved = draw_cells(3, shape, spacing_um, truth)
    moving = photograph(2, moved, gain=0.3, offset=2000)
    assert_found(register(method, fixed, moving), truth, moving)


@each_dimension
def test_shapes_may_differ(method: RegistrationMethod, ndim: int) -> None:
    truth = (0.0, 7.4, -3.2)[-ndim:]
    fixed, moving = draw_pair(ndim, truth)
    smaller = moving[..., : moving.shape[-2] - 37, : moving.shape[-1] - 80]
    assert_found(register(method, fixed, smaller), truth, smaller)
    assert_found(register(method, fixed[..., :-37, :-80], moving), truth, moving)


@each_method
def test_pixels_need_not_be_square(method: RegistrationMethod) -> None:
    spacing_um, truth = (0.5, 0.25), (6.3, -9.4)
    fixed = photograph(1, draw_cells(4, (256, 384), spacing_um))
    moving = photograph(2, draw_cells(4, (256, 384), spacing_um, truth))
    estimate = register(method, fixed, moving, spacing_um=spacing_um)
    errors = target_errors_px(estimate, truth, moving.shape, spacing_um)
    assert np.abs(errors).max() <= 0.15
    assert confidence_of(estimate) > 0.5


@each_dimension
def test_invalid_pixels_are_ignored(method: RegistrationMethod, ndim: int) -> None:
    truth = (0.0, 7.4, -13.2)[-ndim:]
    fixed, moving = draw_pair(ndim, truth)
    for image in (fixed, moving):
        image[..., :60, :] = np.nan
        image[..., 100:110, 100:110] = np.nan
    assert_found(register(method, fixed, moving), truth, moving)


@each_dimension
def test_defects_of_the_camera_do_not_vote_for_no_movement(
    method: RegistrationMethod, ndim: int
) -> None:
    """Hot and dead pixels, also pairs, vignetting: all at the same place in both."""
    truth = (0.0, 7.4, -13.2)[-ndim:]
    fixed, moving = draw_pair(ndim, truth)
    add_camera_defects(fixed, moving)
    assert_found(register(method, fixed, moving), truth, moving)


def add_camera_defects(*images: Image) -> None:
    for image in images:
        rng = np.random.default_rng(7)
        height, width = image.shape[-2:]
        y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        image *= 1 - 0.3 * (y**2 + x**2) / 2
        rows, columns = rng.integers(0, (height, width), (120, 2)).T
        image[..., rows, columns] = rng.uniform(2000, 9000, 120)
        image[..., rows[:20], (columns[:20] + 1) % width] = 5000
        rows, columns = rng.integers(0, (height, width), (50, 2)).T
        image[..., rows, columns] = 0


@each_dimension
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.sampled(3)
def test_unrelated_images_are_rejected(
    method: RegistrationMethod, ndim: int, seed: int
) -> None:
    shape, spacing_um = SHAPE[ndim], SPACING_UM[ndim]
    fixed = photograph(1, draw_cells(10 + seed, shape, spacing_um))
    moving = photograph(2, draw_cells(20 + seed, shape, spacing_um))
    assert_rejected(register(method, fixed, moving))


@each_dimension
def test_empty_fields_with_the_same_camera_defects_are_rejected(
    method: RegistrationMethod, ndim: int
) -> None:
    dark = np.zeros(SHAPE[ndim], np.float32)
    fixed, moving = photograph(1, dark), photograph(2, dark)
    add_camera_defects(fixed, moving)
    assert_rejected(register(method, fixed, moving))


@each_dimension
@pytest.mark.parametrize("value", [0.0, 1234.5, np.nan], ids=["zero", "grey", "NaN"])
@pytest.mark.sampled(3)
def test_an_image_without_signal_is_rejected(
    method: RegistrationMethod, ndim: int, value: float
) -> None:
    flat = np.full(SHAPE[ndim], value, np.float32)
    cells, _ = draw_pair(ndim, (0.0,) * ndim)
    assert_rejected(register(method, flat, flat.copy()))
    assert_rejected(register(method, cells, flat))
    assert_rejected(register(method, flat, cells))


@each_method
@pytest.mark.parametrize("apart_px", [10.0, 30.0])
@pytest.mark.sampled(2)
def test_halves_that_moved_apart_are_rejected_or_said_to_be_inexact(
    method: RegistrationMethod, apart_px: float
) -> None:
    """What is right for one half is wrong for the other: by pixels, or another peak."""
    spacing_um, shape = SPACING_UM[2], (320, 1536)
    left = draw_cells(5, shape, spacing_um, (0.0, 5.0))
    right = draw_cells(5, shape, spacing_um, (apart_px, 5.0))
    fixed = photograph(1, draw_cells(5, shape, spacing_um))
    moving = photograph(2, np.where(np.arange(1536) < 768, left, right))
    estimate = register(method, fixed, moving)
    error_um = estimate.best.error_um
    assert error_um is not None
    if error_um < spacing_um[0]:
        assert_rejected(estimate)


@each_method
def test_evidence_means_what_its_name_says(method: RegistrationMethod) -> None:
    """A method gives what it has; what it gives is what `EVIDENCE` explains."""
    fixed, moving = draw_pair(2, (80.0, -96.0))
    evidence = register(method, fixed, moving).best.evidence
    overlap = 240 / 320 * 288 / 384
    assert evidence.get("overlap", overlap) == pytest.approx(overlap, abs=0.005)
    assert evidence.get("similarity_before", 0.0) < 0.3
    assert evidence.get("similarity_after", 1.0) > 0.7
    assert evidence.get("ratio", 9.0) > 1
    assert evidence.get("lead", 9.0) > 1
    assert evidence.get("dissent", 0.0) < 0.5


@pytest.mark.parametrize("method_type", [PhaseCrossCorrelation, Chi2Shift])
def test_a_correlation_tells_what_its_confidence_was_computed_from(
    method_type: type[RegistrationMethod],
) -> None:
    for moving in (draw_pair(2, (8.0, -9.0))[1], draw_pair(2, (0.0, 0.0), seed=7)[0]):
        estimate = register(method_type(), draw_pair(2, (0.0, 0.0))[0], moving)
        for one in estimate.candidates:
            # What is left of images that do not match is not known.
            told = one.evidence.keys() | {"left_px"}
            assert told == EVIDENCE.keys() - {"fixed_pattern"}
            assert one.error_um is not None
            found = Evidence(
                ratio=one.evidence["ratio"],
                lead=one.evidence["lead"],
                dissent=one.evidence["dissent"],
                error_px=one.error_um / SPACING_UM[2][0],
            )
            assert one.confidence == pytest.approx(found.confidence)


def test_unrelated_images_may_have_several_candidates() -> None:
    """Five shifts are measured, and those of one peak are one candidate."""
    fixed, _ = draw_pair(2, (0.0, 0.0), seed=10)
    moving, _ = draw_pair(2, (0.0, 0.0), seed=20)
    estimate = register(PhaseCrossCorrelation(), fixed, moving)
    assert 1 < len(estimate.candidates) <= 5
    assert estimate.best is estimate.candidates[0]
    assert_rejected(estimate)


def test_an_estimate_without_a_candidate_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no candidate.*identity with confidence 0"):
        Estimate(())


@pytest.mark.parametrize("method_type", [PhaseCrossCorrelation, Chi2Shift])
def test_where_nothing_is_found_it_stays_with_no_confidence(
    method_type: type[RegistrationMethod],
) -> None:
    flat = np.full(SHAPE[2], 100, np.float32)
    (nothing,) = register(method_type(), flat, flat).candidates
    assert nothing.transform == Translation((0.0, 0.0, 0.0))
    assert nothing.confidence == 0
    # The diagonal of the ROI.
    assert nothing.error_um == pytest.approx(np.hypot(320, 384) * 0.325)
    assert nothing.evidence == {
        "similarity_before": 0.0,
        "similarity_after": 0.0,
        "overlap": 1.0,
    }


@each_method
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_thin_stacks_are_registered(method: RegistrationMethod, depth: int) -> None:
    if 3 not in method.dimensionalities:
        pytest.skip("2D only")
    truth = (0.0, 11.4, -3.7)
    shape, spacing_um = (depth, 256, 256), SPACING_UM[3]
    fixed = photograph(1, draw_cells(6, shape, spacing_um))
    moving = photograph(2, draw_cells(6, shape, spacing_um, truth))
    estimate = register(method, fixed, moving)
    assert_found(estimate, truth, moving)
    moved_px = displacements_px(estimate, shape, spacing_um)
    assert depth > 1 or not moved_px[:, 0].any()


@methods_with("max_shift_um")
def test_a_limit_excludes_larger_shifts(method: RegistrationMethod) -> None:
    fixed, moving = draw_pair(2, (80.0, 0.0))
    limited = method.model_copy(update={"max_shift_um": 10.0})
    assert_rejected(register(limited, fixed, moving))


@dataclass
class CountingPatch:
    """A patch that notes how many pixels are read, in all and at most at once."""

    patch: ArrayPatch
    reads: list[int] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.patch.shape

    @property
    def spacing_um(self) -> tuple[float, ...]:
        return self.patch.spacing_um

    def read(self, box: Box) -> Pixels:
        pixels = self.patch.read(box)
        self.reads.append(pixels.size)
        return pixels


@each_method
@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.sampled(2)
def test_a_large_roi_is_read_in_bounded_pieces(
    method: RegistrationMethod, levels: int
) -> None:
    """With levels, level 0 is read in windows; without, in blocks and once more."""
    side, spacing_um = 3000, SPACING_UM[2]
    light = np.random.default_rng(8).random((side // 10, side // 10))
    image = photograph(1, np.kron(light, np.ones((10, 10))).astype(np.float32))
    pyramid = [CountingPatch(one) for one in build_pyramid(image, spacing_um, levels)]
    estimate = method.estimate(pyramid, pyramid, start_level=0)
    assert confidence_of(estimate) > 0.9
    reads = pyramid[0].reads
    # Interpolation needs a border of pixels.
    assert max(reads) <= 1.01 * 2**22
    whole_reads = 2 * side**2 if levels == 1 else 0
    # elastix is asked after correlation, and what it finds is judged in the same way.
    times = 4 if isinstance(method, ElastixMethod) else 1
    assert sum(reads) <= times * (whole_reads + 2 * 2**22)


@each_method
def test_a_patch_that_is_too_small_is_an_error(method: RegistrationMethod) -> None:
    patch = [ArrayPatch(np.zeros((40, 7), np.float32), SPACING_UM[2])]
    with pytest.raises(InvalidInputError, match=r"at least \d+ in y and x"):
        method.estimate(patch, patch, start_level=0)
    with pytest.raises(InvalidInputError, match=r"level 1.*1 levels"):
        method.estimate(patch, patch, start_level=1)


@pytest.mark.parametrize("member", METHODS, ids=lambda member: member.__name__)
def test_a_method_can_be_given_by_its_name(member: type[RegistrationMethod]) -> None:
    adapter: TypeAdapter[RegistrationMethod] = TypeAdapter(Method)
    name = member.model_fields["type"].default
    assert adapter.validate_python(name) == member()
    assert adapter.validate_python({"type": name}) == member()
    assert adapter.validate_python(member()) == member()


def test_an_unknown_method_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Method).validate_python("magic")
    for member in METHODS:
        assert member.model_fields["type"].default in str(caught.value)
