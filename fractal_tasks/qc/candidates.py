"""The translations that the ROIs of a well may have, as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from fractal_tasks.qc.stage import FloatArray

Vector: TypeAlias = tuple[float, float, float]

# That no candidate of a ROI is right is never less probable than this.
_MIN_NONE_RIGHT = 1e-3


@dataclass(frozen=True)
class Candidates:
    """The candidates of all ROIs of an acquisition, padded with probability 0."""

    places_um: FloatArray
    """Centres of the ROIs (y, x), shape ``(n, 2)``."""

    translations_um: FloatArray
    """Shape ``(n, k, 3)``, order z, y, x."""

    probabilities: FloatArray
    """That a candidate is not altogether wrong, shape ``(n, k)``; those of a ROI sum to
    less than 1."""

    precisions: FloatArray
    """That it is then right within a pixel, shape ``(n, k)``."""

    search_area_um2: FloatArray
    """Shape ``(n,)``."""

    @property
    def none_right(self) -> FloatArray:
        """The probability that no candidate of a ROI is right."""
        none: FloatArray = 1 - self.probabilities.sum(axis=1)
        return none

    def sample(self, count: int) -> "Candidates":
        """Give those of `count` ROIs, always the same ones."""
        if count >= len(self.places_um):
            return self
        rng = np.random.default_rng(0)
        chosen = rng.choice(len(self.places_um), count, replace=False)
        return Candidates(
            self.places_um[chosen],
            self.translations_um[chosen],
            self.probabilities[chosen],
            self.precisions[chosen],
            self.search_area_um2[chosen],
        )


def arrange_candidates(
    places_um: Sequence[tuple[float, float]],
    candidates: Sequence[Sequence[tuple[Vector, float, float]]],
    sizes_um: Sequence[tuple[float, float]],
) -> Candidates:
    """Bring candidates of ROIs into arrays.

    Args:
        places_um: Centre of each ROI, y and x.
        candidates: Translation (z, y, x; um), confidence and precision of each: the
            probability that it is right within a pixel, and that it is so if it is
            not altogether wrong.
        sizes_um: Size of each ROI, y and x. Shifts are searched up to it either way.
    """
    most = max(len(own) for own in candidates)
    translations_um = np.zeros((len(candidates), most, 3))
    probabilities = np.zeros((len(candidates), most))
    precisions = np.ones((len(candidates), most))
    for index, own in enumerate(candidates):
        vectors, confidences, precision = zip(*own, strict=True)
        translations_um[index, : len(own)] = vectors
        probabilities[index, : len(own)] = np.divide(
            confidences, np.maximum(precision, 1e-12)
        )
        precisions[index, : len(own)] = precision
    np.clip(probabilities, 0, 1, out=probabilities)
    total = probabilities.sum(axis=1, keepdims=True)
    probabilities *= np.minimum(1.0, (1 - _MIN_NONE_RIGHT) / np.maximum(total, 1e-300))
    return Candidates(
        np.array(places_um, dtype=float),
        translations_um,
        probabilities,
        precisions,
        4 * np.prod(np.array(sizes_um, dtype=float), axis=1),
    )
