"""The evidence for a shift: against closed forms and brute force."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from fractal_tasks.model import DEFAULT_MIN_CONFIDENCE
from fractal_tasks.model.candidate import EVIDENCE
from fractal_tasks.registration.evidence import (
    Dissent,
    Evidence,
    find_dissent,
    peak_ratio,
)
from fractal_tasks.registration.motion import Motion
from fractal_tasks.registration.spectra import CrossSpectra, correlate_windows

CLEAR = Evidence(ratio=5.0, lead=4.0, dissent=0.0, error_px=0.0)
VALUES = [0.0, 0.05, 0.5, 1.0, 2.0, 10.0, 100.0, np.inf]


@pytest.mark.parametrize("name", ["ratio", "lead"])
def test_confidence_rises_with_ratio_and_lead(name: str) -> None:
    found = [replace(CLEAR, **{name: value}).confidence for value in VALUES]
    assert all(one <= two for one, two in pairwise(found))
    assert all(one < two for one, two in pairwise(found[1:-1]))
    assert found[0] >= 0
    assert found[-1] <= 1


@pytest.mark.parametrize("name", ["ratio", "lead"])
def test_confidence_is_logistic_in_the_logarithm(name: str) -> None:
    """Each doubling multiplies the odds by the same factor."""
    found = [replace(CLEAR, **{name: value}).confidence for value in (1.0, 2.0, 4.0)]
    odds = [one / (1 - one) for one in found]
    assert odds[2] / odds[1] == pytest.approx(odds[1] / odds[0], rel=1e-6)


def test_the_page_on_methods_explains_the_evidence_as_the_code_does() -> None:
    page = Path(__file__, "../../../docs/methods/correlation.md").resolve().read_text()
    for name, meaning in EVIDENCE.items():
        assert f"| `registration_{name}` | {meaning} |" in page


def test_confidence_is_of_the_peak_however_inexact_it_is() -> None:
    for error_px in (0.5, 3.0, 100.0):
        assert replace(CLEAR, error_px=error_px).confidence == CLEAR.confidence


def test_the_camera_at_full_resolution_alone_convinces_nobody() -> None:
    assert replace(CLEAR, ratio=np.inf, lead=1.0).confidence < DEFAULT_MIN_CONFIDENCE


def test_windows_that_moved_otherwise_do_not_make_it_another_peak() -> None:
    """They make it inexact, and that is what the standard error says."""
    for part in (0.25, 0.5, 1.0):
        assert replace(CLEAR, dissent=part).confidence == CLEAR.confidence


def test_a_peak_no_higher_than_chance_is_rejected() -> None:
    assert replace(CLEAR, ratio=1.0, lead=1.0).confidence < 0.1


def blurred_noise(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=shape)
    smooth: np.ndarray = ndimage.gaussian_filter(noise, 1.5, mode="wrap")
    return smooth.astype(np.float32)


def correlate(fixed: np.ndarray, moving: np.ndarray) -> CrossSpectra:
    return correlate_windows(fixed[None], moving[None], np.array([0]))


def ratio_by_brute_force(
    fixed: np.ndarray, moving: np.ndarray, peak: tuple[int, int]
) -> float:
    """Whiten with full transforms, and visit every shift of two tapered images."""
    taper = [np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2 for n in fixed.shape]
    one, two = (
        np.fft.fft2((image - image.mean()) * np.outer(*taper))
        for image in (fixed, moving)
    )
    frequencies = np.meshgrid(*map(np.fft.fftfreq, fixed.shape), indexing="ij")
    blur = np.exp(-2 * (np.pi * 2.0) ** 2 * sum(f**2 for f in frequencies))
    cross = one * two.conj()
    surface = np.fft.ifft2(blur * cross / np.abs(cross)).real
    inside, elsewhere = [], []
    for index in np.ndindex(surface.shape):
        way = [
            min((i - p) % n, (p - i) % n)
            for i, p, n in zip(index, peak, surface.shape, strict=True)
        ]
        if max(way) <= 1:
            inside.append(surface[index])
        if max(way) > 8:
            elsewhere.append(surface[index])
    return float(max(inside) / max(elsewhere))


@pytest.mark.parametrize("related", [True, False])
def test_the_peak_ratio_is_that_of_brute_force(related: bool) -> None:
    world = blurred_noise(0, (80, 90))
    fixed, moving = world[5:69, 10:82], world[2:66, 14:86]
    if not related:
        moving = blurred_noise(1, moving.shape)
    # Windows are cleaned of hot pixels first.
    cross = np.array([[[0, 1, 0], [1, 1, 1], [0, 1, 0]]])
    clean = [
        ndimage.median_filter(image[None], footprint=cross, mode="mirror")[0]
        for image in (fixed, moving)
    ]
    # A pixel at row r of `moving` lies at row r - 3 of `fixed`, at column c + 4.
    expected = ratio_by_brute_force(clean[0], clean[1], (-3, 4))
    found = peak_ratio([correlate(fixed, moving)], (-3.2, 4.3))
    assert found == pytest.approx(expected, rel=1e-3)
    assert (found > 2) == related


@pytest.mark.parametrize(("elsewhere", "expected"), [(0, 0.0), (1, 0.25), (4, 1.0)])
def test_windows_that_show_another_shift_dissent(
    elsewhere: int, expected: float
) -> None:
    """Equal windows count alike: the dissent is the part that lies 6 px elsewhere."""
    world = blurred_noise(2, (160, 160))
    fixed = world[16:144, 16:144]
    usual, other = world[16:144, 16:144], world[22:150, 16:144]
    windows = [correlate(fixed, other if n < elsewhere else usual) for n in range(4)]
    centres_px = np.array([(y, x) for y in (-64.0, 64.0) for x in (-64.0, 64.0)])
    found = find_dissent(windows, centres_px, Motion((0.0, 0.0)))
    assert found.part == pytest.approx(expected, abs=0.05)
    assert found.spread_px == pytest.approx(6 * np.sqrt(expected / 2), rel=0.1)


def test_windows_that_follow_a_rotation_do_not_dissent() -> None:
    world = blurred_noise(3, (160, 160))
    fixed = world[16:144, 16:144]
    # A window at y = +-300 moves by 5 px along x under this rotation, either way.
    windows = [
        correlate(fixed, world[16:144, 16 + move : 144 + move]) for move in (5, -5)
    ]
    centres_px = np.array([(300.0, 0.0), (-300.0, 0.0)])
    turned = Motion((0.0, 0.0), rotation=5 / 300)
    found = find_dissent(windows, centres_px, turned)
    assert found == Dissent(0.0, 0.0, is_uneven=False)
    assert find_dissent(windows, centres_px, Motion((0.0, 0.0))).part == 1
