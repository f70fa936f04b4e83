"""A transform that the images of a ROI allow, and what speaks for it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from fractal_tasks.transforms import Transform

LEFT_PX = "left_px"
"""Name of the evidence that says what a transform does not undo."""

EVIDENCE: Mapping[str, str] = MappingProxyType(
    {
        "ratio": "height of the peak at full resolution over the highest one elsewhere",
        "lead": "score at low resolution over the highest one elsewhere",
        "dissent": "part of the windows (0 to 1) that clearly show another shift",
        "similarity_before": "correlation of the images (-1 to 1) as they lie",
        "similarity_after": "their correlation (-1 to 1) where the transform puts them",
        "overlap": "part of the smaller image (0 to 1) that both see after it",
        "turn_deg": "turn of the sample that the windows show, from y towards x",
        "scale": "its size over that in the reference, as the windows show it",
        "turn_error_deg": "standard error of the turn; in radians that of the scale",
        LEFT_PX: "how many pixels places of the ROI are off after it, at most",
        "fixed_pattern": "1 if the camera alone explains the match, or else 0",
    }
)
"""What the evidence of a candidate means, by name."""

_KNOWN_PX = 1 / 3
"""That nothing turned is known if corners are within a pixel: 3 standard errors."""


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
    """What confidence and error were computed from, and what else is known, by name."""

    error_z_um: float | None = None
    """Standard error of the displacement in z. None if it is not known, or if there is
    but one plane."""

    @property
    def left_px(self) -> float | None:
        """How far, in pixels, the transform leaves a corner of the ROI off at most.

        A translation does not undo the turn of a sample. None if that is not known.
        """
        return self.evidence.get(LEFT_PX)


def find_left_px(turn: float, error: float, size_px: Sequence[float]) -> float | None:
    """Give how far a translation leaves corners of a turned ROI off.

    Args:
        turn: Turn and stretch together, root of the sum of squares, in radians and
            relative size; 0 for none.
        error: Standard error of either.
        size_px: Of the ROI, y and x.

    Returns:
        Pixels; None if there is no turn, but that is not known well enough.

    Example:
        >>> find_left_px(0.01, 0.001, (300, 400))
        2.5
        >>> find_left_px(0.0, 0.001, (300, 400))
        0.0
    """
    radius_px = math.hypot(*size_px) / 2
    if turn:
        return turn * radius_px
    return 0.0 if error * radius_px < _KNOWN_PX else None
