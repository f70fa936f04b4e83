"""How much of two images a shift explains, counted by hand or by chance alone."""

import numpy as np
import pytest

from fractal_tasks.registration.explained import explained_part
from fractal_tasks.registration.patch import Pixels


def of(fixed: Pixels, moving: Pixels) -> float:
    return explained_part((fixed, fixed), (moving, moving))


def test_images_that_agree_everywhere_are_explained() -> None:
    image = np.array([[0.0, 3.0, -1.0, 1e-6]], np.float32)
    assert of(image, image) == 1
    assert of(image, 20 * image) == 1
    assert of(image, -image) == -1


def test_each_pixel_counts_the_same() -> None:
    """Of 2 and 3 pixels with detail, 2 meet: one agrees, one does not."""
    fixed = np.array([[50.0, 1.0, 0.0, 0.0]], np.float32)
    moving = np.array([[50.0, -1.0, 2.0, 0.0]], np.float32)
    assert of(fixed, moving) == 0
    # What lies beyond the overlap is not explained either: 1 of (2 + 3) / 2.
    part = explained_part((fixed[:, :1], fixed), (moving[:, :1], moving))
    assert part == pytest.approx(2 / 5)


def test_bright_structure_in_noise_explains_little() -> None:
    """100 of 10,000 pixels agree; the others do so by chance, 0 +- 0.01."""
    rng = np.random.default_rng(0)
    fixed, moving = rng.normal(0, 1, (2, 100, 100)).astype(np.float32)
    fixed[:10, :10] = moving[:10, :10] = 250
    assert of(fixed, moving) == pytest.approx(0.01, abs=0.05)


def test_empty_images_explain_nothing() -> None:
    assert of(*np.zeros((2, 1, 8, 8), np.float32)) == 0
