"""Where the fields lie, and where each acquisition saw the sample.

All coordinates are micrometres in the frame of one well: order z, y, x, origin at the
well's corner, pixel ``i`` centred at ``(i + 1/2) * spacing``. `Placement` states the
direction: a point seen at ``x`` in an acquisition sits at ``A x + b`` in acquisition 0.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from fractal_tasks.synthetic.options import PlateOptions

FloatArray = npt.NDArray[np.floating]

_STAGE_STREAM = 1
_JITTER_STREAM = 2


@dataclass(frozen=True)
class Window:
    """The part of the well that the camera covers in one field."""

    origin_um: tuple[float, float]
    size_px: int
    planes: int
    pixel_size_um: float
    z_spacing_um: float

    def padded(self, margin_px: int) -> "Window":
        """Give the window with more pixels on all four sides."""
        y_um, x_um = (
            start_um - margin_px * self.pixel_size_um for start_um in self.origin_um
        )
        return replace(
            self, origin_um=(y_um, x_um), size_px=self.size_px + 2 * margin_px
        )

    @property
    def z_um(self) -> FloatArray:
        """Centres of the planes."""
        return (np.arange(self.planes) + 0.5) * self.z_spacing_um

    @property
    def y_um(self) -> FloatArray:
        """Centres of the pixels along y."""
        return self.origin_um[0] + (np.arange(self.size_px) + 0.5) * self.pixel_size_um

    @property
    def x_um(self) -> FloatArray:
        """Centres of the pixels along x."""
        return self.origin_um[1] + (np.arange(self.size_px) + 0.5) * self.pixel_size_um

    @property
    def centre_um(self) -> FloatArray:
        """Centre of the field, z, y, x."""
        half_um = self.size_px * self.pixel_size_um / 2
        y_um, x_um = self.origin_um
        return np.array(
            [self.planes * self.z_spacing_um / 2, y_um + half_um, x_um + half_um]
        )

    def within(self, points_um: FloatArray, margin_um: float) -> npt.NDArray[np.bool_]:
        """Tell which points, shape ``(n, 3)``, lie in the field or near it (y, x)."""
        half_um = self.size_px * self.pixel_size_um / 2 + margin_um
        offsets_um = np.abs(points_um[:, 1:] - self.centre_um[1:])
        inside: npt.NDArray[np.bool_] = np.all(offsets_um <= half_um, axis=1)
        return inside


def field_windows(options: PlateOptions) -> list[Window]:
    """Give the fields of a well row by row: FOV_1, FOV_2, ..."""
    size_um = options.field_size_px * options.pixel_size_um
    return [
        Window(
            origin_um=(row * size_um, column * size_um),
            size_px=options.field_size_px,
            planes=options.planes,
            pixel_size_um=options.pixel_size_um,
            z_spacing_um=options.z_spacing_um,
        )
        for row in range(options.fields_y)
        for column in range(options.fields_x)
    ]


def well_size_um(options: PlateOptions) -> FloatArray:
    """Size of a well's image, z, y, x."""
    size_um = options.field_size_px * options.pixel_size_um
    return np.array(
        [
            options.planes * options.z_spacing_um,
            options.fields_y * size_um,
            options.fields_x * size_um,
        ]
    )


