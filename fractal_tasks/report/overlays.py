"""Overlays of ROIs before and after registration, as pictures within a page."""

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_gradient_magnitude, uniform_filter

from fractal_tasks.errors import FractalTasksError
from fractal_tasks.qc.usability import PlateVerdict
from fractal_tasks.report.columns import place_of
from fractal_tasks.report.pairs import ShownPair, open_pair
from fractal_tasks.report.results import RoiResult
from fractal_tasks.report.sampling import Frame, Picture, sample
from fractal_tasks.storage.urls import ImageUrl

_SIZE_PX = 240
"""Side of a picture."""

_CROP_PX = 120
"""Side of the part at full resolution, drawn twice as large: one pixel is seen."""

_QUALITY = 80


@dataclass(frozen=True)
class View:
    """A picture of the reference, and one of the acquisition to lay over it."""

    title: str
    reference: str
    """As data url."""

    moving: str
    bar_percent: float
    """Length of the scale bar, in percent of the width."""

    bar_text: str


@dataclass(frozen=True)
class Overlay:
    """A ROI before and after registration."""

    name: str
    why: str
    """Why it is shown."""

    views: tuple[View, ...]

    @property
    def size_bytes(self) -> int:
        """How much of the page it takes."""
        return sum(len(one.reference) + len(one.moving) for one in self.views)


@dataclass(frozen=True)
class Budget:
    """How much of a page overlays may take."""

    rois: int = 60
    """Number of ROIs."""

    megabytes: float = 6.0
    """Of all pictures together."""


def make_overlays(
    rois: Sequence[RoiResult],
    verdict: PlateVerdict,
    registered: dict[ImageUrl, ImageUrl],
    images: dict[str, ImageUrl],
    tables: tuple[str, str],
    budget: Budget,
    failures: dict[str, str],
) -> list[Overlay]:
    """Make overlays of flagged ROIs, worst first, then the worst, median and best.

    Args:
        rois: What became of all.
        verdict: Which are flagged.
        registered: Registered versions beside images.
        images: By their urls.
        tables: Registered ROI table, input ROI table.
        budget: How much they may take.
        failures: Gets what is wrong, by the url of each image that cannot be shown.
    """
    made: list[Overlay] = []
    size = 0.0
    for index, why in choose_rois(rois, verdict):
        if len(made) >= budget.rois:
            break
        one = rois[index]
        if one.zarr_url in failures:
            continue
        try:
            pair = open_pair(one, rois, registered, images, tables)
            overlay = draw_overlay(pair, one, why)
        except FractalTasksError as error:
            failures[one.zarr_url] = f"No overlay: {error}"
            continue
        size += overlay.size_bytes / 1e6
        if size > budget.megabytes:
            break
        made.append(overlay)
    return made


def choose_rois(
    rois: Sequence[RoiResult], verdict: PlateVerdict
) -> list[tuple[int, str]]:
    """Choose what is shown, each once: index, and why."""
    known = [
        (one.error_px, index)
        for index, one in enumerate(rois)
        if one.error_px is not None and one.status != "reference"
    ]
    by_error = [index for _, index in sorted(known)]
    chosen = {flag.index: flag.reason for flag in verdict.look_at}
    if by_error:
        for why, index in (
            ("largest standard error", by_error[-1]),
            ("median standard error", by_error[len(by_error) // 2]),
            ("smallest standard error", by_error[0]),
        ):
            text = f"{why} of the plate, {rois[index].error_px:.2f} px"
            chosen.setdefault(index, text)
    return list(chosen.items())


def draw_overlay(pair: ShownPair, one: RoiResult, why: str) -> Overlay:
    """Draw the whole ROI and a part of it at full resolution.

    Raises:
        InvalidDataError: Pixels cannot be read.
    """
    size_um = max(pair.size_um[1:])
    whole = _make_frame(pair, pair.centre_um[1:], size_um / _SIZE_PX, _SIZE_PX)
    pictures = list(_sample_all(pair, whole))
    place = _find_structure(pictures[0][1], whole)
    crop_px = min(_CROP_PX, max(16, round(size_um / pair.pixel_um)))
    crop = _make_frame(pair, place, pair.pixel_um, crop_px)
    views = [
        _make_view(title, reference, moving, whole)
        for title, reference, moving in pictures
    ]
    views += [
        _make_view(f"{title}, full resolution", reference, moving, crop)
        for title, reference, moving in _sample_all(pair, crop)
    ]
    name = f"{place_of(one)}, acquisition {one.acquisition}, {one.roi}"
    return Overlay(name, f"{one.status or 'estimated'}; {why}", tuple(views))


def _make_frame(
    pair: ShownPair, centre_um: Sequence[float], pixel_um: float, size_px: int
) -> Frame:
    y, x = (place - size_px * pixel_um / 2 for place in centre_um)
    return Frame((y, x), pixel_um, (size_px, size_px), pair.centre_um[0])


def _sample_all(
    pair: ShownPair, frame: Frame
) -> Iterator[tuple[str, Picture, Picture]]:
    for state in pair.states:
        reference, moving = state.sides
        points = frame.points_um()
        yield (
            state.title,
            sample(reference.image, reference.channel, reference.places(points), frame),
            sample(moving.image, moving.channel, moving.places(points), frame),
        )


def _find_structure(reference: Picture, frame: Frame) -> tuple[float, float]:
    """Give the place (y, x in um) about which most edges are, away from the border."""
    filled = np.nan_to_num(reference)
    edges = uniform_filter(gaussian_gradient_magnitude(filled, 1.0), size=40)
    inner = edges[40:-40, 40:-40]
    y, x = np.unravel_index(int(inner.argmax()), inner.shape)
    return (
        frame.start_um[0] + (int(y) + 40.5) * frame.pixel_um,
        frame.start_um[1] + (int(x) + 40.5) * frame.pixel_um,
    )


def _make_view(title: str, reference: Picture, moving: Picture, frame: Frame) -> View:
    bar_um = _round_down(frame.width_um / 4)
    return View(
        title=title,
        reference=_encode(reference, (0, 1, 0)),
        moving=_encode(moving, (1, 0, 1)),
        bar_percent=100 * bar_um / frame.width_um,
        bar_text=f"{bar_um:g} µm",
    )


def _encode(picture: Picture, colour: tuple[int, int, int]) -> str:
    """Give a picture in shades of a colour as a data url; unknown pixels are black."""
    # Registered images are 0 where they show nothing.
    known = picture[np.isfinite(picture) & (picture != 0)]
    low, high = np.percentile(known, (1, 99.8)) if known.size else (0.0, 1.0)
    scaled = (np.nan_to_num(picture, nan=low) - low) / max(float(high - low), 1e-6)
    grey = (np.clip(scaled, 0, 1) * 255).astype(np.uint8)
    pixels = np.stack([grey * part for part in colour], axis=-1).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=_QUALITY, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def _round_down(length: float) -> float:
    power = 10 ** np.floor(np.log10(length))
    return float(max(step for step in (1, 2, 5) if step * power <= length) * power)
