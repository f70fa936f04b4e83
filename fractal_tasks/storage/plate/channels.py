"""The channels of an image: what the metadata say of each, read here and only here.

ngio refuses an image of which the channels have no window or colour, or the same label
twice. No task needs these, and pictures do without.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.storage.plate.open_image import OpenImage
from fractal_tasks.storage.upstream import attributes_of


@dataclass(frozen=True)
class Channel:
    """A channel of an image."""

    index: int
    wavelength_id: str | None
    label: str | None

    @property
    def is_named(self) -> bool:
        """Whether anything is known of it."""
        return self.wavelength_id is not None or self.label is not None

    def __str__(self) -> str:
        """Write it as errors list it."""
        return f"index {self.index}: id {self.wavelength_id!r}, label {self.label!r}"


_KEYS: tuple[Callable[[Channel], str | None], ...] = (
    lambda channel: channel.wavelength_id,
    lambda channel: channel.label,
    lambda channel: str(channel.index),
    lambda channel: f"channel_{channel.index}",
)
"""What a channel can be named by, in the order in which it is tried; at last, as ngio
names those without a label."""


def read_channels(image: OpenImage) -> list[Channel]:
    """List the channels of an image, with what is known of each."""
    level = image.level
    count = dict(zip(level.axes, level.shape, strict=True)).get("c", 1)
    described = _read_descriptions(attributes_of(image.container))
    described += [{}] * (count - len(described))
    return [
        Channel(index, _text(entry, "wavelength_id"), _text(entry, "label"))
        for index, entry in enumerate(described[:count])
    ]


def read_window(image: OpenImage, channel: int) -> tuple[float, float] | None:
    """Read which intensities of a channel are shown black and bright; None: unknown."""
    described = _read_descriptions(attributes_of(image.container))
    window = described[channel].get("window") if channel < len(described) else None
    if not isinstance(window, dict):
        return None
    start, end = window.get("start"), window.get("end")
    if isinstance(start, int | float) and isinstance(end, int | float):
        return float(start), float(end)
    return None


def _read_descriptions(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    """Read the list of channels, whatever else may be in its place."""
    ome = attributes.get("ome", attributes)
    omero = ome.get("omero") if isinstance(ome, dict) else None
    channels = omero.get("channels") if isinstance(omero, dict) else None
    entries = channels if isinstance(channels, list) else []
    return [entry if isinstance(entry, dict) else {} for entry in entries]


def _text(entry: dict[str, Any], key: str) -> str | None:
    value = entry.get(key)
    return None if value is None or value == "" else str(value)


def find_channel(
    image: OpenImage, wavelength_id: str, argument: str = "wavelength_id"
) -> int:
    """Give the index of the channel with this id; else label; else index.

    The only channel of an image that has no name is taken in any case.

    Raises:
        InvalidInputError: No channel fits, or several.
    """
    channels = read_channels(image)
    for key in _KEYS:
        found = [channel for channel in channels if key(channel) == wavelength_id]
        if len(found) == 1:
            return found[0].index
        if found:
            break
    if len(channels) == 1 and not channels[0].is_named:
        return 0
    listed = "; ".join(map(str, channels))
    raise InvalidInputError(
        f"{image.where()}: {argument}={wavelength_id!r} fits "
        f"{'several channels' if found else 'no channel'} of the image, which has "
        f"{listed}. Give the id, label or index of exactly one, that of a stain which "
        "is in every acquisition, e.g. the nuclear stain; where acquisitions differ, "
        "also acquisition_wavelength_ids."
    )
