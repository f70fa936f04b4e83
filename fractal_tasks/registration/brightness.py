"""How bright what two images have in common is: debris may be much brighter.

Nuclei are in both images, and debris is in one. Where two images match, both show the
same structures, and their contrast there is the most that counts.
"""

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fractal_tasks.registration.patch import Pixels

Limits: TypeAlias = tuple[float, float]
"""Lowest and highest intensity."""

_CLEAR_TIMES, _SAMPLE_PX = 10.0, 2**14
"""A contrast of so many times the noise counts half as much as any larger one. The
noise is measured on so many pixels."""

_LIMIT_TIMES, _PASSES = 1.5, 3
"""The limit, in usual contrasts of common structures: nuclei differ by less. What it
cuts off counted in the usual contrast, so it is found in some passes."""


def saturate(image: Pixels) -> Pixels:
    """Give how clearly each pixel stands out from the median.

    A contrast ``c`` becomes ``c / (1 + |c| / s)``, less than ``s``: whatever stands out
    counts, by how much hardly does. ``s`` is a multiple of the noise, and that the
    median difference of neighbours, so that neither cells nor glow raise it. Equal
    neighbours (saturated, masked, rounded) say nothing about noise.
    """
    contrast = image - np.float32(_background(image))
    limit = np.float32(_CLEAR_TIMES * usual_step(contrast))
    if limit == 0:
        return contrast
    saturated: Pixels = contrast * (limit / (limit + np.abs(contrast)))
    return saturated


def usual_step(image: Pixels) -> float:
    """Give the median difference of neighbours in x that differ: about the noise."""
    rows = max(1, math.ceil(image.size / _SAMPLE_PX))
    steps = np.abs(np.diff(image.reshape(-1, image.shape[-1])[::rows]))
    steps = steps[steps > 0]
    return float(np.median(steps)) if steps.size else 0.0


def limit_to_common(
    images: tuple[Pixels, Pixels], details: tuple[Pixels, Pixels], sign: float
) -> tuple[Limits, Limits]:
    """Find the intensities between which each image shows what both show.

    Args:
        images: Two images of one shape, laid on each other; NaN marks invalid pixels.
        details: The same, band-passed.
        sign: 1, or -1 if the contrast of one is inverted.
    """
    backgrounds = _background(images[0]), _background(images[1])
    contrasts = images[0] - backgrounds[0], images[1] - backgrounds[1]
    # Around a structure detail has the other sign: there it shows no contrast.
    common = details[0] * details[1] * sign > 0
    common &= details[0] * contrasts[0] > 0
    limits = _limit_contrasts(*(np.abs(one[common]) for one in contrasts))
    return (
        (backgrounds[0] - limits[0], backgrounds[0] + limits[0]),
        (backgrounds[1] - limits[1], backgrounds[1] + limits[1]),
    )


def _limit_contrasts(fixed: Pixels, moving: Pixels) -> tuple[float, float]:
    """Find the largest contrasts that count, from those of the pixels that match.

    A pixel weighs by what both show there (geometric mean), so that many faint ones,
    such as glow, do not decide, nor debris that meets a nucleus.
    """
    limits = math.inf, math.inf
    for _ in range(_PASSES):
        sides = np.minimum(fixed, limits[0]), np.minimum(moving, limits[1])
        weights = np.sqrt(sides[0] * sides[1])
        one, other = (_LIMIT_TIMES * _weighted_median(side, weights) for side in sides)
        limits = one, other
    return limits


def _background(image: Pixels) -> float:
    """Give the median of the valid pixels, or 0."""
    valid = image[np.isfinite(image)]
    return float(np.median(valid)) if valid.size else 0.0


def _weighted_median(values: Pixels, weights: Pixels) -> float:
    """Give the value that half of the weight is below; infinity without any."""
    order = values.argsort()
    total: npt.NDArray[np.float64] = weights[order].cumsum(dtype=np.float64)
    if total.size == 0 or total[-1] == 0:
        return math.inf
    return float(values[order[np.searchsorted(total, total[-1] / 2)]])
