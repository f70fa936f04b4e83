"""From light to camera counts: illumination, faults, noise and pixel type."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fractal_tasks.synthetic.options import PlateOptions

_HOT_PIXEL_STREAM = 6
_HOT_CLUSTER_STREAM = 8
_DUST_STREAM = 9
_UINT8_COUNTS_PER_VALUE = 16


@dataclass(frozen=True)
class Camera:
    """One camera for the whole plate: its faults stay where they are."""

    options: PlateOptions
    illumination: npt.NDArray[np.float32]
    """Fraction of the light that arrives past vignetting and dust, shape ``(y, x)``."""
    offset_counts: npt.NDArray[np.float32]
    """Counts without light: the background and the hot pixels, shape ``(y, x)``."""

    def expose(
        self,
        signal: npt.NDArray[np.float32],
        gain: float,
        rng: np.random.Generator,
    ) -> npt.NDArray[np.generic]:
        """Take a picture.

        Shot noise is normal with the variance of a Poisson distribution, which it is
        close to from about ten photons on.

        Args:
            signal: Light, shape ``(..., y, x)``; 1 is a typical nucleus.
            gain: Brightness of the acquisition.
            rng: Source of the noise.
        """
        options = self.options
        light = signal * np.float32(gain * options.signal_counts) * self.illumination
        variance = np.full_like(light, options.read_noise_counts**2)
        if options.photons_per_count > 0:
            variance += light / np.float32(options.photons_per_count)
        light += self.offset_counts
        noise = rng.standard_normal(light.shape, dtype=np.float32)
        return _digitise(light + noise * np.sqrt(variance), options.dtype)


def build_camera(options: PlateOptions) -> Camera:
    """Choose the hot pixels, the dust and the illumination."""
    size = options.field_size_px
    across = np.linspace(-1, 1, size)
    radius_squared = (across[:, None] ** 2 + across**2) / 2
    illumination = (1 - options.vignetting * radius_squared) * _draw_dust(options)
    rng = np.random.default_rng([options.seed, _HOT_PIXEL_STREAM])
    offset_counts = np.full(size * size, options.background_counts, dtype=np.float32)
    hot = rng.choice(size * size, options.hot_pixels, replace=False)
    offset_counts[hot] += rng.uniform(1, 4, options.hot_pixels) * options.signal_counts
    return Camera(
        options=options,
        illumination=illumination.astype(np.float32),
        offset_counts=offset_counts.reshape(size, size) + _draw_clusters(options),
    )


def _draw_clusters(options: PlateOptions) -> npt.NDArray[np.float32]:
    """Draw the counts of the groups of hot pixels, shape ``(y, x)``."""
    size = options.field_size_px
    rng = np.random.default_rng([options.seed, _HOT_CLUSTER_STREAM])
    counts = np.zeros((size, size), dtype=np.float32)
    for _ in range(options.hot_clusters):
        width = int(rng.integers(2, 5))
        y, x = rng.integers(0, size - width + 1, 2).tolist()
        counts[y : y + width, x : x + width] = rng.uniform(1, 4) * options.signal_counts
    return counts


def _draw_dust(options: PlateOptions) -> npt.NDArray[np.floating]:
    """Draw the fraction of the light that passes the dust, shape ``(y, x)``."""
    rng = np.random.default_rng([options.seed, _DUST_STREAM])
    pixel = np.arange(options.field_size_px)
    passes = np.ones((options.field_size_px, options.field_size_px))
    for _ in range(options.dust_specks):
        centre = rng.uniform(0, options.field_size_px, 2)
        width, depth = rng.uniform(4, 25), rng.uniform(0.05, 0.3)
        along_y, along_x = np.exp(-0.5 * ((pixel - centre[:, None]) / width) ** 2)
        passes *= 1 - depth * np.outer(along_y, along_x)
    return passes


def _digitise(counts: npt.NDArray[np.float32], dtype: str) -> npt.NDArray[np.generic]:
    """Round to the pixel type, saturating at its ends."""
    if dtype == "float32":
        return counts
    if dtype == "uint8":
        counts = counts / np.float32(_UINT8_COUNTS_PER_VALUE)
    limits = np.iinfo(dtype)
    # A float32 cannot hold the largest uint32: it would round up and wrap to 0.
    largest = min(limits.max, 2**31)
    return np.clip(np.rint(counts), max(limits.min, 0), largest).astype(dtype)
