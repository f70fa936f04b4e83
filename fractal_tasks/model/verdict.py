"""What is used for one ROI, and why."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from fractal_tasks.model.candidate import Candidate

Status: TypeAlias = Literal[
    "reference", "measured", "chosen", "rejected", "imputed", "unresolved"
]
"""How a ROI came to its transform.

``measured``: its best candidate is believed. ``chosen``: another of its candidates is,
in view of the other ROIs. ``rejected``: none is. ``imputed``: it was rejected, and gets
what the other ROIs of the well, or other wells, say. ``unresolved``: nothing is known
of it; it stays at its expected place.
"""

DEFAULT_MIN_CONFIDENCE = 0.9
"""A candidate is believed from this probability on, if not told otherwise."""


@dataclass(frozen=True)
class Verdict:
    """What is used for one ROI, and why."""

    candidate: Candidate
    """Whose transform is used."""

    status: Status
    reason: str
    """In words."""

    confidence: float | None
    """How probable the best candidate is in view of all ROIs; None if not known."""
