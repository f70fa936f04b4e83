"""Which images show a ROI before and after registration, and where in them it lies."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fractal_tasks.errors import InvalidDataError
from fractal_tasks.records.applied import read_applied_record
from fractal_tasks.records.judgement import read_table_record
from fractal_tasks.records.registered_rows import read_estimates, read_registered_rows
from fractal_tasks.report.results import RoiResult
from fractal_tasks.storage.plate.channels import find_channel
from fractal_tasks.storage.plate.images import list_tables
from fractal_tasks.storage.plate.open_image import OpenImage, open_image
from fractal_tasks.storage.urls import ImageUrl
from fractal_tasks.transforms import FloatArray, Transform, Vector


@dataclass(frozen=True)
class Shown:
    """An image, and where in it lies what is at places of the reference."""

    image: OpenImage
    channel: int
    places: Callable[[FloatArray], FloatArray]
    """From points of the reference, shape ``(n, 3)``, to points of this image."""


@dataclass(frozen=True)
class State:
    """How reference and acquisition lie on each other."""

    title: str
    sides: tuple[Shown, Shown]


@dataclass(frozen=True)
class ShownPair:
    """A ROI in the reference, and the images that show it."""

    centre_um: Vector
    size_um: Vector
    pixel_um: float
    """Of full resolution."""

    states: tuple[State, ...]


def open_pair(
    one: RoiResult,
    rois: Sequence[RoiResult],
    registered: dict[ImageUrl, ImageUrl],
    images: dict[str, ImageUrl],
    tables: tuple[str, str],
) -> ShownPair:
    """Open what shows a ROI before and after.

    Args:
        one: The ROI of an acquisition.
        rois: All, the references among them.
        registered: Registered versions beside images.
        images: By their urls.
        tables: Registered ROI table, input ROI table.

    Raises:
        InvalidDataError: There is no reference, or an image cannot be read.
    """
    partner = _find_partner(one, rois)
    url, reference_url = images[one.zarr_url], images[partner.zarr_url]
    image, reference = open_image(url), open_image(reference_url)
    wavelength_id = _find_wavelength(image, tables)
    transform = _read_transform(image, one.roi, tables)
    centre_um = np.subtract(partner.centre_um or (0, 0, 0), reference.grid.origin_um)
    fixed = _show(reference, wavelength_id)
    states: list[State] = []
    if read_applied_record(url) is not None or transform is None:
        # Its pixels lie where the reference has them; back it is moved by the map.
        if transform is not None:
            back = _show(image, wavelength_id, transform.map_points)
            states.append(State("before: moved back by the transform", (fixed, back)))
        states.append(State("after", (fixed, _show(image, wavelength_id))))
    else:
        states.append(State("before", (fixed, _show(image, wavelength_id))))
        after = [registered.get(part) for part in (reference_url, url)]
        if after[0] is not None and after[1] is not None:
            sides = [_show(open_image(part), wavelength_id) for part in after if part]
            states.append(State("after", (sides[0], sides[1])))
        else:
            moved = _show(image, wavelength_id, transform.pull_points)
            states.append(State("after: moved by the transform", (fixed, moved)))
    z, y, x = centre_um.tolist()
    return ShownPair(
        (z, y, x),
        partner.size_um or (1.0, 1.0, 1.0),
        max(reference.spacing_um[1:]),
        tuple(states),
    )


def _find_partner(one: RoiResult, rois: Sequence[RoiResult]) -> RoiResult:
    """Find the ROI in the reference of the well."""
    references = [
        other
        for other in rois
        if other.status == "reference"
        and other.plate_url == one.plate_url
        and (other.well, other.roi) == (one.well, one.roi)
    ]
    if not references:
        raise InvalidDataError(
            f"{one.zarr_url}: ROI {one.roi!r} is in no reference of its well that was "
            "read. Name the plate, and not single images."
        )
    return references[0]


def _show(
    image: OpenImage,
    wavelength_id: str | None,
    places: Callable[[FloatArray], FloatArray] = lambda points: points,
) -> Shown:
    channel = 0 if wavelength_id is None else find_channel(image, wavelength_id)
    return Shown(image, channel, places)


def _find_wavelength(image: OpenImage, tables: tuple[str, str]) -> str | None:
    """Find by which channel an image was registered; None if nothing says it."""
    applied = read_applied_record(image.url)
    measured = applied.measured if applied else None
    measured = measured or read_table_record(image.url, tables[1])
    found = None if measured is None else measured.settings.get("wavelength_id")
    return found if isinstance(found, str) else None


def _read_transform(
    image: OpenImage, roi: str, tables: tuple[str, str]
) -> Transform | None:
    """Read what leads to the reference; None if that is not known."""
    registered, estimates = tables
    names = list_tables(image)
    if registered in names:
        rows = read_registered_rows(image, registered)
    elif estimates in names:
        rows = read_estimates(image, estimates)
    else:
        return None
    found = [row.candidates[0] for row in rows if row.key.roi == roi and row.candidates]
    return found[0].transform if found else None
