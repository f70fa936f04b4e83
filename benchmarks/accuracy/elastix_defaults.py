"""The method `elastix` beside elastix as it comes: accuracy, and CPU without imports.

    python benchmarks/accuracy/elastix_defaults.py [CASE ...]

Fields of 2160 x 2560 pixels, turned by a degree, larger by half a per cent, sheared,
bent, or moved only; a gain of 0.7, another offset, photon noise. elastix gets level 0
and its default parameter maps of the kind; the method gets the pyramid, and searches at
level 2, as tasks do.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import ndimage

from fractal_tasks.registration.elastix import Elastix
from fractal_tasks.registration.itk_elastix import ElastixImage, run_elastix
from fractal_tasks.registration.patch import ArrayPatch
from fractal_tasks.registration.phase_cross_correlation import PhaseCrossCorrelation
from fractal_tasks.registration.prepare import average
from fractal_tasks.transforms import Affine, Displacements, Transform, plane_matrix
from fractal_tasks.transforms.bspline import read_bent_maps

SHAPE, PIXEL_UM, SEEDS = (2160, 2560), 0.325, (1, 2, 3)
SHIFT_UM = (0.0, 4.1, -2.7)
TURN = plane_matrix(turn_rad=np.deg2rad(1.0), scale=1.005)
SHEAR = np.array([[1.0, 0, 0], [0, 1.004, 0.006], [0, 0, 0.998]])
CASES = {
    "moved": ("translation", np.eye(3)),
    "turned": ("similarity", TURN),
    "sheared": ("affine", SHEAR),
    "bent": ("bspline", None),
}
BEND_PX, BEND_UM, GRID_UM = 8.0, 45.0, 20.0
"""Mean bend, and over what distance it changes; distance of control points."""

NAMES = {
    "translation": "TranslationTransform",
    "similarity": "SimilarityTransform",
    "affine": "AffineTransform",
    "bspline": "BSplineTransform",
}
DEFAULTS = {
    "Registration": "MultiResolutionRegistration",
    "Metric": "AdvancedMattesMutualInformation",
    "Optimizer": "AdaptiveStochasticGradientDescent",
    "AutomaticScalesEstimation": "true",
    "AutomaticTransformInitialization": "true",
    "FixedImagePyramid": "FixedSmoothingImagePyramid",
    "MovingImagePyramid": "MovingSmoothingImagePyramid",
    "NumberOfResolutions": "4",
    "MaximumNumberOfIterations": "256",
    "NumberOfSpatialSamples": "2048",
    "NewSamplesEveryIteration": "true",
    "ImageSampler": "RandomCoordinate",
    "Interpolator": "LinearInterpolator",
    "WriteResultImage": "false",
}
"""What `GetDefaultParameterMap` of elastix 5.2 gives for linear transforms."""

Truth = Callable[[np.ndarray], np.ndarray]
"""Maps points of the moving image to the fixed one."""


def bend(seed: int) -> Truth:
    """Give a smooth map: each point is displaced by a Gaussian random field."""
    step_um = BEND_UM / 8
    shape = [int(n * PIXEL_UM / step_um) + 2 for n in SHAPE]
    noise = np.random.default_rng(seed).normal(size=(3, 1, *shape))
    # Of correlation 1 / e at BEND_UM.
    smooth = ndimage.gaussian_filter(noise, (0, 0, 4, 4), mode="reflect")
    smooth *= BEND_PX * PIXEL_UM / np.hypot(smooth[1], smooth[2]).mean()
    smooth[0] = 0
    # Cubic, so that no edges of its own are in it.
    fine = ndimage.zoom(smooth, (1, 1, 4, 4), order=3, grid_mode=False)
    steps = [
        (n - 1) * step_um / (m - 1) for n, m in zip(shape, fine.shape[2:], strict=True)
    ]
    field = Displacements(fine.astype(np.float32), (1.0, steps[0], steps[1]))
    return lambda points: points + SHIFT_UM + field.at(points)


def draw(seed: int, truth: Truth) -> tuple[np.ndarray, np.ndarray]:
    """Draw blobs with texture, and the same where the transform had them."""
    rng = np.random.default_rng(seed)
    margin = 120
    world = np.zeros([n + 2 * margin for n in SHAPE], np.float32)
    places = [rng.integers(0, n, 12_000) for n in world.shape]
    np.add.at(world, tuple(places), rng.uniform(0.5, 1.5, 12_000))
    light = 300 * ndimage.gaussian_filter(world, 5) * 150
    light += 40 * ndimage.gaussian_filter(world, 1.2) * 9
    moved = np.empty(SHAPE, np.float32)
    x = (np.arange(SHAPE[1]) + 0.5) * PIXEL_UM
    spline = ndimage.spline_filter(light, order=3, output=np.float32)
    for rows in np.array_split(np.arange(SHAPE[0]), 40):
        y, x_of = np.meshgrid((rows + 0.5) * PIXEL_UM, x, indexing="ij")
        centres = np.stack([0 * y.ravel(), y.ravel(), x_of.ravel()], axis=1)
        shown = truth(centres)[:, 1:] / PIXEL_UM - 0.5 + margin
        moved[rows] = ndimage.map_coordinates(
            spline, shown.T.reshape(2, len(rows), -1), order=3, prefilter=False
        )
    fixed = light[margin:-margin, margin:-margin]
    images = (rng.poisson(np.maximum(one, 0) + 50) for one in (fixed, 0.7 * moved))
    ours, theirs = (image.astype(np.float32) for image in images)
    return ours, theirs + 100


def build_pyramid(image: np.ndarray) -> list[ArrayPatch]:
    """Average 2 x 2 pixels, level by level."""
    patches = [ArrayPatch(image, (PIXEL_UM, PIXEL_UM))]
    for level in (1, 2, 3):
        last = np.asarray(patches[-1].array, dtype=np.float32)
        even = last[: last.shape[0] // 2 * 2, : last.shape[1] // 2 * 2]
        size = PIXEL_UM * 2**level
        patches.append(ArrayPatch(average(even, (2, 2)), (size, size)))
    return patches


def find_errors(found: Transform, truth: Truth) -> np.ndarray:
    """Give how far places all over the field are off, in pixels."""
    axes = [np.linspace(0, n * PIXEL_UM, 25) for n in SHAPE]
    y, x = np.meshgrid(*axes, indexing="ij")
    points = np.stack([np.zeros(y.size), y.ravel(), x.ravel()], axis=1)
    off = (found.map_points(points) - truth(points)) / PIXEL_UM
    errors: np.ndarray = np.hypot(off[:, 1], off[:, 2])
    return errors


def measure(run: Callable[[], Transform]) -> tuple[float, Transform]:
    """Give CPU seconds, and what was found."""
    start = time.process_time()
    found = run()
    return time.process_time() - start, found


def main() -> None:
    """Measure, and print one line for each case and way."""
    print("| case | way | CPU s | median error (px) | 95 % | found |")
    print("| --- | --- | ---: | ---: | ---: | --- |")
    chosen = sys.argv[1:] or list(CASES)
    for case, (kind, matrix) in ((name, CASES[name]) for name in chosen):
        rows: dict[str, list[tuple[float, np.ndarray, str]]] = {}
        for seed in SEEDS:
            middle = (0.0, *(n * PIXEL_UM / 2 for n in SHAPE))
            truth = (
                bend(seed)
                if matrix is None
                else Affine.about(middle, matrix, SHIFT_UM).map_points
            )
            images = draw(seed, truth)
            pyramids = [build_pyramid(image) for image in images]
            whole = [ElastixImage(image, (PIXEL_UM, PIXEL_UM)) for image in images]
            kinds = ["affine", kind] if kind == "bspline" else [kind]
            parameters = [
                {
                    name: (value,)
                    for name, value in {**DEFAULTS, "Transform": NAMES[one]}.items()
                }
                for one in kinds
            ]
            if kind == "bspline":
                parameters[-1] = parameters[-1] | {
                    "FinalGridSpacingInPhysicalUnits": (str(GRID_UM),),
                    "AutomaticTransformInitialization": ("false",),
                    "HowToCombineTransforms": ("Compose",),
                }
                del parameters[-1]["AutomaticScalesEstimation"]

            def by_elastix(
                whole: Any = whole,  # noqa: ANN401
                parameters: Any = parameters,  # noqa: ANN401
            ) -> Transform:
                region = np.array([(0.5, 0, 0), (0.5, *np.multiply(SHAPE, PIXEL_UM))])
                maps = run_elastix(*whole, parameters)
                return read_bent_maps(maps, region, 0.05 * PIXEL_UM)

            ways: dict[str, Callable[[], Transform]] = {"elastix itself": by_elastix}
            for way, method in (
                ("phase_cross_correlation", PhaseCrossCorrelation()),
                ("the same, similarity", PhaseCrossCorrelation(motion="similarity")),
                (f"method elastix, {kind}", Elastix(transform=kind)),
                ("method elastix, auto", Elastix()),
            ):
                ways[way] = lambda method=method, p=pyramids: (
                    method.estimate(*p, start_level=2).best.transform
                )
            if seed == SEEDS[0]:
                by_elastix()  # imports
            for way, run in ways.items():
                seconds, found = measure(run)
                rows.setdefault(way, []).append(
                    (seconds, find_errors(found, truth), found.type)
                )
        for way, values in rows.items():
            errors = np.concatenate([one[1] for one in values])
            print(
                f"| {case} | {way} | {np.median([one[0] for one in values]):.2f} | "
                f"{np.median(errors):.3f} | {np.quantile(errors, 0.95):.3f} | "
                f"{', '.join(sorted({one[2] for one in values}))} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
