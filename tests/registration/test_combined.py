"""Several channels as one image: what each shows counts, noise hardly does."""

import numpy as np

from fractal_tasks.registration.combined import combine
from fractal_tasks.registration.patch import ArrayPatch, Pixels
from tests.registration.test_patch import read_all

SPACING_UM = (0.5, 0.5)


def blobs(seed: int, height: float, noise: float) -> Pixels:
    rng = np.random.default_rng(seed)
    sample = np.kron(rng.random((40, 50)) > 0.9, np.ones((8, 8)))
    return (100 + height * sample + rng.normal(0, noise, sample.shape)).astype("f4")


def likeness(one: Pixels, other: Pixels) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def combined(*images: Pixels) -> Pixels:
    channels = [[ArrayPatch(image, SPACING_UM)] for image in images]
    (patch,) = combine(channels, 0)
    assert patch.shape == images[0].shape
    assert patch.spacing_um == SPACING_UM
    return read_all(patch)


def test_channels_with_contrast_count_alike_however_bright() -> None:
    bright, faint = blobs(1, 30000, 20), blobs(2, 500, 5)
    both = combined(bright, faint)
    assert abs(likeness(both, bright) - likeness(both, faint)) < 0.1
    assert likeness(both, faint) > 0.6


def test_channel_of_noise_hardly_counts() -> None:
    shown, noise = blobs(1, 500, 5), blobs(2, 0, 5)
    assert likeness(combined(noise, shown), shown) > 0.95


def test_dark_structures_are_no_less_than_bright_ones() -> None:
    dark, bright = blobs(1, -80, 1), blobs(2, 500, 5)
    both = combined(dark, bright)
    assert abs(likeness(both, dark) - likeness(both, bright)) < 0.2


def test_flat_channel_adds_nothing() -> None:
    shown = blobs(1, 500, 0)
    both = combined(np.full_like(shown, 7), shown)
    assert likeness(both, shown) > 0.999


def test_invalid_pixels_stay_invalid() -> None:
    one, other = blobs(1, 500, 5), blobs(2, 500, 5)
    other[3, 4] = np.nan
    found = combined(one, other)
    assert np.isnan(found[3, 4])
    assert np.isnan(found).sum() == 1


def test_one_channel_stays_as_it_is() -> None:
    patch = ArrayPatch(blobs(1, 500, 5), SPACING_UM)
    assert combine([[patch]], 0) == [patch]
