"""Phase cross-correlation."""

from typing import Literal

from fractal_tasks.registration.correlation import CorrelationMethod
from fractal_tasks.registration.motion import Motion
from fractal_tasks.registration.spectra import CrossSpectra, Spectrum, whiten


class PhaseCrossCorrelation(CorrelationMethod):
    """Shift by phase cross-correlation.

    Every spatial frequency counts alike, so brightness, staining and illumination
    matter little and the shift is exact. The method for most plates, in 2D and 3D.

    References:
        Kuglin and Hines, Proc. IEEE Int. Conf. Cybernetics and Society, 163 (1975).
    """

    type: Literal["phase_cross_correlation"] = "phase_cross_correlation"

    motion: Literal["shift", "rigid", "similarity"] = "shift"
    """What is undone. `shift` moves whole pixels, which stay as they are; `rigid`
    (a turn by up to 2 degrees) and `similarity` (with a change of size of up to 1.5 %)
    interpolate where the sample did turn."""

    def _keep(self, motion: Motion) -> Motion:
        """Give what of a motion is undone."""
        if self.motion == "similarity":
            return motion
        return motion.rigid() if self.motion == "rigid" else super()._keep(motion)

    def _weigh(self, spectra: CrossSpectra) -> Spectrum:
        """Keep the phases only."""
        return whiten(spectra)
