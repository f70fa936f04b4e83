"""What a registration method gives back."""

from dataclasses import dataclass

from fractal_tasks.transforms import Transform


@dataclass(frozen=True)
class Alternative:
    """Another transform that the images allow."""

    transform: Transform
    confidence: float
    error_um: float
    """Both as those of an estimate."""


@dataclass(frozen=True)
class Estimate:
    """A transform with the evidence for it."""

    transform: Transform
    """Moving to fixed, relative to the first corner of the two patches."""

    confidence: float
    """Probability (0 to 1) that the shift of the centre is right within a pixel of
    level 0 in y and x."""

    error_um: float
    """Standard error of that shift in y and x, if it is not altogether wrong."""

    similarity_before: float
    """Normalised cross-correlation (-1 to 1) of the prepared images as they lie."""

    similarity_after: float
    """The same over the overlap after applying `transform`."""

    overlap: float
    """Fraction (0 to 1) of the smaller patch that both see after `transform`."""

    alternatives: tuple[Alternative, ...] = ()
    """The next best candidates, best first; none where the best one is convincing."""
