"""Images of cells in closed form: any shift is exact, nothing is interpolated."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fractal_tasks.registration.patch import ArrayPatch

Image = npt.NDArray[np.float32]
SPACING_UM = {2: (0.325, 0.325), 3: (1.0, 0.325, 0.325)}
WARP_PERIOD_PX = 700.0
SHAPE = {2: (320, 384), 3: (10, 192, 224)}


def draw_cells(
    seed: int,
    shape: Sequence[int],
    spacing_um: Sequence[float],
    translation_px: Sequence[float] | None = None,
    *,
    per_mm2: float = 4000,
    rotation_deg: float = 0.0,
    scaling: float = 0.0,
    warp_px: float = 0.0,
) -> Image:
    """Draw Gaussian cells with spots, in a world larger than the image.

    With a translation it is the moving image: ``x_fixed = x_moving + translation``;
    rotation (from x towards y) and relative change of size are about its centre. By a
    warp, cells are `warp_of` their place further on.
    """
    rng = np.random.default_rng(seed)
    ndim = len(shape)
    spacing = np.array(spacing_um)
    size_um = np.multiply(shape, spacing)
    # The world reaches one image beyond each border in y and x.
    low = np.r_[[-4.0] * (ndim - 2), -size_um[-2:]]
    high = np.r_[size_um[:-2] + 4, 2 * size_um[-2:]]
    count = int(per_mm2 * np.prod((high - low)[-2:]) / 1e6)
    cells = rng.uniform(low, high, (count, ndim))
    sigmas = rng.uniform(1.2, 2.2, (count, ndim))
    spots = cells[:, None] + 0.7 * sigmas[:, None] * rng.normal(size=(count, 5, ndim))
    brightness = rng.uniform(0.5, 1.5, count)
    centres = np.concatenate([cells, spots.reshape(-1, ndim)])
    widths = np.concatenate([sigmas, np.full((5 * count, ndim), 0.5)])
    if ndim == 3:
        widths[:, 0] *= 1.5
    weights = np.concatenate([brightness, np.repeat(0.4 * brightness, 5)])
    if translation_px is not None:
        centres = centres - np.multiply(translation_px, spacing)
    angle, middle = np.deg2rad(rotation_deg), size_um[-2:] / 2
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    # Fixed is `turn` times moving, so rows are multiplied by its transposed inverse.
    centres[:, -2:] = (centres[:, -2:] - middle) @ turn / (1 + scaling) + middle
    widths[:, -2:] /= 1 + scaling
    centres[:, -2:] -= warp_of(centres[:, -2:] / spacing[-2:], warp_px) * spacing[-2:]
    profiles = [
        np.exp(
            -0.5
            * (((np.arange(n) + 0.5) * s - centres[:, [axis]]) / widths[:, [axis]]) ** 2
        )
        for axis, (n, s) in enumerate(zip(shape, spacing, strict=True))
    ]
    profiles[0] = profiles[0] * weights[:, None]
    letters = "zyx"[-ndim:]
    terms = ",".join(f"n{letter}" for letter in letters)
    light = np.einsum(f"{terms}->{letters}", *profiles, optimize=True)
    image: Image = light.astype(np.float32)
    return image


def warp_of(
    places_px: npt.NDArray[np.float64], warp_px: float
) -> npt.NDArray[np.float64]:
    """Give how far pixels of a warped image lie from those they show (y, x)."""
    waves = 2 * np.pi * places_px[..., ::-1] / WARP_PERIOD_PX
    moved: npt.NDArray[np.float64] = warp_px * np.sin(waves)
    return moved


def photograph(
    seed: int, light: Image, gain: float = 1.0, offset: float = 100
) -> Image:
    """Add background, photon noise and the camera's gain and offset."""
    rng = np.random.default_rng(seed)
    noisy: Image = np.float32(gain) * rng.poisson(300 * light + 50) + np.float32(offset)
    return noisy.astype(np.float32)


def build_pyramid(
    image: Image, spacing_um: Sequence[float], levels: int = 3
) -> list[ArrayPatch]:
    """Average 2 x 2 pixels in y and x, level by level."""
    pyramid = [ArrayPatch(image, tuple(spacing_um))]
    for _ in range(levels - 1):
        *planes, height, width = image.shape
        trimmed = image[..., : height // 2 * 2, : width // 2 * 2]
        blocks = trimmed.reshape(*planes, height // 2, 2, width // 2, 2)
        image = blocks.mean(axis=(-3, -1), dtype=np.float32)
        *first, y, x = pyramid[-1].spacing_um
        pyramid.append(ArrayPatch(image, (*first, 2 * y, 2 * x)))
    return pyramid
