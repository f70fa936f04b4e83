"""Un-normalised cross-correlation."""

from typing import ClassVar, Literal

from fractal_tasks.registration.correlation import CorrelationMethod
from fractal_tasks.registration.spectra import CrossSpectra, Spectrum, band_pass_filter


class Chi2Shift(CorrelationMethod):
    """Shift that minimises chi-square, in 2D.

    Under uniform noise this is the maximum of the cross-correlation, in which bright
    structures count most: an alternative for very noisy images.
    """

    dimensionalities: ClassVar[frozenset[int]] = frozenset({2})

    type: Literal["chi2_shift"] = "chi2_shift"

    def _weigh(self, spectra: CrossSpectra) -> Spectrum:
        """Keep the amplitudes, and take out illumination and pixel noise."""
        weighted: Spectrum = spectra.cross * band_pass_filter(spectra.size)
        return weighted
