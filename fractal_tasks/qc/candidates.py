"""What the model sees of the ROIs of a well: how far candidates move their centres."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fractal_tasks.model import Measurement
from fractal_tasks.transforms import FloatArray, Vector, Warp

# That no candidate of a ROI is right is never less probable than this: about one in
# 1000 confident estimates is wrong (ADR 0007). Without it, a certain estimate could
# not be outvoted by any number of others.
_MIN_NONE_RIGHT = 1e-3

# For a candidate of software that gives no confidence, and no standard error.
_UNKNOWN_CONFIDENCE = 0.9
_UNKNOWN_ERROR_PX = 0.5


@dataclass(frozen=True, order=True)
class Displacement:
    """What the model sees of a candidate."""

    vector_um: Vector
    """How far the centre of the ROI is moved."""

    probability: float
    """That this is the right peak."""

    error_um: float
    """Standard error in y and x, if it is."""

    bend_um: float = 0.0
    """What a shift in its place leaves undone, in the mean of all pixels."""


@dataclass(frozen=True, order=True)
class RoiDisplacements:
    """What the model sees of a ROI.

    It has an order, so that sums over ROIs do not depend on their names.
    """

    centre_um: tuple[float, float]
    """Centre of the ROI, y and x."""

    size_um: tuple[float, float]
    """Size of the ROI, y and x."""

    pixel_um: float

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
    """That a candidate is the right peak, shape ``(n, k)``; those of a ROI sum to less
    than 1."""

    errors_um: FloatArray
    """Standard errors of right candidates, shape ``(n, k)``."""

    search_area_um2: FloatArray
    """Shape ``(n,)``."""

    pixels_um: FloatArray
    """Sizes of a level-0 pixel, shape ``(n,)``."""

    bends_um: FloatArray
    """What shifts in the place of candidates leave undone, shape ``(n, k)``."""

    @property
    def none_right(self) -> FloatArray:
        """The probability that no candidate of a ROI is right, shape ``(n,)``."""
        none: FloatArray = 1 - self.probabilities.sum(axis=1)
        return none

    def take(self, indices: npt.NDArray[np.integer]) -> "CandidateArrays":
        """Give those of some of the ROIs."""
        return CandidateArrays(*(values[indices] for values in vars(self).values()))

    def sample(self, count: int) -> "CandidateArrays":
        """Give those of `count` ROIs, always the same ones."""
        if count >= len(self.centres_um):
            return self
        rng = np.random.default_rng(0)
        return self.take(rng.choice(len(self.centres_um), count, replace=False))


def find_displacements(
    measurement: Measurement, limits: Sequence[float]
) -> RoiDisplacements:
    """Reduce a measurement to what the model sees of it.

    Args:
        measurement: Of one ROI.
        limits: How probable each candidate is at most, by what is objected to it.
    """
    _, y_um, x_um = measurement.centre_um
    _, height_um, width_um = measurement.size_um
    return RoiDisplacements(
        (y_um, x_um),
        (height_um, width_um),
        measurement.pixel_um,
        tuple(
            Displacement(
                measurement.displacement_um(one),
                min(_known(one.confidence, _UNKNOWN_CONFIDENCE), limit),
                _known(one.error_um, _UNKNOWN_ERROR_PX * measurement.pixel_um),
                one.transform.bend_um if isinstance(one.transform, Warp) else 0.0,
            )
            for one, limit in zip(measurement.candidates, limits, strict=True)
        ),
    )


def _known(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else value


def arrange_candidates(rois: Sequence[RoiDisplacements]) -> CandidateArrays:
    """Bring the candidates of ROIs, at least one, into arrays of the same order."""
    most = max(len(roi.displacements) for roi in rois)
    displacements_um = np.zeros((len(rois), most, 3))
    probabilities = np.zeros((len(rois), most))
    errors_um = np.ones((len(rois), most))
    bends_um = np.zeros((len(rois), most))
    for index, roi in enumerate(rois):
        for rank, one in enumerate(roi.displacements):
            displacements_um[index, rank] = one.vector_um
            probabilities[index, rank] = one.probability
            errors_um[index, rank] = one.error_um
            bends_um[index, rank] = one.bend_um
    np.clip(probabilities, 0, 1, out=probabilities)
    total = probabilities.sum(axis=1, keepdims=True)
    probabilities *= np.minimum(1.0, (1 - _MIN_NONE_RIGHT) / np.maximum(total, 1e-300))
    sizes_um = np.array([roi.size_um for roi in rois], dtype=float)
    return CandidateArrays(
        np.array([roi.centre_um for roi in rois], dtype=float),
        displacements_um,
        probabilities,
        errors_um,
        # Shifts are searched up to the size of the ROI either way.
        4 * np.prod(sizes_um, axis=1),
        np.array([roi.pixel_um for roi in rois], dtype=float),
        bends_um,
    )
