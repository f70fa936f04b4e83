"""Noise-free images of nuclei, evaluated at the centres of the camera's pixels.

Light is spread by the microscope and averaged over the pixel. Both are applied to the
formulas instead of the pixels: a Gaussian of the same variance (``psf^2 + pixel^2/12``)
softens edges, widens spots and damps waves. Sampling what is so blurred moves a
nucleus by the true shift to better than 0.01 px.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from scipy.special import expit

from fractal_tasks.synthetic.geometry import FloatArray, Window
from fractal_tasks.synthetic.nuclei import BLUR_REACH, REACH, Nuclei

_PSF_UM = (1.0, 0.35, 0.35)
"""Standard deviation of the point spread function, z, y, x."""
_GLOW = 0.08
"""Brightness of the light out of focus around a nucleus, relative to the nucleus."""
_WAVE = 0.06
"""Height of one wave of the chromatin texture, relative to the nucleus."""
_TINY = 1e-6


@dataclass(frozen=True)
class Rendering:
    """The light of one field, and the nucleus that each pixel belongs to."""

    signal: npt.NDArray[np.float32]
    """Shape ``(c, z, y, x)``; 1 is a typical nucleus."""
    labels: npt.NDArray[np.uint32]
    """Shape ``(z, y, x)``; 0 outside of nuclei."""


def render_field(
    nuclei: Nuclei, window: Window, *, defocus_um: float = 0.0
) -> Rendering:
    """Draw the nuclei that reach into a field.

    Args:
        nuclei: Nuclei in the coordinates of the acquisition.
        window: The field.
        defocus_um: Standard deviation of a further blur in the plane.

    Returns:
        Additive light of all nuclei; where labels overlap, the later nucleus wins.
    """
    # What lies beyond the field is blurred into it.
    margin_px = math.ceil(BLUR_REACH * defocus_um / window.pixel_size_um)
    sharp = _render_sharp(nuclei, window.padded(margin_px))
    if margin_px == 0:
        return sharp
    signal = gaussian_filter(
        sharp.signal,
        defocus_um / window.pixel_size_um,
        axes=(-2, -1),
        truncate=BLUR_REACH,
    )
    inner = slice(margin_px, -margin_px)
    return Rendering(signal[..., inner, inner], sharp.labels[..., inner, inner])


def _render_sharp(nuclei: Nuclei, window: Window) -> Rendering:
    grid = _grid_of(window)
    channels = nuclei.stain.shape[1]
    glow_um = 2 / 3 * REACH * np.sqrt(nuclei.radii_um[:, 1:].prod(axis=1))
    signal = np.stack(
        [
            _sum_blobs(grid, nuclei.centre_um, glow_um, _GLOW * stain)
            for stain in nuclei.stain.T
        ]
    )
    labels = np.zeros(signal.shape[1:], dtype=np.uint32)
    for index in range(len(nuclei)):
        box, patch = _cut_patch(grid, nuclei, index)
        radius = _normalised_radius(nuclei, index, patch)
        body = _soft_edge(nuclei, index, patch, radius)
        nucleus = body * (
            1 + _waves(nuclei, index, patch) + _spots(nuclei, index, patch)
        )
        for channel in range(channels):
            # DAPI and every other marker stain the nucleus.
            cell = _cytoplasm(radius, body) if channel % 2 else nucleus
            signal[channel][box] += nuclei.stain[index, channel] * cell
        labels[box][radius < 1] = nuclei.label[index]
    return Rendering(signal=signal, labels=labels)


def render_debris(
    specks_per_field: float, window: Window, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Draw bright specks of dirt, each a heap of grains, shape ``(z, y, x)``."""
    grid = _grid_of(window)
    low_um, high_um = (
        np.array([grid.z_um[end], grid.y_um[end], grid.x_um[end]]) for end in (0, -1)
    )
    specks = rng.poisson(specks_per_field)
    speck_um = rng.uniform(low_um, high_um, (specks, 3))
    grain_um = np.repeat(speck_um, rng.integers(1, 8, specks), axis=0)
    grain_um += rng.normal(0, 1.5, grain_um.shape)
    width_um = rng.uniform(0.3, 1.0, len(grain_um))
    return _sum_blobs(grid, grain_um, width_um, rng.uniform(0.5, 2.5, len(grain_um)))


@dataclass(frozen=True)
class _Grid:
    """Centres of a block of pixels, and how much is blurred there."""

    z_um: FloatArray
    y_um: FloatArray
    x_um: FloatArray
    is_flat: bool
    """One plane shows all: distances along z do not count."""
    blur_um: FloatArray
    """Standard deviation, z, y, x."""


def _grid_of(window: Window) -> _Grid:
    spacing_um = np.array(
        [window.z_spacing_um, window.pixel_size_um, window.pixel_size_um]
    )
    return _Grid(
        z_um=window.z_um,
        y_um=window.y_um,
        x_um=window.x_um,
        is_flat=window.planes == 1,
        blur_um=np.sqrt(np.square(_PSF_UM) + spacing_um**2 / 12),
    )


def _cut_patch(
    grid: _Grid, nuclei: Nuclei, index: int
) -> tuple[tuple[slice, ...], _Grid]:
    """Cut out the pixels around a nucleus, placed relative to its centre."""
    blur_um = np.hypot(grid.blur_um, nuclei.blur_um[index])
    # With markers there is cytoplasm; without, the tip of an egg-shaped nucleus.
    widest = 1.9 if nuclei.stain.shape[1] > 1 else 1.1
    reach_um = nuclei.radii_um[index].max() * widest + 4 * blur_um
    offsets = [
        along_um - centre_um
        for along_um, centre_um in zip(
            (grid.z_um, grid.y_um, grid.x_um), nuclei.centre_um[index], strict=True
        )
    ]
    if grid.is_flat:
        offsets[0] = np.zeros(1)
    box = tuple(
        slice(*np.searchsorted(offset_um, (-limit_um, limit_um)).tolist())
        for offset_um, limit_um in zip(offsets, reach_um, strict=True)
    )
    z_um, y_um, x_um = (
        offset_um[part] for offset_um, part in zip(offsets, box, strict=True)
    )
    return box, _Grid(z_um, y_um, x_um, grid.is_flat, blur_um)


