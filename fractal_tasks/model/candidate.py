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
    """Probability (0 to 1) that this is the right peak; None if what made it gives no
    confidence."""

    error_um: float | None
    """Standard error of the displacement of the ROI's centre in y and x, if it is the
    right peak; of a verdict in any case. None if it is not known."""

    evidence: Mapping[str, float] = field(default_factory=dict)
    """What confidence and error were computed from, by name."""
