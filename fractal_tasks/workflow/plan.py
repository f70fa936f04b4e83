"""What registering images would do, and what stands against it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fractal_tasks.errors import (
    FractalTasksError,
    InvalidDataError,
    InvalidInputError,
)
from fractal_tasks.model import PairedBy, Pairing
from fractal_tasks.storage.plate.wells import well_of
from fractal_tasks.storage.urls import ImageUrl


@dataclass(frozen=True)
class ImagePlan:
    """What would happen to one image."""

    url: ImageUrl
    reference: ImageUrl
    """What it is registered to; the image itself if it is that."""

    rois: int
    pairing: Pairing | None
    """With which ROI of the reference each ROI is compared; None of the reference."""

    paired_by: PairedBy | None
    """What tells that it belongs to the reference; None if nothing else could."""

    labels: list[str]
    """Labels that would be registered as well."""

    writes: list[str]
    """Urls of images and tables that would be new."""

    replaces: list[str]
    """Urls of images and tables that would be replaced."""

    replaces_input: bool
    """Whether the registered image takes the place of this one."""

    rewrites: list[str]
    """Files and folders, by their paths in the image, of which it gets new ones."""

    @property
    def is_reference(self) -> bool:
        """Whether others are registered to it."""
        return self.url == self.reference


@dataclass(frozen=True)
class Plan:
    """What would happen to images, and what stands against it."""

    images: list[ImagePlan] = field(default_factory=list)
    """Of the wells of which all images can be registered."""

    failures: dict[str, FractalTasksError] = field(default_factory=dict)
    """By url, the images that cannot be registered, and why."""

    def require_arguments(self) -> None:
        """Refuse arguments that fit no well at all.

        Raises:
            InvalidInputError: Of the first image that they do not fit.
        """
        if self.images:
            return
        for error in self.failures.values():
            if isinstance(error, InvalidInputError):
                raise error


def without_wells(
    images: Sequence[ImagePlan],
    bad: Sequence[ImageUrl],
    failures: Mapping[str, FractalTasksError],
) -> Plan:
    """Leave out the wells of images that cannot be registered, and name the others.

    Args:
        images: What would happen to images.
        bad: Images that cannot be registered.
        failures: Why, by url.
    """
    by_well: dict[str | None, list[str]] = {}
    for url in bad:
        by_well.setdefault(well_of(url), []).append(url.zarr_url)
    errors = {
        well: InvalidDataError(
            f"The images of a well are judged together, and {', '.join(urls)} cannot "
            "be registered. Mend that, or take it out of the metadata of its well."
        )
        for well, urls in by_well.items()
    }
    found, good = dict(failures), []
    for image in images:
        well = well_of(image.url)
        if well in errors:
            found.setdefault(image.url.zarr_url, errors[well])
        else:
            good.append(image)
    return Plan(good, found)