@dataclass(frozen=True)
class Placement:
    """The exact map from acquisition to reference points of one field.

    ``x_reference = c + S (x_acquisition - c) + translation`` with the well's centre
    ``c`` and, in the plane, ``S = scale [[cos, -sin], [sin, cos]]`` (order y, x).
    """

    translation_um: tuple[float, float, float]
    rotation_deg: float
    scale: float
    centre_um: tuple[float, float, float]

    @property
    def matrix(self) -> FloatArray:
        """``[A | b]``, shape ``(3, 4)``: ``x_reference = A x_acquisition + b``."""
        angle = np.deg2rad(self.rotation_deg)
        linear = np.eye(3)
        linear[1:, 1:] = self.scale * np.array(
            [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        )
        centre_um = np.asarray(self.centre_um)
        offset_um = centre_um - linear @ centre_um + self.translation_um
        return np.column_stack([linear, offset_um])

    def to_reference(self, points_um: FloatArray) -> FloatArray:
        """Map acquisition points, shape ``(n, 3)``, to the reference."""
        return points_um @ self.matrix[:, :3].T + self.matrix[:, 3]

    def to_acquisition(self, points_um: FloatArray) -> FloatArray:
        """Map reference points, shape ``(n, 3)``, to the acquisition."""
        inverse = np.linalg.inv(self.matrix[:, :3])
        return (points_um - self.matrix[:, 3]) @ inverse.T


@dataclass(frozen=True)
class Stage:
    """How the plate lies on the stage in one acquisition, and how bright it is."""

    translation_um: tuple[float, float, float]
    rotation_deg: float
    scale: float
    gain: float


def draw_stage(options: PlateOptions, acquisition: int) -> Stage:
    """Draw the plate's shift, rotation, scale and gain; acquisition 0 has none."""
    if acquisition == 0:
        return Stage((0.0, 0.0, 0.0), rotation_deg=0.0, scale=1.0, gain=1.0)
    rng = np.random.default_rng([options.seed, _STAGE_STREAM, acquisition])
    direction = rng.uniform(0, 2 * np.pi)
    length_um = options.plate_shift_um * rng.uniform(0.3, 1)
    z_um, rotation_deg, scale_change = (
        rng.choice([-1, 1], 3)
        * rng.uniform(0.3, 1, 3)
        * (options.z_shift_um, options.rotation_deg, options.scale_change)
    )
    gain = 1 + rng.uniform(-1, 1) * options.gain_spread
    last_deg = options.last_rotation_deg if options.is_last(acquisition) else 0.0
    return Stage(
        translation_um=(
            float(z_um),
            float(length_um * np.sin(direction)),
            float(length_um * np.cos(direction)),
        ),
        rotation_deg=float(rotation_deg) + last_deg,
        scale=float(1 + scale_change),
        gain=float(gain * (1 - options.bleaching) ** acquisition),
    )


def draw_placements(
    options: PlateOptions, well: int, acquisition: int
) -> list[Placement]:
    """Draw the placement of every field: the plate's, and the stage's jitter."""
    stage = draw_stage(options, acquisition)
    rng = np.random.default_rng([options.seed, _JITTER_STREAM, well, acquisition])
    jitter_um = rng.uniform(-1, 1, (options.fields_y * options.fields_x, 3))
    jitter_um *= (0, options.stage_jitter_um, options.stage_jitter_um)
    translations_um = stage.translation_um + jitter_um * (acquisition > 0)
    if options.whole_pixel_shifts:
        step_um = (options.z_spacing_um, options.pixel_size_um, options.pixel_size_um)
        translations_um = np.round(translations_um / step_um) * step_um
    z_um, y_um, x_um = (well_size_um(options) / 2).tolist()
    return [
        Placement(
            (float(z), float(y), float(x)),
            rotation_deg=stage.rotation_deg,
            scale=stage.scale,
            centre_um=(z_um, y_um, x_um),
        )
        for z, y, x in translations_um
    ]


def largest_displacement_um(options: PlateOptions) -> float:
    """Bound how far in the plane any point of a well can move in any acquisition."""
    pixel_um = options.pixel_size_um * options.whole_pixel_shifts
    half_diagonal_um = np.hypot(*well_size_um(options)[1:]) / 2
    largest_deg = options.rotation_deg + options.last_rotation_deg
    turn = (1 + options.scale_change) * np.deg2rad(largest_deg)
    return float(
        options.plate_shift_um
        + np.sqrt(2) * (options.stage_jitter_um + pixel_um)
        + half_diagonal_um * (turn + options.scale_change)
    )
