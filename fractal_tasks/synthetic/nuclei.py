"""The nuclei of a well: who is there, with which shape and texture.

A population is defined on the continuous plane of the well and beyond its borders. All
that describes a nucleus is a function of coordinates in its own frame, so moving the
sample means moving the numbers here (`moved`): no pixel is ever interpolated.
"""

from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from fractal_tasks.synthetic.geometry import (
    FloatArray,
    Placement,
    field_windows,
    largest_displacement_um,
    well_size_um,
)
from fractal_tasks.synthetic.options import PlateOptions

_POPULATION_STREAM = 3
_EMPTY_STREAM = 4
_MARKER_STREAM = 5

_WAVES = 20
_SPOTS = 12
REACH = 1.7
"""A nucleus, its cytoplasm and its glow end within this many mean diameters."""
BLUR_REACH = 4
"""Blurred light is seen as far as this many standard deviations."""


@dataclass(frozen=True)
class Nuclei:
    """``n`` nuclei, one row each; frame of a nucleus: z, then its two axes."""

    label: npt.NDArray[np.int64]
    """Label value, from 1, shape ``(n,)``."""
    lost_in: npt.NDArray[np.int64]
    """First acquisition without this cell."""
    centre_um: FloatArray
    """Shape ``(n, 3)``."""
    angle_rad: FloatArray
    """Angle of the nucleus frame in the y, x plane."""
    radii_um: FloatArray
    """Semi-axes, shape ``(n, 3)``."""
    egg: FloatArray
    """Strength of the three-fold deviation from an ellipse."""
    blur_um: FloatArray
    """Blur beyond the microscope's, of nuclei out of focus."""
    wave_rad_per_um: FloatArray
    """Wave vectors of the chromatin texture, shape ``(n, waves, 3)``."""
    wave_phase_rad: FloatArray
    """Shape ``(n, waves)``."""
    spot_um: FloatArray
    """Centres of nucleoli and chromocentres in the frame, shape ``(n, spots, 3)``."""
    spot_width_um: FloatArray
    """Their standard deviation, shape ``(n, spots)``."""
    spot_strength: FloatArray
    """Their height relative to the nucleus, shape ``(n, spots)``."""
    stain: FloatArray
    """Brightness of each channel, shape ``(n, channels)``; 1 is a typical nucleus."""

    def __len__(self) -> int:
        """Give the number of nuclei."""
        return len(self.label)

    def select(self, chosen: npt.NDArray[np.bool_]) -> Self:
        """Keep the chosen rows."""
        return replace(
            self, **{one.name: getattr(self, one.name)[chosen] for one in fields(self)}
        )

    def moved(self, placement: Placement) -> Self:
        """Give the same nuclei where the acquisition sees them.

        A rotation with uniform scale in the plane maps every nucleus to one of the
        same description.
        """
        size = np.array([1.0, 1 / placement.scale, 1 / placement.scale])
        return replace(
            self,
            centre_um=placement.to_acquisition(self.centre_um),
            angle_rad=self.angle_rad - np.deg2rad(placement.rotation_deg),
            radii_um=self.radii_um * size,
            wave_rad_per_um=self.wave_rad_per_um / size,
            spot_um=self.spot_um * size,
            spot_width_um=self.spot_width_um / placement.scale,
        )


def draw_nuclei(options: PlateOptions, well: int) -> Nuclei:
    """Draw the nuclei of a well, as far outside as any acquisition can look."""
    rng = np.random.default_rng([options.seed, _POPULATION_STREAM, well])
    centre_um = _draw_centres(options, rng)
    n = len(centre_um)
    mitotic = rng.random(n) < 0.02
    out_of_focus = rng.random(n) < 0.05
    mean_radius_um = options.nucleus_diameter_um / 2 * rng.lognormal(0, 0.1, n)
    elongation = np.where(mitotic, 1.45, rng.uniform(1.0, 1.22, n))
    radii_um = mean_radius_um[:, None] * np.column_stack(
        [np.full(n, 0.7), 1 / elongation, elongation]
    )
    radii_um[mitotic] *= 0.6
    brightness = rng.lognormal(0, 0.15, n)
    brightness *= np.where(mitotic, 2.0, 1.0) * np.where(out_of_focus, 0.6, 1.0)
    wavelength_um = options.nucleus_diameter_um * rng.uniform(0.1, 0.6, (n, _WAVES, 1))
    spots = (n, _SPOTS)
    lost_in = np.full(n, options.acquisitions)
    if options.lost_cells > 0:
        lost_in = rng.geometric(options.lost_cells, n)
    nuclei = Nuclei(
        label=np.arange(1, n + 1),
        lost_in=lost_in,
        centre_um=centre_um,
        angle_rad=rng.uniform(0, 2 * np.pi, n),
        radii_um=radii_um,
        egg=rng.uniform(0, 0.12, n),
        blur_um=np.where(out_of_focus, rng.uniform(0.5, 1.5, n), 0.0),
        wave_rad_per_um=2 * np.pi * _directions(rng, (n, _WAVES)) / wavelength_um,
        wave_phase_rad=rng.uniform(0, 2 * np.pi, (n, _WAVES)),
        spot_um=_directions(rng, spots)
        * rng.uniform(0.1, 0.75, (*spots, 1))
        * radii_um[:, None],
        spot_width_um=options.nucleus_diameter_um * rng.uniform(0.025, 0.06, spots),
        # Chromocentres are brighter than the rest, nucleoli hold little DNA.
        spot_strength=np.where(
            rng.random(spots) < 0.75,
            rng.uniform(0.1, 0.4, spots),
            rng.uniform(-0.3, -0.1, spots),
        ),
        stain=brightness[:, None],
    )
    return _alike(nuclei) if options.identical_nuclei else nuclei


