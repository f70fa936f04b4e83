"""Which intensities of an image are black and which are bright in a picture."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fractal_tasks.report.sampling import Picture
from fractal_tasks.storage.plate.channels import read_window
from fractal_tasks.storage.plate.open_image import OpenImage

Grey = npt.NDArray[np.uint8]
"""Shape ``(y, x)``."""

_PERCENTILES = (1, 99.8)

_DIM = 0.6
"""A window of which the brightest pixels fill less makes its side look faint."""

_SATURATED = 0.5
"""A window that more pixels than this part pass shows none of their structure."""


@dataclass(frozen=True)
class Contrast:
    """The intensities that are drawn black and bright."""

    low: float
    high: float

    def apply(self, picture: Picture) -> Grey:
        """Give shades from 0 to 255; what is unknown is black."""
        filled = np.nan_to_num(picture, nan=self.low)
        scaled = (filled - self.low) / max(self.high - self.low, 1e-6)
        return np.asarray(np.clip(scaled, 0, 1) * 255, dtype=np.uint8)


def find_contrast(image: OpenImage, channel: int, picture: Picture) -> Contrast:
    """Give the window of a channel, or what suits a picture of it better.

    Many writers give each channel the whole range of its data type, in which a picture
    is black. Then it is the 1st to the 99.8th percentile.

    Args:
        image: Its metadata may have the window.
        channel: Index of the channel.
        picture: Most of what is to be shown.
    """
    # Registered images are 0 where they show nothing.
    known = picture[np.isfinite(picture) & (picture != 0)]
    low, high = (
        np.percentile(known, _PERCENTILES).tolist() if known.size else (0.0, 1.0)
    )
    window = read_window(image, channel)
    if window is None or not known.size:
        return Contrast(low, high)
    start, end = window
    is_sensible = (
        math.isfinite(start)
        and math.isfinite(end)
        and start < end
        and high - start > _DIM * (end - start)
        and float(np.mean(known > end)) < _SATURATED
    )
    return Contrast(start, end) if is_sensible else Contrast(low, high)
