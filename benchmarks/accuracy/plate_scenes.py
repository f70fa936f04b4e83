"""Samples of many kinds, as brightness on a grid of pixels: 1 is a typical structure.

They share nothing with `fractal_tasks.synthetic`, which the methods were developed on.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage
from scipy.spatial import KDTree

FloatArray = npt.NDArray[np.floating]
Scene = Callable[[np.random.Generator, int], FloatArray]

OPTICS_PX = 1.2
"""Standard deviation of the blur of the optics. It leaves less than 0.1 % of what the
grid could not hold, so that a spline through its pixels may be taken as the sample."""


def draw_nuclei(rng: np.random.Generator, size: int) -> FloatArray:
    """Draw ellipses with soft texture, 1500 per mm2 at 0.325 um."""
    return _draw_cells(rng, size, per_px2=1.6e-4, lobes=0.0, texture=0.25)


def draw_sparse_nuclei(rng: np.random.Generator, size: int) -> FloatArray:
    """Draw about five of these nuclei in each 256 x 256 pixels."""
    return _draw_cells(rng, size, per_px2=7.6e-5, lobes=0.0, texture=0.25)


def draw_lobed(rng: np.random.Generator, size: int) -> FloatArray:
    """Draw lobed and crescent-like nuclei with bright rims and coarse chromatin."""
    return _draw_cells(rng, size, per_px2=1.6e-4, lobes=0.35, texture=0.6)


def draw_tissue(rng: np.random.Generator, size: int) -> FloatArray:
    """Draw texture at all scales without any outline: 1/f noise, made positive."""
    rough: FloatArray = np.exp(_noise(rng, size, exponent=1.4))
    rough = np.minimum(rough, 8) / 3
    return rough


def draw_membranes(rng: np.random.Generator, size: int) -> FloatArray:
    """Draw the borders of tightly packed cells of about 40 pixels."""
    seeds = rng.uniform(0, size, (max(3, size**2 // 1600), 2))
    points = np.indices((size, size)).reshape(2, -1).T
    distance, _ = KDTree(seeds).query(points, 2)
    gap = (distance[:, 1] - distance[:, 0]).reshape(size, size)
    uneven = np.exp(0.4 * _noise(rng, size, exponent=1.0))
    brightness: FloatArray = np.exp(-0.5 * (gap / 2.5) ** 2) * uneven + 0.05
    return brightness


def draw_bacteria(rng: np.random.Generator, size: int) -> FloatArray:
    """Draw rods of 10 to 30 by 5 pixels, alone and in chains of a few."""
    canvas = np.zeros((size, size))
    for _ in range(rng.poisson(2e-4 * size**2)):
        start, angle = rng.uniform(0, size, 2), rng.uniform(0, 2 * np.pi)
        bright = rng.uniform(0.6, 1.4)
        for _ in range(rng.geometric(0.5)):
            length = rng.uniform(10, 30)
            end = start + length * np.array([np.sin(angle), np.cos(angle)])
            add_line(canvas, np.array([start, end]), 2.5, bright)
            start, angle = end, angle + rng.normal(0, 0.5)
    return canvas


def draw_filaments(rng: np.random.Generator, size: int) -> FloatArray:
    """Draw long winding threads, two or three pixels thick."""
    canvas = np.zeros((size, size))
    for _ in range(max(2, int(1.2e-4 * size**2))):
        canvas += draw_thread(rng, size, steps=400, bend=0.04) * rng.uniform(0.5, 1.5)
    threads: FloatArray = np.minimum(ndimage.gaussian_filter(canvas, 0.8) * 3, 4)
    return threads


def draw_nothing(_: np.random.Generator, size: int) -> FloatArray:
    """Draw an empty field."""
    return np.zeros((size, size))


def draw_stack(rng: np.random.Generator, size: int, planes: int) -> FloatArray:
    """Draw nuclei in a stack: ellipsoids with soft texture, 5 to 10 planes high."""
    canvas = np.zeros((planes, size, size))
    grain = ndimage.gaussian_filter(rng.standard_normal(canvas.shape), (1, 3, 3))
    grain *= 0.25 / grain.std()
    for _ in range(rng.poisson(2.5e-5 * canvas.size)):
        centre = rng.uniform(0, canvas.shape)
        radii = rng.uniform((2.5, 12, 12), (5, 20, 20))
        low = np.maximum(np.floor(centre - radii).astype(int), 0)
        box = tuple(map(slice, low, np.ceil(centre + radii).astype(int) + 1))
        offset = np.moveaxis(np.indices(canvas[box].shape), 0, -1) + low - centre
        depth = 1 - np.linalg.norm(offset / radii, axis=-1)
        inside = np.clip(8 * depth, 0, 1) * rng.uniform(0.6, 1.4)
        np.maximum(canvas[box], inside * np.exp(grain[box]), out=canvas[box])
    return canvas


SCENES: dict[str, Scene] = {
    "nuclei": draw_nuclei,
    "sparse": draw_sparse_nuclei,
    "lobed": draw_lobed,
    "tissue": draw_tissue,
    "membranes": draw_membranes,
    "bacteria": draw_bacteria,
    "filaments": draw_filaments,
    "empty": draw_nothing,
}


def draw_debris(
    rng: np.random.Generator, size: int, objects: int, share: float
) -> FloatArray:
    """Draw dirt: grains and fibres, in focus or not, 2 to 50 times as bright as nuclei.

    Args:
        rng: Source of chance.
        size: Pixels along y and x.
        objects: Their number.
        share: Part of the area that they take at most, in focus.
    """
    taken = np.zeros((size, size), dtype=bool)
    layers = {blur_px: np.zeros((size, size)) for blur_px in (0, 3, 10)}
    for _ in range(objects):
        shape = np.zeros((size, size))
        if rng.uniform() < 0.5:
            _add_grain(shape, rng)
        else:
            steps, thick = int(rng.uniform(40, 200)), int(rng.integers(2, 6))
            shape += draw_thread(rng, size, steps, bend=0.03, thick=thick)
        if np.count_nonzero(taken | (shape > 0)) > share * taken.size:
            break
        taken |= shape > 0
        layer = layers[int(rng.choice(list(layers)))]
        np.maximum(layer, shape * np.exp(rng.uniform(*np.log([2, 50]))), out=layer)
    debris: FloatArray = sum(
        ndimage.gaussian_filter(layer, blur_px) for blur_px, layer in layers.items()
    )
    return debris


def add_line(
    canvas: FloatArray, ends: FloatArray, radius: float, bright: float
) -> None:
    """Draw a line with round ends, which hides what is below."""
    low = np.maximum(np.floor(ends.min(axis=0) - radius - 1).astype(int), 0)
    high = np.ceil(ends.max(axis=0) + radius + 2).astype(int)
    part = canvas[low[0] : high[0], low[1] : high[1]]
    points = np.moveaxis(np.indices(part.shape), 0, -1) + low - ends[0]
    along = ends[1] - ends[0]
    place = np.clip(points @ along / (along @ along), 0, 1)
    distance = np.linalg.norm(points - place[..., None] * along, axis=-1)
    np.maximum(part, bright * np.clip(radius + 0.5 - distance, 0, 1), out=part)


def draw_thread(
    rng: np.random.Generator, size: int, steps: int, *, bend: float, thick: int = 1
) -> FloatArray:
    """Draw a winding line, some pixels thick; what leaves the canvas is lost."""
    turns = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, bend, steps))
    track = rng.uniform(0, size, (2, 1)) + np.cumsum([np.sin(turns), np.cos(turns)], 1)
    canvas = np.zeros((size, size))
    for offset in np.ndindex(thick, thick):
        moved = np.floor(track + np.array(offset)[:, None]).astype(int)
        y, x = moved[:, np.all((moved >= 0) & (moved < size), axis=0)]
        canvas[y, x] = 1
    return canvas


def _add_grain(canvas: FloatArray, rng: np.random.Generator) -> None:
    centre, radius = rng.uniform(0, len(canvas), 2), rng.uniform(3, 14)
    add_line(canvas, np.array([centre, centre + rng.uniform(0.1, 4, 2)]), radius, 1.0)


def _draw_cells(
    rng: np.random.Generator, size: int, *, per_px2: float, lobes: float, texture: float
) -> FloatArray:
    """Draw nuclei with an outline that is a circle times harmonics of its angle."""
    canvas = np.zeros((size, size))
    grain = _noise(rng, size, exponent=0.8)
    for _ in range(rng.poisson(per_px2 * size**2)):
        centre, radius = rng.uniform(0, size, 2), rng.uniform(12, 20)
        low = np.maximum((centre - 2 * radius).astype(int), 0)
        high = (centre + 2 * radius).astype(int) + 1
        box = np.s_[low[0] : high[0], low[1] : high[1]]
        offset = np.indices(canvas[box].shape) + low[:, None, None]
        y, x = offset - centre[:, None, None]
        angle = np.arctan2(y, x)
        outline = 1 + rng.uniform(0.05, 0.2) * np.cos(2 * angle + rng.uniform(0, 7))
        for order in (1, 3, 4):
            depth = lobes * rng.uniform(-1, 1)
            outline += depth * np.cos(order * angle + rng.uniform(0, 7))
        depth_px = radius * np.maximum(outline, 0.2) - np.hypot(y, x)
        rim = 1 + 2 * lobes * np.exp(-0.5 * ((depth_px - 2) / 1.5) ** 2)
        inside = np.clip(depth_px + 0.5, 0, 1) * rim * rng.uniform(0.6, 1.4)
        np.maximum(canvas[box], inside * np.exp(texture * grain[box]), out=canvas[box])
    return canvas


def _noise(rng: np.random.Generator, size: int, exponent: float) -> FloatArray:
    """Give noise whose amplitude falls with frequency; mean 0 and deviation 1."""
    length = fft.next_fast_len(size, real=True)
    frequency = np.hypot(fft.fftfreq(length)[:, None], fft.rfftfreq(length))
    # Slower than over a hundred pixels it would be an illumination.
    amplitude = np.maximum(frequency, 0.01).astype(np.float32) ** -exponent
    amplitude[0, 0] = 0
    white = fft.rfft2(rng.standard_normal((length, length), dtype=np.float32))
    noise: FloatArray = fft.irfft2(white * amplitude, (length, length))
    noise /= noise.std()
    return noise[:size, :size]
