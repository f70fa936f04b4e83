"""Images that are registered together, and those that are not, and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from fractal_tasks.errors import FractalTasksError, InvalidDataError
from fractal_tasks.model import PairedBy
from fractal_tasks.storage.urls import ImageUrl, real_path


@dataclass(frozen=True)
class RegistrationGroup:
    """Images of one well that are registered to the same reference."""

    reference: ImageUrl
    others: tuple[ImageUrl, ...]
    paired_by: Mapping[ImageUrl, PairedBy] = field(default_factory=dict)
    """What tells that others belong to the reference. By their order they do alone, or
    as it is the only one: whether they show the same, the pixels have to tell. Left out
    are those that nothing else could belong to."""

    is_reference_kept: bool = False
    """Whether the reference is only read: it was named, and is no image to register."""

    @property
    def unsure(self) -> frozenset[ImageUrl]:
        """Others that belong to the reference by their order alone."""
        return frozenset(
            one for one in self.others if self.paired_by.get(one) == "order"
        )

    @property
    def written(self) -> tuple[ImageUrl, ...]:
        """The images that get tables, and pixels, reference first."""
        return self.others if self.is_reference_kept else (self.reference, *self.others)

    @property
    def home(self) -> ImageUrl:
        """An image of the well that is registered; the reference if there is none."""
        return self.others[0] if self.others else self.reference


@dataclass(frozen=True)
class Grouping:
    """What is registered to what, and what is not."""

    groups: list[RegistrationGroup] = field(default_factory=list)
    failures: dict[str, FractalTasksError] = field(default_factory=dict)
    """By url, the images for which there is no reference, and why."""

    only_read: tuple[ImageUrl, ...] = ()
    """Images that are the reference, or of its plate, and so not registered."""

    @property
    def lone(self) -> list[RegistrationGroup]:
        """The groups of a reference alone, with nothing to register."""
        return [group for group in self.groups if not group.others]

    def require_work(self) -> None:
        """Refuse to go on if no image can be registered.

        Raises:
            InvalidDataError: There is nothing to register, or nothing that can be.
            InvalidInputError: The same, if that is what was wrong.
        """
        if any(group.others for group in self.groups):
            return
        if self.failures:
            raise next(iter(self.failures.values()))
        images = [group.reference.zarr_url for group in self.groups]
        raise InvalidDataError(
            f"Found {len(images)} images, all of them references, e.g. {images[:1]}, "
            "and none to register to them. Add the images of other acquisitions. If "
            "each acquisition is a plate of its own, or an image in none, give the "
            "plate or image that they are registered to as reference."
        )


def without_aliases(
    groups: Sequence[RegistrationGroup],
    failures: Mapping[str, FractalTasksError],
    only_read: tuple[ImageUrl, ...],
) -> Grouping:
    """Leave out images that are others of them, brought there by a link.

    Each would be registered to itself, or get the tables of two wells.

    Args:
        groups: What was found.
        failures: The images for which there is no reference, and why.
        only_read: Images that are not registered.
    """
    failures = dict(failures)
    places: dict[str, ImageUrl] = {}
    for group in groups:
        if group.is_reference_kept:
            places.setdefault(_place_of(group.reference), group.reference)
    left = []
    for group in groups:
        aliases = {
            image: first
            for image in group.written
            if (first := places.setdefault(_place_of(image), image)) != image
        }
        failures |= {
            image.zarr_url: InvalidDataError(
                f"{image.zarr_url}: found a link to what {first.zarr_url} is, too; "
                "needed is another image. Take it out of the metadata of its well."
            )
            for image, first in aliases.items()
        }
        if group.reference in aliases:
            failures |= {
                image.zarr_url: failures[group.reference.zarr_url]
                for image in group.others
            }
        else:
            others = tuple(one for one in group.others if one not in aliases)
            left.append(replace(group, others=others))
    return Grouping(left, failures, only_read)


def _place_of(image: ImageUrl) -> str:
    return image.zarr_url if image.is_remote else str(real_path(image.path))
