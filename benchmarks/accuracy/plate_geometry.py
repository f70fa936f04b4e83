"""What the plates are like, and where each acquisition saw the sample.

Coordinates are pixels (y, x) of the well, integers at the centres of pixels. A later
acquisition shows at pixel ``p`` what the reference shows at ``Movement(p)``.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from plate_scenes import FloatArray

PIXEL_UM = 0.325
_WARP_PERIOD_PX = 700.0
_BEND_PX = 45 / PIXEL_UM
"""So far apart, displacements of a bent sample are correlated by 1 / e."""
_WAVES = 48


@dataclass(frozen=True)
class PlateKind:
    """What a plate is like; with a seed, one plate."""

    name: str
    scene: str = "nuclei"
    wells: int = 3
    grid: tuple[int, int] = (2, 2)
    """Fields of a well along y and x."""
    size_px: int = 512
    acquisitions: int = 2
    shift_px: float = 40
    """Longest movement of a well."""
    apart: bool = True
    """Wells move independently of one another; if not, all alike."""
    jitter_px: float = 1
    """Longest further movement of each field along y and x."""
    rotation_deg: float = 0
    """About the centre of the well, as `scale`."""
    scale: float = 1
    warp_px: float = 0
    """Amplitude of a smooth distortion."""
    bend_px: float = 0
    """Mean displacement by one that changes over 45 um, in all directions."""
    planes: int = 1
    """More are a stack, of which wells also move by up to two planes of 1 um."""
    debris: int = 0
    """Objects per field; each acquisition has its own."""
    defocus_px: float = 0
    """Further blur of the later acquisitions."""
    changed: float = 0.1
    """Part of the sample that is another one in each acquisition."""
    signal: float = 1000
    """Counts of a typical structure."""
    photons_per_count: float = 0.5
    speckle: float = 0
    """Standard deviation of the noise that multiplies the light."""
    gradient: float = 0.2
    """Part of the light that is lost from one side to the other."""
    pattern: float = 0
    """What the camera shows in every image, in parts of the signal: stripes, hot
    pixels, shadows."""
    empty: int = 0
    """Fields of each well without any sample."""
    informative: bool = True
    """Whether the images hold the answer."""

    @property
    def correctable(self) -> bool:
        """Whether a shift of each field brings it back."""
        bends_px = self.warp_px, self.bend_px
        return (self.rotation_deg, self.scale, *bends_px) == (0, 1, 0, 0)

    @property
    def ndim(self) -> int:
        """Number of axes along which it moves."""
        return 2 if self.planes == 1 else 3

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels of a well along y and x."""
        rows, columns = self.grid
        return rows * self.size_px, columns * self.size_px

    @property
    def margin_px(self) -> int:
        """How far beyond its borders a field may look."""
        turned = np.hypot(*self.shape) / 2
        turn = abs(np.deg2rad(self.rotation_deg)) + abs(self.scale - 1)
        bent = 2 * self.warp_px + 4 * self.bend_px
        return int(self.shift_px + self.jitter_px + bent + turned * turn + 10)


@dataclass(frozen=True)
class Bend:
    """Smooth displacements without any direction: many waves of equal height."""

    per_px: FloatArray
    """Radians per pixel along y and x, shape ``(waves, 2)``."""
    phases: FloatArray
    """Of the displacements along y and x, shape ``(2, waves)``."""
    height_px: float

    def __call__(self, points_px: FloatArray) -> FloatArray:
        """Give displacements, shape ``(..., 2)``."""
        angles = points_px @ self.per_px.T
        sums = [np.cos(angles + phases).sum(axis=-1) for phases in self.phases]
        displacements: FloatArray = self.height_px * np.stack(sums, axis=-1)
        return displacements


@dataclass(frozen=True)
class Movement:
    """Where the reference shows what an acquisition shows, for one field."""

    centre_px: FloatArray
    linear: FloatArray
    shift_px: FloatArray
    warp_px: float
    phase: float
    bend: Bend | None = None
    shift_planes: float = 0

    def __call__(self, points_px: FloatArray) -> FloatArray:
        """Map points of the acquisition, shape ``(..., 2)``, to the reference."""
        wave = 2 * np.pi * points_px[..., ::-1] / _WARP_PERIOD_PX + self.phase
        turned = (points_px - self.centre_px) @ self.linear.T + self.centre_px
        moved: FloatArray = turned + self.shift_px + self.warp_px * np.sin(wave)
        return moved if self.bend is None else moved + self.bend(points_px)


