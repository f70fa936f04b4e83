"""Phase cross-correlation."""

from typing import Literal

from fractal_tasks.registration.correlation import CorrelationMethod
from fractal_tasks.registration.spectra import CrossSpectra, Spectrum, whiten


class PhaseCrossCorrelation(CorrelationMethod):
    """Shift by phase cross-correlation.

    Every spatial frequency counts alike, so brightness, staining and illumination
    matter little and the shift is exact. The method for most plates, in 2D and 3D.

    References:
        Kuglin and Hines, Proc. IEEE Int. Conf. Cybernetics and Society, 163 (1975).
    """

    type: Literal["phase_cross_correlation"] = "phase_cross_correlation"

    def _weigh(self, spectra: CrossSpectra) -> Spectrum:
        """Keep the phases only."""
        return whiten(spectra)
