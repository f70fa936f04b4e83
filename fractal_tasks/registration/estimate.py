"""What a registration method gives back."""

from dataclasses import dataclass

from fractal_tasks.model import Candidate


@dataclass(frozen=True)
class Estimate:
    """The transforms that two images allow.

    Example:
        >>> from fractal_tasks.model import Candidate
        >>> from fractal_tasks.transforms import Translation
        >>> clear = Candidate(Translation((0.0, 1.3, -2.6)), 0.99, 0.01, {"ratio": 5.0})
        >>> other = Candidate(Translation((0.0, 9.1, 7.5)), 0.01, 0.20, {"ratio": 0.9})
        >>> Estimate((clear, other)).best.evidence["ratio"]
        5.0
    """

    candidates: tuple[Candidate, ...]
    """Best first, at least one; where the best one is convincing, only that. Their
    transforms map points of the moving patch to points of the fixed one, each counted
    from the patch's own first corner."""

    def __post_init__(self) -> None:
        """Refuse an estimate that says nothing.

        Raises:
            ValueError: There is no candidate.
        """
        if not self.candidates:
            raise ValueError(
                "Estimate: found no candidate, needed is at least one. Where a method "
                "finds nothing, it gives the identity with confidence 0."
            )

    @property
    def best(self) -> Candidate:
        """The candidate that these images favour."""
        return self.candidates[0]
