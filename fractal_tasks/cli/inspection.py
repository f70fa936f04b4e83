"""What is in images, and which stain they could be compared by."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from fractal_tasks.errors import FractalTasksError, InvalidInputError
from fractal_tasks.storage.plate.channels import Channel, find_channel, read_channels
from fractal_tasks.storage.plate.images import list_labels, list_tables
from fractal_tasks.storage.plate.levels import spacing_of
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.storage.plate.roi_tables import load_roi_table
from fractal_tasks.storage.plate.tables import read_table_types
from fractal_tasks.storage.urls import ImageUrl
from fractal_tasks.workflow.plan import Plan

_ROI_TABLES = ("roi_table", "masking_roi_table")
_NUCLEAR = ("dapi", "hoechst", "nucle", "dna", "h2b", "draq")
"""In the labels of stains that nearly every acquisition has, and that show much."""


@dataclass(frozen=True)
class Level:
    """A level of a pyramid."""

    path: str
    shape: tuple[int, ...]
    """In the order of the axes."""

    pixel_um: tuple[float, ...]
    """Size of a pixel (z, y, x)."""


@dataclass(frozen=True)
class Content:
    """What is in an image."""

    axes: str
    data_type: str
    unit: str | None
    """Of the axes of space, as it is stored; None if that is missing."""

    levels: tuple[Level, ...]
    channels: tuple[Channel, ...]
    roi_tables: tuple[str, ...]
    roi_counts: tuple[int, ...]
    """Number of ROIs in each of these tables."""

    other_tables: tuple[str, ...]
    labels: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON data."""
        return asdict(self)


def read_content(image: OpenImage) -> Content:
    """List what is in an image.

    Raises:
        InvalidDataError: It cannot be read.
    """
    levels = [image.container.get_image(path=p) for p in image.container.level_paths]
    names = list_tables(image)
    types = read_table_types(image, names)
    rois = [name for name in names if types[name] in _ROI_TABLES]
    return Content(
        axes="".join(image.level.axes),
        data_type=str(image.level.zarr_array.dtype),
        unit=image.multiscale.unit,
        levels=tuple(
            Level(path, tuple(map(int, level.shape)), spacing_of(level, image.unit_um))
            for path, level in zip(image.container.level_paths, levels, strict=True)
        ),
        channels=tuple(read_channels(image)),
        roi_tables=tuple(rois),
        roi_counts=tuple(len(load_roi_table(image, name).rois) for name in rois),
        other_tables=tuple(name for name in names if name not in rois),
        labels=tuple(list_labels(image)),
    )


@dataclass(frozen=True)
class Stain:
    """By which channel images can be compared, as the tasks take it."""

    wavelength_id: str
    acquisition_wavelength_ids: dict[str, str]
    label: str | None
    """What it shows, as the reference says."""


def choose_stain(
    reference: OpenImage, others: Mapping[str, Sequence[OpenImage]]
) -> Stain | None:
    """Choose the stain that all images have; of several, one of nuclei, or the first.

    Args:
        reference: What the others are registered to.
        others: All images by acquisition, or by name if they are in no plate.

    Returns:
        None if there is none, so that somebody has to say what shows the same.
    """
    images = [image for group in others.values() for image in group]
    channels = read_channels(reference)
    nuclear = [channel for channel in channels if _is_nuclear(channel)]
    return (
        _choose_common(nuclear, images)
        or _choose_nuclear(reference, others)
        or _choose_common(channels, images)
    )


def _choose_common(
    channels: Sequence[Channel], images: Sequence[OpenImage]
) -> Stain | None:
    """Choose the first of the reference's channels that all other images have."""
    for channel in channels:
        for name in (channel.wavelength_id, channel.label, str(channel.index)):
            if name and all(_is_alike(image, name, channel) for image in images):
                return Stain(name, {}, channel.label)
    return None


def _choose_nuclear(
    reference: OpenImage, others: Mapping[str, Sequence[OpenImage]]
) -> Stain | None:
    """Choose for each acquisition the only channel that shows nuclei."""
    own = _find_nuclear(reference)
    found = {
        key: {_find_nuclear(image) for image in group} for key, group in others.items()
    }
    if own is None or any(len(n) > 1 or None in n for n in found.values()):
        return None
    chosen = {key: str(*names) for key, names in found.items()}
    ids = {key: name for key, name in chosen.items() if name != own}
    return Stain(own, ids, own)


def _is_nuclear(channel: Channel) -> bool:
    return any(part in (channel.label or "").casefold() for part in _NUCLEAR)


def _is_alike(image: OpenImage, name: str, channel: Channel) -> bool:
    """Whether the channel of this name has the same label, as far as that is known."""
    try:
        found = read_channels(image)[find_channel(image, name)]
    except InvalidInputError:
        return False
    return len({found.label, channel.label} - {None}) < 2


def _find_nuclear(image: OpenImage) -> str | None:
    """Give the name of the only channel that shows nuclei."""
    found = [channel for channel in read_channels(image) if _is_nuclear(channel)]
    return found[0].label if len(found) == 1 else None


@dataclass
class Inspection:
    """All that was found."""

    urls: list[str]
    """What was to be looked at."""

    storage_options: str | None = None
    reference: str | None = None
    """The plate, or the image in none, that has the references."""

    reference_acquisition: int = 0
    contents: dict[ImageUrl, Content] = field(default_factory=dict)
    acquisitions: dict[ImageUrl, int | None] = field(default_factory=dict)
    """Of images in plates."""

    registered: list[str] = field(default_factory=list)
    """Images that are results."""

    begun: list[str] = field(default_factory=list)
    """Images that a run which was interrupted has left to do."""

    left: list[str] = field(default_factory=list)
    """Images beside which there is something of such a run."""

    plan: Plan = field(default_factory=Plan)
    failures: dict[str, FractalTasksError] = field(default_factory=dict)
    """By url, what cannot be registered, and why."""

    closed: dict[str, FractalTasksError] = field(default_factory=dict)
    """By url, images where nothing can be written, and why."""

    stain: Stain | None = None
    command: str | None = None
    """What to type; None if nothing can be registered, or a stain has to be chosen."""
