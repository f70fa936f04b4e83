"""A transform that the images of a ROI allow, and what speaks for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fractal_tasks.transforms import Transform


@dataclass(frozen=True)
class Candidate:
    """One transform that a ROI may have."""

    transform: Transform
    """Moving to fixed."""

    confidence: float | None
    """Probability (0 to 1) that the displacement of the ROI's centre is right within a
    pixel of level 0 in y and x; None if what made it gives no confidence."""

    error_um: float | None
    """Standard error of that displacement in y and x, if it is not altogether wrong;
    None if it is not known."""

    evidence: Mapping[str, float] = field(default_factory=dict)
    """What confidence and error were computed from, by name."""
