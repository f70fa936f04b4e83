"""The beginning of the init tasks: which images are registered to which."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fractal_tasks.storage.plate.grouping import group_images
from fractal_tasks.storage.plate.groups import RegistrationGroup
from fractal_tasks.storage.urls import StorageOptions

if TYPE_CHECKING:
    from fractal_tasks.model import PairedBy

logger = logging.getLogger(__name__)


def find_groups(
    zarr_urls: Sequence[str],
    reference_acquisition: int,
    storage_options: StorageOptions,
    reference: str | None,
) -> list[RegistrationGroup]:
    """Find the reference of each image, and say in the log for which there is none.

    Args:
        zarr_urls: Images to register, of any number of wells.
        reference_acquisition: Acquisition that the others are registered to.
        storage_options: How to reach the object store they may be in.
        reference: The plate that has the references, or the image that is the reference
            of all; None for those of their own plate.

    Raises:
        InvalidInputError: A url is not that of an image, or the reference is neither
            plate nor image.
        InvalidDataError: There is nothing to register.
    """
    found = group_images(zarr_urls, reference_acquisition, storage_options, reference)
    if zarr_urls:
        found.require_work()
    for zarr_url, error in found.failures.items():
        logger.error("%s is left out: %s", zarr_url, error)
    for group in found.lone:
        logger.warning(
            "%s: nothing else in its well is to be registered to it; its pixels stay "
            "as they are",
            group.reference.zarr_url,
        )
    return found.groups


def log_pairs(groups: Sequence[RegistrationGroup]) -> None:
    """Say which images belong together, if not by name as everybody expects."""
    pairs: dict[PairedBy, list[str]] = {}
    for group in groups:
        for image, how in group.paired_by.items():
            pair = f"{image.zarr_url} to {group.reference.zarr_url}"
            pairs.setdefault(how, []).append(pair)
    for how, found in pairs.items():
        logger.info("By %s belong %s", how, ", ".join(found))
        if how != "name":
            logger.warning(
                "%d images belong to their references by %s, e.g. %s",
                len(found),
                how,
                found[0],
            )
