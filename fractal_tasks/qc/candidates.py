"""What the model sees of the ROIs of a well: how far candidates move their centres.

A candidate is *altogether wrong* if it is another peak than the right one. One that is
not may still be off by some pixels: how probable that is, its precision says.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fractal_tasks.model import Candidate, Measurement
from fractal_tasks.model.precision import within_pixel
from fractal_tasks.transforms import FloatArray, Vector

# That no candidate of a ROI is right is never less probable than this: about one in
# 1000 confident estimates is wrong (ADR 0007). Without it, a certain estimate could
# not be outvoted by any number of others.
_MIN_NONE_RIGHT = 1e-3

# For a candidate of software that gives no confidence.
_UNKNOWN_CONFIDENCE = 0.9


@dataclass(frozen=True, order=True)
class Displacement:
    """What the model sees of a candidate."""

    vector_um: Vector
    """How far the centre of the ROI is moved."""

    confidence: float
    """Probability that this is right within a pixel."""

    precision: float
    """The same, if the candidate is not altogether wrong."""


@dataclass(frozen=True, order=True)
class RoiDisplacements:
    """What the model sees of a ROI.

    It has an order, so that sums over ROIs do not depend on their names.
    """

    centre_um: tuple[float, float]
    """Centre of the ROI, y and x."""

    size_um: tuple[float, float]
    """Size of the ROI, y and x."""

    displacements: tuple[Displacement, ...]
    """Those of all candidates, best first."""


@dataclass(frozen=True)
class CandidateArrays:
    """The candidates of all ROIs of an acquisition, padded with probability 0."""

    centres_um: FloatArray
    """Centres of the ROIs (y, x), shape ``(n, 2)``."""

    displacements_um: FloatArray
    """Of the centres; shape ``(n, k, 3)``, order z, y, x."""

    probabilities: FloatArray
    """That a candidate is not altogether wrong, shape ``(n, k)``; those of a ROI sum to
    less than 1."""

    precisions: FloatArray
    """That it is then right within a pixel, shape ``(n, k)``."""

    search_area_um2: FloatArray
    """Shape ``(n,)``."""

    @property
    def none_right(self) -> FloatArray:
        """The probability that no candidate of a ROI is right, shape ``(n,)``."""
        none: FloatArray = 1 - self.probabilities.sum(axis=1)
        return none

    def sample(self, count: int) -> "CandidateArrays":
        """Give those of `count` ROIs, always the same ones."""
        if count >= len(self.centres_um):
            return self
        rng = np.random.default_rng(0)
        chosen = rng.choice(len(self.centres_um), count, replace=False)
        return CandidateArrays(
            self.centres_um[chosen],
            self.displacements_um[chosen],
            self.probabilities[chosen],
            self.precisions[chosen],
            self.search_area_um2[chosen],
        )


def find_displacements(measurement: Measurement) -> RoiDisplacements:
    """Reduce a measurement to what the model sees of it."""
    _, y_um, x_um = measurement.centre_um
    _, height_um, width_um = measurement.size_um
    return RoiDisplacements(
        (y_um, x_um),
        (height_um, width_um),
        tuple(
            Displacement(
                measurement.displacement_um(candidate),
                _UNKNOWN_CONFIDENCE
                if candidate.confidence is None
                else candidate.confidence,
                _find_precision(candidate, measurement.pixel_um),
            )
            for candidate in measurement.candidates
        ),
    )


def _find_precision(candidate: Candidate, pixel_um: float) -> float:
    """Give 1 where no error is known: then nothing is held against a candidate."""
    if candidate.error_um is None:
        return 1.0
    return within_pixel(candidate.error_um / pixel_um)


def arrange_candidates(rois: Sequence[RoiDisplacements]) -> CandidateArrays:
    """Bring the candidates of ROIs, at least one, into arrays of the same order."""
    most = max(len(roi.displacements) for roi in rois)
    displacements_um = np.zeros((len(rois), most, 3))
    probabilities = np.zeros((len(rois), most))
    precisions = np.ones((len(rois), most))
    for index, roi in enumerate(rois):
        for rank, one in enumerate(roi.displacements):
            displacements_um[index, rank] = one.vector_um
            precisions[index, rank] = one.precision
            # A confidence is the product of both; agreement with other ROIs only says
            # something about the first.
            probabilities[index, rank] = one.confidence / max(one.precision, 1e-12)
    np.clip(probabilities, 0, 1, out=probabilities)
    total = probabilities.sum(axis=1, keepdims=True)
    probabilities *= np.minimum(1.0, (1 - _MIN_NONE_RIGHT) / np.maximum(total, 1e-300))
    sizes_um = np.array([roi.size_um for roi in rois], dtype=float)
    return CandidateArrays(
        np.array([roi.centre_um for roi in rois], dtype=float),
        displacements_um,
        probabilities,
        precisions,
        # Shifts are searched up to the size of the ROI either way.
        4 * np.prod(sizes_um, axis=1),
    )
