"""Overlays of two images, by the colours of single pixels."""

from pathlib import Path

import numpy as np
from PIL import Image

from fractal_tasks.report.overlay import save_overlays

MARGIN_PX = 24
WHITE, GREEN, MAGENTA, BLACK = (255,) * 3, (0, 255, 0), (255, 0, 255), (0, 0, 0)


def draw(folder: Path, *panels: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Save panels, and give the pixels of the file, shape ``(y, x, 3)``."""
    path = folder / "overlay.png"
    save_overlays(path, {f"panel {i}": pair for i, pair in enumerate(panels)})
    with Image.open(path) as image:
        assert image.mode == "RGB"
        return np.asarray(image)


def square(y: int, x: int) -> np.ndarray:
    """An image of 60 x 80 pixels with a bright square: 4 % of its pixels."""
    image = np.full((60, 80), 100, np.uint16)
    image[y : y + 14, x : x + 14] = 1100
    return image


def test_what_both_show_is_white_and_the_rest_green_or_magenta(tmp_path: Path) -> None:
    pixels = draw(tmp_path, (square(10, 10), square(10, 17)))[MARGIN_PX:]
    assert pixels.shape == (60, 80, 3)
    found = {
        "reference only": tuple(pixels[15, 12]),
        "both": tuple(pixels[15, 20]),
        "acquisition only": tuple(pixels[15, 28]),
        "neither": tuple(pixels[40, 40]),
    }
    assert found == {
        "reference only": GREEN,
        "both": WHITE,
        "acquisition only": MAGENTA,
        "neither": BLACK,
    }


def test_panels_stand_side_by_side(tmp_path: Path) -> None:
    small = square(10, 10)[:50, :40]
    pixels = draw(tmp_path, (square(10, 10),) * 2, (small, small))
    assert pixels.shape == (60 + MARGIN_PX, 80 + MARGIN_PX + 40, 3)
    assert tuple(pixels[MARGIN_PX + 12, 12]) == WHITE
    assert tuple(pixels[MARGIN_PX + 12, 80 + MARGIN_PX + 12]) == WHITE


def test_images_of_different_brightness_are_stretched_alike(tmp_path: Path) -> None:
    bright = square(10, 10)
    dark = (bright.astype(np.float32) / 1000) - 3
    pixels = draw(tmp_path, (bright, dark))[MARGIN_PX:]
    assert tuple(pixels[12, 12]) == WHITE


def test_image_without_contrast_is_black(tmp_path: Path) -> None:
    flat = np.full((60, 80), 7, np.uint8)
    pixels = draw(tmp_path, (flat, flat))[MARGIN_PX:]
    assert not pixels.any()