def stain_markers(
    nuclei: Nuclei, options: PlateOptions, well: int, acquisition: int
) -> Nuclei:
    """Add the markers of one acquisition: each cell expresses its own amount."""
    rng = np.random.default_rng([options.seed, _MARKER_STREAM, well, acquisition])
    amount = rng.lognormal(-1, 0.8, (len(nuclei), options.channels - 1))
    return replace(nuclei, stain=np.column_stack([nuclei.stain[:, :1], amount]))


def draw_empty_fields(options: PlateOptions, well: int) -> list[int]:
    """Choose the fields of a well that hold no cell."""
    rng = np.random.default_rng([options.seed, _EMPTY_STREAM, well])
    fields_per_well = options.fields_y * options.fields_x
    chosen = rng.choice(fields_per_well, options.empty_fields, replace=False)
    return sorted(chosen.tolist())


def remove_from_fields(
    nuclei: Nuclei, options: PlateOptions, empty_fields: list[int]
) -> Nuclei:
    """Remove what could be seen in these fields in any acquisition."""
    windows = field_windows(options)
    margin_um = reach_um(options) + largest_displacement_um(options)
    kept = np.ones(len(nuclei), dtype=bool)
    for field in empty_fields:
        kept &= ~windows[field].within(nuclei.centre_um, margin_um)
    return nuclei.select(kept)


def wash_off(nuclei: Nuclei, options: PlateOptions, field: int) -> Nuclei:
    """Let what is in the middle of a field be lost before the last acquisition."""
    centre_um = field_windows(options)[field].centre_um
    distance_um = np.hypot(*(nuclei.centre_um - centre_um)[:, 1:].T)
    last = np.where(
        distance_um < options.last_washed_um, options.acquisitions - 1, nuclei.lost_in
    )
    return replace(nuclei, lost_in=np.minimum(nuclei.lost_in, last))


def reach_um(options: PlateOptions) -> float:
    """Give the distance from its centre at which a nucleus can no longer be seen."""
    return REACH * options.nucleus_diameter_um + BLUR_REACH * options.defocus_um


def _alike(nuclei: Nuclei) -> Nuclei:
    """Make all nuclei copies of the first, each where it is."""
    return replace(
        nuclei.select(np.zeros(len(nuclei), dtype=np.int64)),
        label=nuclei.label,
        lost_in=nuclei.lost_in,
        centre_um=nuclei.centre_um,
    )


def _draw_centres(options: PlateOptions, rng: np.random.Generator) -> FloatArray:
    """Draw where the nuclei are, shape ``(n, 3)``, as far outside as can be seen."""
    margin_um = largest_displacement_um(options) + reach_um(options)
    depth_um = well_size_um(options)[0]
    low_um, size_um = np.full(2, -margin_um), well_size_um(options)[1:] + 2 * margin_um
    if options.lattice_um > 0:
        points_um = _draw_lattice(low_um, size_um, options.lattice_um, rng)
    else:
        points_um = _draw_points(low_um, size_um, options, rng)
    z_um = rng.normal(depth_um / 2, min(depth_um / 10, 1.5), len(points_um))
    return np.column_stack([z_um, points_um])


def _draw_lattice(
    low_um: FloatArray, size_um: FloatArray, pitch_um: float, rng: np.random.Generator
) -> FloatArray:
    """Draw a square lattice along y and x, shape ``(n, 2)``."""
    origin_um = low_um + rng.uniform(0, pitch_um, 2)
    y_um, x_um = (
        np.arange(start, stop, pitch_um)
        for start, stop in zip(origin_um, low_um + size_um, strict=True)
    )
    y_um, x_um = np.meshgrid(y_um, x_um, indexing="ij")
    return np.column_stack([y_um.ravel(), x_um.ravel()])


def _draw_points(
    low_um: FloatArray,
    size_um: FloatArray,
    options: PlateOptions,
    rng: np.random.Generator,
) -> FloatArray:
    """Draw points one after the other, dropping those too near to an earlier one.

    Random sequential adsorption, with a density that varies over the well as in a
    culture that is not yet confluent.
    """
    wanted = rng.poisson(options.nuclei_per_mm2 * size_um[0] * size_um[1] * 1e-6)
    points_um = rng.uniform(low_um, low_um + size_um, (12 * wanted, 2))
    wave = rng.normal(0, 2 * np.pi / 300, (8, 2))
    density = np.cos(points_um @ wave.T + rng.uniform(0, 2 * np.pi, 8)).sum(axis=1)
    points_um = points_um[rng.random(len(points_um)) < np.exp((density - 6) / 4)]
    near = cKDTree(points_um).query_ball_point(
        points_um, 0.95 * options.nucleus_diameter_um
    )
    blocked = np.zeros(len(points_um), dtype=bool)
    accepted: list[int] = []
    for index in range(len(points_um)):
        if not blocked[index] and len(accepted) < wanted:
            accepted.append(index)
            blocked[near[index]] = True
    chosen: FloatArray = points_um[accepted]
    return chosen


def _directions(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatArray:
    """Draw unit vectors z, y, x, most of them near the plane."""
    vectors = rng.normal(size=(*shape, 3)) * (0.5, 1, 1)
    unit: FloatArray = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit
