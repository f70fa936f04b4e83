"""What a registration method gives back."""

from dataclasses import dataclass

from fractal_tasks.transforms import Transform


@dataclass(frozen=True)
class Alternative:
    """Another transform that the images allow."""

    transform: Transform
    confidence: float
    """0 to 1, as that of an estimate."""


@dataclass(frozen=True)
class Estimate:
    """A transform with the evidence for it."""

    transform: Transform
    """Moving to fixed, relative to the first corner of the two patches."""

    confidence: float
    """0 (the images cannot tell) to 1; unrelated images score below 0.5."""

    similarity_before: float
    """Normalised cross-correlation (-1 to 1) of the prepared images as they lie."""

    similarity_after: float
    """The same over the overlap after applying `transform`."""

    overlap: float
    """Fraction (0 to 1) of the smaller patch that both see after `transform`."""

    alternatives: tuple[Alternative, ...] = ()
    """The next best candidates, best first; none where the best one is convincing."""
