"""Before/after pictures: the reference in green, the acquisition in magenta."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

_MARGIN_PX = 24
_BACKGROUND = 20


def save_overlays(
    path: Path,
    panels: dict[str, tuple[npt.NDArray[np.generic], npt.NDArray[np.generic]]],
) -> None:
    """Draw pairs of images over each other, side by side, into one PNG file.

    Where both show the same, green and magenta add up to white.

    Args:
        path: The file to write.
        panels: Title to (reference, acquisition), both of shape ``(y, x)``.
    """
    overlays = [_overlay(*pair) for pair in panels.values()]
    height = max(overlay.shape[0] for overlay in overlays) + _MARGIN_PX
    width = sum(overlay.shape[1] + _MARGIN_PX for overlay in overlays) - _MARGIN_PX
    canvas = Image.new("RGB", (width, height), (_BACKGROUND,) * 3)
    draw = ImageDraw.Draw(canvas)
    left = 0
    for title, overlay in zip(panels, overlays, strict=True):
        draw.text((left + 4, 6), title, fill="white")
        canvas.paste(Image.fromarray(overlay), (left, _MARGIN_PX))
        left += overlay.shape[1] + _MARGIN_PX
    canvas.save(path)


def _overlay(
    reference: npt.NDArray[np.generic], acquisition: npt.NDArray[np.generic]
) -> npt.NDArray[np.uint8]:
    green, magenta = _stretched(reference), _stretched(acquisition)
    return np.stack([magenta, green, magenta], axis=-1)


def _stretched(image: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """Map the 1st to the 99.8th percentile of the pixels to 0..255."""
    pixels = image.astype(np.float32)
    low, high = np.percentile(pixels, (1, 99.8))
    scaled = (pixels - low) / max(float(high - low), 1e-6)
    return np.asarray(np.clip(scaled, 0, 1) * 255, dtype=np.uint8)
