"""What is used for one ROI, and why."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from fractal_tasks.model.candidate import Candidate

Status: TypeAlias = Literal[
    "reference", "measured", "chosen", "imported", "imputed", "unresolved"
]
"""How a ROI came to its transform.

``measured``: its best candidate is believed. ``chosen``: another of its candidates is,
in view of the other ROIs. ``imported``: it comes from elsewhere, and is not judged.
``imputed``: it gets what the other ROIs of the well, or other wells, say, as that is
nearer to the truth. ``unresolved``: nothing is known well enough; it lies where the
expected error is smallest.
"""

DEFAULT_MIN_CONFIDENCE = 0.9
"""A candidate is believed from this probability on, if not told otherwise."""


@dataclass(frozen=True)
class Verdict:
    """What is used for one ROI, and why."""

    candidate: Candidate
    """Whose transform is used. Its confidence and standard error are those of the
    verdict; the evidence of what stands in for an estimate is that of the estimate."""

    status: Status
    reason: str
    """In words."""

    confidence: float | None
    """How probable it is that the candidate that is used, or else the most probable
    one, is the right peak; None of the reference."""

    @property
    def is_believed(self) -> bool:
        """Whether a candidate is used that is probable enough, or was imported."""
        return self.status in ("measured", "chosen", "imported")