def _frame_axes(nuclei: Nuclei, index: int) -> FloatArray:
    """Rows: the two in-plane axes of the nucleus, as y, x vectors."""
    cos, sin = np.cos(nuclei.angle_rad[index]), np.sin(nuclei.angle_rad[index])
    return np.array([[cos, sin], [-sin, cos]])


def _normalised_radius(
    nuclei: Nuclei, index: int, patch: _Grid
) -> npt.NDArray[np.float32]:
    """Distance from the centre in units of the semi-axes: 1 on the outline."""
    radii_um = nuclei.radii_um[index]
    (uy, ux), (vy, vx) = _frame_axes(nuclei, index) / radii_um[1:, None]
    u = _outer_sum(uy * patch.y_um, ux * patch.x_um)
    v = _outer_sum(vy * patch.y_um, vx * patch.x_um)
    u_squared = u * u
    v_squared = v * v
    squared = u_squared + v_squared
    # The third-order term makes an egg of the ellipse: r^3 cos(3 angle).
    squared += np.float32(nuclei.egg[index]) * u * (u_squared - 3 * v_squared)
    axial = np.square(patch.z_um / radii_um[0]).astype(np.float32)
    radius: npt.NDArray[np.float32] = np.sqrt(
        np.maximum(squared + axial[:, None, None], np.float32(_TINY))
    )
    return radius


def _soft_edge(
    nuclei: Nuclei, index: int, patch: _Grid, radius: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """1 inside, 0 outside: a blurred step; the logistic stands for the error function.

    Along the local normal, the blur in units of the radius lies between that of the
    plane and that of the optical axis.
    """
    radii_um = nuclei.radii_um[index]
    in_plane = patch.blur_um[1] ** 2 / (radii_um[1] * radii_um[2])
    along_z = (patch.blur_um[0] / radii_um[0]) ** 2
    axial = np.square(patch.z_um / radii_um[0])[:, None, None] / radius**2
    variance = in_plane + (along_z - in_plane) * np.minimum(axial, 1)
    steepness = (1.702 / np.sqrt(variance)).astype(np.float32)
    edge: npt.NDArray[np.float32] = expit((1 - radius) * steepness)
    return edge


def _waves(nuclei: Nuclei, index: int, patch: _Grid) -> npt.NDArray[np.float32]:
    """Chromatin: plane waves, each a product of functions of y and of x."""
    wave = nuclei.wave_rad_per_um[index]
    along_z = wave[:, 0]
    along_y, along_x = (wave[:, 1:] @ _frame_axes(nuclei, index)).T
    vectors = np.column_stack([along_z, along_y, along_x])
    height = _WAVE * np.exp(-0.5 * np.square(vectors * patch.blur_um).sum(axis=1))
    phase = (
        nuclei.wave_phase_rad[index]
        + np.multiply.outer(patch.z_um, along_z)[:, None]
        + np.multiply.outer(patch.y_um, along_y)
    )
    y_part = np.concatenate([height * np.cos(phase), height * np.sin(phase)], axis=2)
    x_phase = np.multiply.outer(along_x, patch.x_um)
    x_part = np.concatenate([np.cos(x_phase), -np.sin(x_phase)])
    return y_part.astype(np.float32) @ x_part.astype(np.float32)


def _spots(nuclei: Nuclei, index: int, patch: _Grid) -> npt.NDArray[np.float32]:
    """Chromocentres and nucleoli; blurred, they grow wider and fainter."""
    spot_um = nuclei.spot_um[index].copy()
    spot_um[:, 1:] = spot_um[:, 1:] @ _frame_axes(nuclei, index)
    width_um = nuclei.spot_width_um[index]
    fainter = width_um**2 / (width_um**2 + patch.blur_um[1] ** 2)
    return _sum_blobs(patch, spot_um, width_um, nuclei.spot_strength[index] * fainter)


def _cytoplasm(
    radius: npt.NDArray[np.float32], body: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """A wide soft disc with a darker nucleus in it."""
    wide: npt.NDArray[np.float32] = expit(12 * (1.5 - radius))
    return np.float32(0.6) * wide * (1 - np.float32(0.6) * body)


def _sum_blobs(
    grid: _Grid, centre_um: FloatArray, width_um: FloatArray, height: FloatArray
) -> npt.NDArray[np.float32]:
    """Sum of round Gaussians, shape ``(z, y, x)``: per plane a product of matrices."""
    z_part, y_part, x_part = (
        np.exp(-0.5 * ((along_um[:, None] - centre) / np.hypot(width_um, blur_um)) ** 2)
        for along_um, centre, blur_um in zip(
            (grid.z_um, grid.y_um, grid.x_um), centre_um.T, grid.blur_um, strict=True
        )
    )
    weight = np.broadcast_to(height, z_part.shape) if grid.is_flat else height * z_part
    x_part = x_part.T.astype(np.float32)
    return np.stack([(y_part * one).astype(np.float32) @ x_part for one in weight])


def _outer_sum(along_y: FloatArray, along_x: FloatArray) -> npt.NDArray[np.float32]:
    total: npt.NDArray[np.float32] = np.add.outer(along_y, along_x).astype(np.float32)
    return total
