"""What the log says of estimates."""

import logging
from collections.abc import Sequence

import numpy as np

from fractal_tasks.model import DEFAULT_MIN_CONFIDENCE
from fractal_tasks.records.rows import RoiRecord
from fractal_tasks.storage.urls import ImageUrl
from fractal_tasks.transforms import Warp

logger = logging.getLogger(__name__)

_MANY_PX = 1.0
"""What a transform leaves off below this does not show beside the rounding to whole
pixels, half a pixel in y and in x."""

_LIKELY = 0.5
"""Of an estimate that is rather wrong than right, a turn is not believed either."""


def log_estimate(record: RoiRecord, image: str) -> None:
    """Say what was found for a ROI."""
    best = record.candidates[0]
    evidence = (f"{name} {value:.2f}" for name, value in best.evidence.items())
    logger.info(
        "%s, %s: translation z=%.3f, y=%.3f, x=%.3f um, confidence %s; %s",
        record.key,
        image,
        *record.displacement_um,
        "unknown" if best.confidence is None else f"{best.confidence:.2f}",
        ", ".join(evidence),
    )


def log_summary(url: ImageUrl, image: str, records: Sequence[RoiRecord]) -> None:
    """Say what was found for all ROIs of an image."""
    best = [record.candidates[0] for record in records]
    lengths = [float(np.linalg.norm(record.displacement_um)) for record in records]
    _warn_of_turns(url, image, records)
    logger.info(
        "%s: %s, %d ROIs registered, %d with a confidence below %s; "
        "translation median %.2f um, maximum %.2f um",
        url.zarr_url,
        image,
        len(records),
        sum((one.confidence or 0.0) < DEFAULT_MIN_CONFIDENCE for one in best),
        DEFAULT_MIN_CONFIDENCE,
        float(np.median(lengths)),
        max(lengths),
    )


def _warn_of_turns(url: ImageUrl, image: str, records: Sequence[RoiRecord]) -> None:
    """Say once, and not of each ROI, how far their transforms leave places off."""
    left = {
        record.key: best.left_px
        for record in records
        if (best := record.candidates[0]).left_px is not None
        and (best.confidence or 0.0) >= _LIKELY
        and best.left_px > _MANY_PX
        # Of what bends it is what nothing shows.
        and not isinstance(best.transform, Warp)
    }
    if left:
        worst = max(left, key=left.__getitem__)
        logger.warning(
            "%s: %s is turned, scaled or warped against the reference. Centres of ROIs "
            "are put right, but places are left off by more than %g px in %d of %d "
            "ROIs, most in %s: %.1f px%s. Where ROIs show enough, "
            "phase_cross_correlation with the motion 'similarity' undoes turn and "
            "scale, elastix also what is stretched, and with the transform 'bspline' "
            "what is bent",
            url.zarr_url,
            image,
            _MANY_PX,
            len(left),
            len(records),
            worst,
            left[worst],
            "" if len(records) > 1 else "; smaller ones, such as fields, leave less",
        )
