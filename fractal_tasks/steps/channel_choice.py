"""Which channel of an image is compared: that of all, or its own."""

from collections.abc import Mapping, Sequence

from fractal_tasks.errors import InvalidInputError
from fractal_tasks.storage.plate.acquisitions import find_acquisitions
from fractal_tasks.storage.plate.wells import is_in_plate, read_acquisition
from fractal_tasks.storage.urls import ImageUrl


def choose_channels(
    reference: ImageUrl,
    acquisition: ImageUrl,
    channels: Mapping[str, str],
    wavelength_id: str,
) -> tuple[str, str]:
    """Give the channels of reference and acquisition, as they were asked for.

    Args:
        reference: What is compared with.
        acquisition: What is registered.
        channels: By acquisition, where it is another one than `wavelength_id`.
        wavelength_id: The channel of all others, and of a reference in another plate:
            its acquisitions are counted by themselves.

    Raises:
        InvalidInputError: A key of `channels` is no number of an acquisition.
    """
    own = choose_channel(acquisition, channels, wavelength_id)
    if reference.plate_url != acquisition.plate_url and is_in_plate(reference):
        return wavelength_id, own
    return choose_channel(reference, channels, wavelength_id), own


def check_names(images: Sequence[ImageUrl], channels: Mapping[str, str]) -> None:
    """Refuse names of images that are not there.

    Args:
        images: All that are compared, references included.
        channels: As of `choose_channel`, which knows one image only.

    Raises:
        InvalidInputError: The images are in no plate, and a key is no name of one.
    """
    names = sorted({image.stem for image in images})
    unknown = sorted(set(channels) - set(names))
    if unknown and not any(map(is_in_plate, images)):
        raise InvalidInputError(
            f"acquisition_wavelength_ids: found the names {unknown}; needed are names "
            f"of images, without '.zarr': {names}."
        )


def choose_channel(
    url: ImageUrl, channels: Mapping[str, str], wavelength_id: str
) -> str:
    """Give the channel that was asked for in an image: id, label or index.

    Args:
        url: The image.
        channels: By acquisition, or by the name, without `.zarr`, of an image that is
            in no plate, where it is another one than `wavelength_id`.
        wavelength_id: The channel of all others.

    Raises:
        InvalidInputError: A key of `channels` is no number of an acquisition, or the
            plate has no such acquisition.
    """
    if not channels:
        return wavelength_id
    acquisition = read_acquisition(url)
    if acquisition is None:
        return channels.get(url.stem, wavelength_id)
    odd = [key for key in channels if not key.isdecimal()]
    if odd:
        raise InvalidInputError(
            f"acquisition_wavelength_ids: found the keys {odd}; needed are the numbers "
            'of acquisitions. Give e.g. {"1": "A02_C02"}.'
        )
    by_number = {int(key): channel for key, channel in channels.items()}
    there = find_acquisitions(url, by_number)
    unknown = sorted(set(by_number) - there)
    if unknown:
        raise InvalidInputError(
            f"acquisition_wavelength_ids: found the acquisitions {unknown}, which "
            f"{url.plate_url} has not: it has {sorted(there)}. Give numbers of these."
        )
    return by_number.get(acquisition, wavelength_id)
