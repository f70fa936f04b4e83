"""Is a registered plate usable? One answer, for the summary, the page and Python."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median
from typing import Annotated, Literal, Protocol, TypeAlias

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass as checked_dataclass

from fractal_tasks.model import Status
from fractal_tasks.transforms import Vector

Usability: TypeAlias = Literal[
    "usable", "usable, but look at these", "not usable", "not judged"
]


Part: TypeAlias = Annotated[float, Field(ge=0, le=1)]
NotNegative: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@checked_dataclass(frozen=True)
class UsabilityLimits:
    """From where on a plate is not usable, or a ROI worth a look."""

    max_unresolved: Part = 0.2
    """Part (0 to 1) of an acquisition's ROIs that may be unresolved. With more, whole
    wells lack their replicates; every cell lacks this stain there."""

    max_error_px: NotNegative = 3.0
    """Standard error, in pixels, from which a ROI is worth a look. Nuclei are some 30
    pixels wide; a tenth of that hardly changes what is measured in them."""

    max_left_px: NotNegative = 3.0
    """How far, in pixels, places of a ROI may be off since it was turned or warped,
    for the same reason."""

    min_kept: Part = 0.8
    """Part (0 to 1) of a ROI that has to be kept. Stages come back to within a tenth
    of a field per axis, or something else is wrong."""


class JudgedRoi(Protocol):
    """What has to be known of a ROI."""

    @property
    def plate_url(self) -> str: ...  # noqa: D102
    @property
    def well(self) -> str: ...  # noqa: D102
    @property
    def acquisition(self) -> int: ...  # noqa: D102
    @property
    def zarr_url(self) -> str: ...  # noqa: D102
    @property
    def roi(self) -> str: ...  # noqa: D102
    @property
    def status(self) -> Status | None: ...  # noqa: D102
    @property
    def error_px(self) -> float | None: ...  # noqa: D102
    @property
    def left_px(self) -> float | None: ...  # noqa: D102
    @property
    def kept(self) -> float | None: ...  # noqa: D102
    @property
    def shift_um(self) -> Vector | None: ...  # noqa: D102


@dataclass(frozen=True)
class Flag:
    """A ROI that is worth a look, and why."""

    index: int
    """Of the ROI among those that were judged."""

    place: str
    """Well and acquisition, e.g. ``A/01 acquisition 1``."""

    roi: str
    reason: str
    severity: float
    """The larger, the worse."""


@dataclass(frozen=True)
class PlateVerdict:
    """Whether a plate is usable, and what to look at."""

    usability: Usability
    sentence: str
    """What was found, and what to do about it."""

    look_at: tuple[Flag, ...] = field(default=(), repr=False)
    """Worst first."""

    def __str__(self) -> str:
        """Give the answer as one line."""
        return f"{self.usability.capitalize()}: {self.sentence}"


USUAL_LIMITS = UsabilityLimits()

_MOST_GAPS = 5
"""What is named one by one; the page and the log name all."""


def judge_plate(
    rois: Sequence[JudgedRoi],
    limits: UsabilityLimits = USUAL_LIMITS,
    left_out: int = 0,
) -> PlateVerdict:
    """Say whether a plate is usable, from what became of its ROIs.

    Args:
        rois: Those of all acquisitions, references included.
        limits: From where on it is not.
        left_out: Number of images and wells that failed, or could not be read.
    """
    indexed = [
        (i, one) for i, one in enumerate(rois) if one.status not in (None, "reference")
    ]
    if not indexed:
        return PlateVerdict(
            "not judged",
            "the tables do not say how sure the shifts are. Tables of other packages "
            "do not; else run 'Find Registration Consensus'.",
        )
    moved = [one for _, one in indexed]
    flags = [flag for i, one in indexed for flag in _find_flags(i, one, limits)]
    worst_first = tuple(sorted(flags, key=lambda flag: -flag.severity))
    lost = _describe_lost(moved, limits)
    if lost:
        return PlateVerdict("not usable", lost, worst_first)
    gaps = _describe_gaps(rois, left_out)
    if not flags and not gaps:
        return PlateVerdict("usable", f"{_describe_good(moved)}.")
    found = _describe_flags(moved, limits) if flags else _describe_good(moved)
    sentence = "; ".join([found, *gaps])
    return PlateVerdict("usable, but look at these", f"{sentence}.", worst_first)


def find_blame(rois: Iterable[JudgedRoi]) -> int | None:
    """Find the acquisition because of which most area is lost; None if none is.

    What all acquisitions see is cropped by the one that moved farthest.
    """
    places: dict[tuple[str, str, str], list[JudgedRoi]] = defaultdict(list)
    for one in rois:
        key = (one.plate_url, one.well, one.roi)
        places[key].append(one)
    lost: dict[int, float] = defaultdict(float)
    for group in places.values():
        farthest = max(group, key=lambda one: _length(one.shift_um))
        kept = [one.kept for one in group if one.kept is not None]
        if kept and farthest.shift_um is not None and min(kept) < 1:
            lost[farthest.acquisition] += 1 - min(kept)
    return max(lost, key=lambda one: lost[one], default=None)


def _find_flags(index: int, one: JudgedRoi, limits: UsabilityLimits) -> list[Flag]:
    """Give what is wrong with a ROI, each with how bad it is; at most one of each."""
    found: list[tuple[str, float]] = []
    error, left, kept = one.error_px, one.left_px, one.kept
    if one.status == "unresolved":
        found.append(("nothing is known of its place", 1000.0))
    elif error is not None and error > limits.max_error_px:
        found.append((f"may be off by {error:.1f} px", error / limits.max_error_px))
    if left is not None and left > limits.max_left_px:
        text = f"turned or warped: places are off by up to {left:.1f} px"
        found.append((text, left / limits.max_left_px))
    if kept is not None and kept < limits.min_kept:
        found.append((f"{1 - kept:.0%} of it is cropped", 1 - kept))
    if not found:
        return []
    place = f"{one.well} acquisition {one.acquisition}" if one.well else one.zarr_url
    reason = "; ".join(text for text, _ in found)
    return [Flag(index, place, one.roi, reason, sum(n for _, n in found))]


def _describe_lost(moved: Sequence[JudgedRoi], limits: UsabilityLimits) -> str:
    """Name acquisitions of which too many ROIs are unresolved; '' if there are none."""
    groups: dict[tuple[str, int], list[JudgedRoi]] = defaultdict(list)
    for one in moved:
        groups[one.plate_url, one.acquisition].append(one)
    found = []
    for (_, acquisition), group in sorted(groups.items()):
        unresolved = sum(one.status == "unresolved" for one in group)
        if unresolved > limits.max_unresolved * len(group):
            found.append(f"{unresolved} of {len(group)} in acquisition {acquisition}")
    if not found:
        return ""
    return (
        f"nothing is known of the place of too many ROIs: {', '.join(found)}. Register "
        "by a stain that shows the same in all acquisitions, or leave this one out."
    )


def _describe_good(moved: Sequence[JudgedRoi]) -> str:
    imputed = sum(one.status == "imputed" for one in moved)
    text = f"all {len(moved)} ROIs have their place on the reference"
    if imputed:
        text += f", {imputed} of them placed as their well or plate moved"
    errors = [one.error_px for one in moved if one.error_px is not None]
    if errors:
        text += f"; half are known to {median(errors):.2f} px, "
        text += f"95% to {np.percentile(errors, 95):.2f} px"
    return text


def _describe_gaps(rois: Sequence[JudgedRoi], left_out: int) -> list[str]:
    """Say what is not there to be judged."""
    gaps = []
    if left_out:
        gaps.append(f"images and wells left out: {left_out}")
    counts = Counter((one.plate_url, one.well, one.acquisition) for one in rois)
    of_reference = {
        (one.plate_url, one.well): counts[one.plate_url, one.well, one.acquisition]
        for one in rois
        if one.status == "reference"
    }
    for (plate_url, well, acquisition), count in counts.items():
        missing = of_reference.get((plate_url, well), 0) - count
        # Images in no plate are not told apart by a well.
        if well and missing > 0:
            gaps.append(
                f"ROIs of the reference that {well} acquisition {acquisition} lacks: "
                f"{missing}"
            )
    if len(gaps) > _MOST_GAPS:
        gaps[_MOST_GAPS:] = [f"and so in {len(gaps) - _MOST_GAPS} more"]
    return gaps


def _describe_flags(moved: Sequence[JudgedRoi], limits: UsabilityLimits) -> str:
    """Count what is worth a look, worst first, and say what to do about it."""
    unresolved = sum(one.status == "unresolved" for one in moved)
    unsure = sum(
        one.status != "unresolved" and (one.error_px or 0) > limits.max_error_px
        for one in moved
    )
    turned = sum((one.left_px or 0) > limits.max_left_px for one in moved)
    cropped = [
        one.kept for one in moved if one.kept is not None and one.kept < limits.min_kept
    ]
    found = []
    if unresolved:
        they, them = ("is", "it") if unresolved == 1 else ("are", "them")
        found.append(
            f"{unresolved} {they} unresolved, leave {them} out or correct {them}"
        )
    if unsure:
        found.append(f"{unsure} may be off by more than {limits.max_error_px:g} px")
    if turned:
        found.append(
            f"{turned} turned or warped, so that places are off by more than "
            f"{limits.max_left_px:g} px: method.motion 'similarity' undoes a turn"
        )
    if cropped:
        keep, their = ("keeps", "its") if len(cropped) == 1 else ("keep", "their")
        text = f"{len(cropped)} {keep} {fmean(cropped):.0%} of {their} area"
        blamed = find_blame(moved)
        if blamed is not None:
            text += f", mostly since acquisition {blamed} moved far"
        found.append(f"{text}: keep 'reference' crops nothing")
    return f"of {len(moved)} ROI{'s' * (len(moved) > 1)}, {'; '.join(found)}"


def _length(vector: Vector | None) -> float:
    return 0.0 if vector is None else float(np.linalg.norm(vector))