@dataclass(frozen=True)
class Field:
    """One field of view: an acquisition and the reference see it in the same window."""

    kind: PlateKind
    name: str
    corner_px: FloatArray
    movements: tuple[Movement, ...]
    """Of the acquisitions, from 1 on."""
    is_empty: bool

    @cached_property
    def pixels(self) -> FloatArray:
        """Give the places of its pixels, shape ``(y, x, 2)``."""
        grid = np.indices((self.kind.size_px, self.kind.size_px)).astype(float)
        return np.moveaxis(grid, 0, -1) + self.corner_px

    @property
    def centre_px(self) -> FloatArray:
        """Give the place of its middle."""
        return self.corner_px + (self.kind.size_px - 1) / 2

    @property
    def box(self) -> tuple[slice, slice]:
        """Give its place in the image of the well."""
        y, x = self.corner_px.astype(int).tolist()
        return slice(y, y + self.kind.size_px), slice(x, x + self.kind.size_px)

    @property
    def common_px(self) -> float:
        """Give the area that all acquisitions see, exact for shifts."""
        shifts = np.array(
            [[0, 0], *(one(self.centre_px) - self.centre_px for one in self.movements)]
        )
        sides = self.kind.size_px - np.ptp(shifts, axis=0)
        return float(np.prod(np.maximum(sides, 0)))


@dataclass(frozen=True)
class DrawnPlate:
    """A plate and its truth."""

    kind: PlateKind
    seed: int
    path: Path
    wells: dict[str, list[Field]]

    @property
    def urls(self) -> list[str]:
        """Give the urls of all images, well by well."""
        numbers = range(self.kind.acquisitions)
        return [f"{self.path}/{well}/{one}" for well in self.wells for one in numbers]

    def at(self, path: Path) -> "DrawnPlate":
        """Give the truth of a copy."""
        return replace(self, path=path)


def draw_fields(kind: PlateKind, seed: int, well: int) -> Iterator[Field]:
    """Draw where the fields of a well lie, row by row, and how they moved."""
    rng = np.random.default_rng([seed, 1, well])
    together = np.random.default_rng([seed, 1, well if kind.apart else 0])
    wells = [_draw_movement(kind, together) for _ in range(1, kind.acquisitions)]
    rows, columns = kind.grid
    empty = rng.permutation(rows * columns) < kind.empty
    for index in range(rows * columns):
        corner = kind.size_px * np.array(divmod(index, columns), dtype=float)
        jitter = kind.jitter_px * rng.uniform(-1, 1, (len(wells), 2))
        yield Field(
            kind,
            f"FOV_{index + 1}",
            corner,
            tuple(
                replace(well, shift_px=well.shift_px + own)
                for well, own in zip(wells, jitter, strict=True)
            ),
            bool(empty[index]) or kind.scene == "empty",
        )


def _draw_movement(kind: PlateKind, rng: np.random.Generator) -> Movement:
    length, angle = kind.shift_px * rng.uniform(0.3, 1), rng.uniform(0, 2 * np.pi)
    turn = np.deg2rad(kind.rotation_deg) * rng.choice([-1, 1])
    cos, sin = np.cos(turn), np.sin(turn)
    return Movement(
        centre_px=(np.array(kind.shape) - 1) / 2,
        linear=kind.scale * np.array([[cos, -sin], [sin, cos]]),
        shift_px=length * np.array([np.sin(angle), np.cos(angle)]),
        warp_px=kind.warp_px,
        phase=rng.uniform(0, 2 * np.pi),
        bend=_draw_bend(kind.bend_px, rng) if kind.bend_px else None,
        shift_planes=rng.uniform(-2, 2) if kind.planes > 1 else 0,
    )


def _draw_bend(mean_px: float, rng: np.random.Generator) -> Bend:
    """Draw waves whose sum has a correlation of exp(-(distance / _BEND_PX)^2)."""
    # The mean length of a normal vector is sqrt(pi / 2) standard deviations, and the
    # variance of a wave half of its squared height.
    height_px = mean_px / np.sqrt(np.pi / 2) / np.sqrt(_WAVES / 2)
    return Bend(
        per_px=rng.normal(0, np.sqrt(2) / _BEND_PX, (_WAVES, 2)),
        phases=rng.uniform(0, 2 * np.pi, (2, _WAVES)),
        height_px=float(height_px),
    )
