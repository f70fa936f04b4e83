"""What was measured for one ROI of an acquisition."""

from dataclasses import dataclass

from fractal_tasks.model.candidate import Candidate
from fractal_tasks.transforms import Vector


@dataclass(frozen=True)
class Measurement:
    """The candidates of a ROI, and where it lies."""

    candidates: tuple[Candidate, ...]
    """Best first, at least one; transforms between the images (not the ROIs)."""

    centre_um: Vector
    """Centre of the ROI in the moving image."""

    size_um: Vector
    """Size of the ROI."""

    pixel_um: float
    """Size of a level-0 pixel, the larger of y and x."""

    is_imported: bool = False
    """Whether it comes from elsewhere, and is to be used as it is."""

    @property
    def best(self) -> Candidate:
        """The candidate that the images of this ROI alone favour."""
        return self.candidates[0]

    def displacement_um(self, candidate: Candidate) -> Vector:
        """Give how far a candidate moves the centre of the ROI."""
        return candidate.transform.displacement_at(self.centre_um)
