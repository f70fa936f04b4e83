"""The ROIs of two acquisitions, paired for registration."""

import logging
import math
import os
from dataclasses import dataclass

from fractal_tasks.errors import InvalidDataError, InvalidInputError
from fractal_tasks.model import CalculateSettings, Pairing, RowKey
from fractal_tasks.records.roi_pairing import pair_rois
from fractal_tasks.registration.base import RegistrationMethod
from fractal_tasks.steps.sides import Side, SideRoi

logger = logging.getLogger(__name__)

_MAX_PLANE_PX = 2**28
"""Of the coarsest level. Pyramids of gigapixel images end far below."""

_BYTES_PER_PIXEL = 12
"""At least, of the coarsest level: two images of float32, and one made of them."""


@dataclass(frozen=True)
class RoiPair:
    """A ROI of the reference, and the one to be registered that shows the same."""

    key: RowKey
    """Of the row in the acquisition's table."""

    fixed: SideRoi
    moving: SideRoi

    @property
    def is_flat(self) -> bool:
        """Whether one of both has a single plane, so that only y and x compare."""
        return min(self.fixed.box.shape[0], self.moving.box.shape[0]) == 1

    @property
    def is_uneven(self) -> bool:
        """Whether planes differ in number or distance, and so cannot be paired."""
        one, other = self.fixed.patches[0], self.moving.patches[0]
        return (one.shape[:-2], one.spacing_um[:-2]) != (
            other.shape[:-2],
            other.spacing_um[:-2],
        )

    def is_planar(self, settings: CalculateSettings) -> bool:
        """Whether only y and x are compared."""
        return settings.dimensions == "2d" or self.is_flat

    def release(self) -> None:
        """Forget the pixels that were read."""
        self.fixed.release()
        self.moving.release()


def open_pairs(
    fixed: Side, moving: Side, method: RegistrationMethod, settings: CalculateSettings
) -> list[RoiPair]:
    """Pair the ROIs of two images, in the order of the moving one's table.

    Raises:
        InvalidInputError: The method cannot register their number of planes.
        InvalidDataError: A ROI is not inside its image, or none have a partner.
    """
    pairing = pair_rois(fixed.image, fixed.table, moving.image, moving.table)
    _log_pairing(pairing, fixed, moving)
    pairs = [
        RoiPair(RowKey(name), fixed.open_roi(partner), moving.open_roi(name))
        for name, partner in pairing.partners.items()
    ]
    for pair in pairs:
        _check_dimensions(pair, method, settings)
        _check_memory(pair, settings)
    return pairs


def _log_pairing(pairing: Pairing, fixed: Side, moving: Side) -> None:
    """Say what was compared with what, and what was left out."""
    renamed = [
        f"{own!r} with {partner!r}"
        for own, partner in pairing.partners.items()
        if own != partner
    ]
    # By their names is what everybody expects.
    level = (
        logging.INFO if set(pairing.paired_by.values()) <= {"name"} else logging.WARNING
    )
    logger.log(
        level,
        "%s: ROIs are paired with those of %s: %s%s",
        moving.image.zarr_url,
        fixed.image.zarr_url,
        pairing.describe(),
        f" ({', '.join(renamed)})" if renamed else "",
    )
    for image, alone, other in (
        (moving.image, pairing.moving_alone, fixed.image),
        (fixed.image, pairing.fixed_alone, moving.image),
    ):
        if alone:
            logger.warning(
                "%s: the ROIs %s have no partner in %s and are not registered to it",
                image.zarr_url,
                list(alone),
                other.zarr_url,
            )


def _check_dimensions(
    pair: RoiPair, method: RegistrationMethod, settings: CalculateSettings
) -> None:
    if settings.dimensions == "3d" and pair.is_flat:
        raise InvalidInputError(
            f"{pair.key}: dimensions='3d' needs a stack, found one plane. Choose "
            "'auto' or '2d'."
        )
    if not pair.is_planar(settings) and 3 not in method.dimensionalities:
        planes = pair.moving.box.shape[0]
        raise InvalidInputError(
            f"{pair.key}: found a stack of {planes} planes, and the method is for 2D "
            "images only. Choose dimensions='2d' to register the maximum projection, "
            "or the method 'phase_cross_correlation'."
        )


def _check_memory(pair: RoiPair, settings: CalculateSettings) -> None:
    """Refuse what a search would read for hours, or be killed for."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    is_2d = pair.is_planar(settings)
    for side in (pair.fixed, pair.moving):
        shape = side.patches[-1].shape
        needed = _BYTES_PER_PIXEL * math.prod(shape[-2:] if is_2d else shape)
        if needed > memory or math.prod(shape[-2:]) > _MAX_PLANE_PX:
            raise InvalidDataError(
                f"{side.where}: found {' x '.join(map(str, shape))} pixels at the "
                f"coarsest level; a search reads all of them, and needs at most "
                f"{_MAX_PLANE_PX} in a plane and {memory / _BYTES_PER_PIXEL:.0f} in "
                "this machine's memory. Choose a ROI table of single fields as "
                "input_roi_table, or convert the image again with more levels."
            )
