"""What became of each ROI, and of acquisitions and wells, as their tables say.

`reading` gets it from tables, before or after the pixels were moved; so it can be told
at any time, and by whoever has the plate.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import TypeAlias, TypeVar

from fractal_tasks.model import Status
from fractal_tasks.model.candidate import EVIDENCE, LEFT_PX
from fractal_tasks.transforms import Vector
from fractal_tasks.transforms.boxes import AXES

Bend: TypeAlias = tuple[Vector, ...]
"""How far nodes are moved (um), row by row of a square lattice over what is kept, less
what the centre is."""

_NO_CELLS = {"evidence", "centre_um", "size_um", "measured_um"}
"""What is no column by its own name."""


@dataclass(frozen=True)
class RoiResult:
    """What became of one ROI of an acquisition."""

    plate_url: str
    """Empty, as the well, of an image in no plate."""

    well: str
    """Path in the plate, e.g. ``A/01``."""

    acquisition: int
    zarr_url: str
    roi: str
    status: Status | None
    """None if the table is of another package."""

    reason: str | None
    confidence: float | None
    error_um: float | None
    error_px: float | None
    error_z_um: float | None
    shift_um: Vector | None
    """How far the centre of the ROI is moved (z, y, x)."""

    shift_px: Vector | None
    kept: float | None
    """Part (0 to 1) of the ROI that is in the registered image."""

    evidence: Mapping[str, float]

    centre_um: Vector | None = None
    """Of what is kept of it, where its image says that it lies (z, y, x)."""

    size_um: Vector | None = None
    measured_um: Vector | None = None
    """What the best estimate says, where another shift is used and tables hold both."""

    bend_um: Bend | None = field(default=None, repr=False)
    """None of what only shifts."""

    @property
    def left_px(self) -> float | None:
        """How far places of the ROI are off at most, as it was turned or warped."""
        return self.evidence.get(LEFT_PX)

    @property
    def has_z(self) -> bool:
        """Whether anything is known of it along z: stacks of one plane stay there."""
        moved = self.shift_um is not None and self.shift_um[0] != 0
        return moved or self.error_z_um is not None

    def as_data(self) -> dict[str, object]:
        """Give it as JSON data, without what only pictures show."""
        return {k: v for k, v in vars(self).items() if k != "bend_um"}

    def as_cells(self) -> dict[str, object]:
        """Give it as the row of a table: a column per axis, and per evidence.

        All have the columns of the evidence that methods of this package give.
        """
        cells: dict[str, object] = {}
        for name, value in self.as_data().items():
            if name in {"shift_um", "shift_px"}:
                unit = name.removeprefix("shift_")
                vector = getattr(self, name) or (None,) * len(AXES)
                for axis, part in zip(AXES, vector, strict=True):
                    cells[f"shift_{axis}_{unit}"] = part
            elif name not in _NO_CELLS:
                cells[name] = value
        evidence = dict.fromkeys(EVIDENCE) | dict(self.evidence)
        return cells | dict(sorted(evidence.items()))


@dataclass(frozen=True)
class GroupResult:
    """What became of the ROIs of an acquisition, in one well or in all of a plate."""

    plate_url: str
    """Empty, as the well, of an image in no plate."""

    acquisition: int
    well: str | None
    """None: all wells of the plate."""

    zarr_url: str | None
    """The image; None: those of all wells."""

    rois: int
    is_reference: bool
    measured: int
    """Or imported."""

    chosen: int
    imputed: int
    unresolved: int
    shift_um: Vector | None
    """Median of each axis (z, y, x) over what is not unresolved; None if all is."""

    shift_px: Vector | None
    lowest_confidence: float | None
    largest_error_px: float | None
    largest_left_px: float | None
    """Over what is not unresolved: how far corners are off at most."""

    kept: float | None
    """Mean over the ROIs."""

    @property
    def lone_image(self) -> str:
        """The url of an image that is in no plate; empty for others."""
        return "" if self.plate_url else str(self.zarr_url)

    @property
    def is_lost(self) -> bool:
        """Whether there are ROIs, and none is resolved."""
        return 0 < self.rois == self.unresolved


_Key = TypeVar("_Key")


def by_acquisition(results: Iterable[RoiResult]) -> list[GroupResult]:
    """Summarise each acquisition of each plate, in their order.

    Images in no plate have no acquisitions; they are told one by one, as wells.
    """
    in_plates = (one for one in results if one.plate_url)
    groups = _group(in_plates, lambda one: (one.plate_url, one.acquisition))
    return [_summarise(groups[key]) for key in sorted(groups)]


def by_well(results: Iterable[RoiResult]) -> list[GroupResult]:
    """Summarise each image of each well but the references, worst first.

    Images in no plate are told likewise.
    """
    groups = _group(results, lambda one: (one.zarr_url,))
    wells = [
        _summarise(group, well=group[0].well, zarr_url=zarr_url)
        for (zarr_url,), group in groups.items()
    ]
    return sorted((one for one in wells if not one.is_reference), key=_worst_first)


def _group(
    results: Iterable[RoiResult], key: Callable[[RoiResult], _Key]
) -> dict[_Key, list[RoiResult]]:
    groups: dict[_Key, list[RoiResult]] = {}
    for one in results:
        groups.setdefault(key(one), []).append(one)
    return groups


def _summarise(
    group: Sequence[RoiResult], well: str | None = None, zarr_url: str | None = None
) -> GroupResult:
    counts = Counter(one.status for one in group)
    resolved = [one for one in group if one.status != "unresolved"]
    return GroupResult(
        plate_url=group[0].plate_url,
        acquisition=group[0].acquisition,
        well=well,
        zarr_url=zarr_url,
        rois=len(group),
        is_reference=set(counts) == {"reference"},
        measured=counts["measured"] + counts["imported"],
        chosen=counts["chosen"],
        imputed=counts["imputed"],
        unresolved=counts["unresolved"],
        shift_um=_median(one.shift_um for one in resolved),
        shift_px=_median(one.shift_px for one in resolved),
        lowest_confidence=min(_known(one.confidence for one in group), default=None),
        largest_error_px=max(_known(one.error_px for one in group), default=None),
        largest_left_px=max(_known(one.left_px for one in resolved), default=None),
        kept=_mean(_known(one.kept for one in group)),
    )


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None


def _median(shifts: Iterable[Vector | None]) -> Vector | None:
    known = [shift for shift in shifts if shift is not None]
    if not known:
        return None
    z, y, x = (median(values) for values in zip(*known, strict=True))
    return z, y, x


def _worst_first(one: GroupResult) -> tuple[float, ...]:
    """Give what wells are sorted by: first what is guessed, then what is unsure."""
    confidence, error_px = one.lowest_confidence, one.largest_error_px
    return (
        -one.unresolved / one.rois,
        -one.imputed / one.rois,
        1.0 if confidence is None else confidence,
        0.0 if error_px is None else -error_px,
    )
