"""Overlays of ROIs before and after registration, as pictures within a page."""

import base64
import io
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from fractal_tasks.errors import FractalTasksError
from fractal_tasks.model.settings import DEFAULT_REGISTERED_TABLE, DEFAULT_ROI_TABLE
from fractal_tasks.qc.usability import PlateVerdict
from fractal_tasks.report.columns import place_of
from fractal_tasks.report.contrast import Grey
from fractal_tasks.report.open_pair import open_pair
from fractal_tasks.report.pairs import Pair, Tables
from fractal_tasks.report.panels import Panel, Sizes, draw_panels
from fractal_tasks.report.results import RoiResult
from fractal_tasks.storage.urls import ImageUrl

_SIZES = Sizes(whole_px=240, crop_px=120)
"""Crops are drawn twice as large: one pixel is seen."""

_QUALITY = 80

_MAX_LISTED = 1000
"""More commands nobody runs."""


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


@dataclass(frozen=True)
class Drawn:
    """The overlays of a page."""

    overlays: list[Overlay] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    """Commands that draw what the budget left out, worst first."""

    is_untold: bool = False
    """Whether nothing tells how any of the images was moved."""


def make_overlays(
    rois: Sequence[RoiResult],
    verdict: PlateVerdict,
    registered: dict[ImageUrl, ImageUrl],
    images: dict[str, ImageUrl],
    tables: Tables,
    budget: Budget,
    failures: dict[str, str],
) -> Drawn:
    """Make overlays of flagged ROIs, worst first, then the worst, median and best.

    Args:
        rois: What became of all.
        verdict: Which are flagged.
        registered: Registered versions beside images.
        images: By their urls.
        tables: They say how ROIs moved.
        budget: How much they may take.
        failures: Gets what is wrong, by the url of each image that cannot be shown.
    """
    chosen = choose_rois(rois, verdict)
    is_moved = any(one.status != "reference" for one in rois)
    drawn = Drawn(is_untold=is_moved and not chosen)
    pairs: dict[str, Pair | None] = {}
    size, is_full = 0.0, False
    for index, why in chosen:
        one = rois[index]
        is_full = is_full or len(drawn.overlays) >= budget.rois
        if is_full and len(drawn.others) < _MAX_LISTED:
            drawn.others.append(write_show_command(one, tables))
        if is_full or one.zarr_url in failures:
            continue
        try:
            if one.zarr_url not in pairs:
                url = images[one.zarr_url]
                pairs[one.zarr_url] = open_pair(url, registered, tables)
            pair = pairs[one.zarr_url]
            if pair is None:
                continue
            overlay = draw_overlay(pair, one, why)
        except FractalTasksError as error:
            failures[one.zarr_url] = f"No overlay: {error}"
            continue
        size += overlay.size_bytes / 1e6
        is_full = size > budget.megabytes
        if is_full:
            drawn.others.append(write_show_command(one, tables))
        else:
            drawn.overlays.append(overlay)
    return drawn


def write_show_command(one: RoiResult, tables: Tables) -> str:
    """Write the command line that draws the overlay of a ROI."""
    words = ["fractal-tasks", "show", one.zarr_url, "--roi", one.roi]
    if tables.registered != DEFAULT_REGISTERED_TABLE:
        words += ["--registered-roi-table", tables.registered]
    if tables.estimates != DEFAULT_ROI_TABLE:
        words += ["--input-roi-table", tables.estimates]
    return shlex.join(words)


def choose_rois(
    rois: Sequence[RoiResult], verdict: PlateVerdict
) -> list[tuple[int, str]]:
    """Choose what is shown, each once: index, and why.

    Other packages store no standard errors: then shifts tell what is worst.
    """
    moved = [i for i, one in enumerate(rois) if one.status != "reference"]
    known = [(rois[i].error_px, i) for i in moved if rois[i].error_px is not None]
    what, unit = "standard error", "px"
    if not known:
        shifts = [(rois[i].shift_um, i) for i in moved]
        known = [(float(np.linalg.norm(one)), i) for one, i in shifts if one]
        what, unit = "shift", "µm"
    ranks = sorted(known)
    chosen = {flag.index: flag.reason for flag in verdict.look_at}
    if ranks:
        for why, (value, index) in (
            ("largest", ranks[-1]),
            ("median", ranks[len(ranks) // 2]),
            ("smallest", ranks[0]),
        ):
            chosen.setdefault(index, f"{why} {what} of the plate, {value:.2f} {unit}")
    return list(chosen.items())


def draw_overlay(pair: Pair, one: RoiResult, why: str) -> Overlay:
    """Draw the whole ROI and a part of it at full resolution.

    Raises:
        InvalidDataError: Pixels cannot be read.
    """
    shown = pair.show(one.roi)
    name = f"{place_of(one)}, acquisition {one.acquisition}, {one.roi}"
    words = [one.status or "estimated", why, *([shown.note] if shown.note else [])]
    views = map(_encode_panel, draw_panels(pair, shown, _SIZES))
    return Overlay(name, "; ".join(words), tuple(views))


def _encode_panel(panel: Panel) -> View:
    return View(
        title=panel.title,
        reference=_encode(panel.reference, (0, 1, 0)),
        moving=_encode(panel.moving, (1, 0, 1)),
        bar_percent=100 * panel.bar_um / panel.width_um,
        bar_text=f"{panel.bar_um:g} µm",
    )


def _encode(grey: Grey, colour: tuple[int, int, int]) -> str:
    """Give a picture in shades of a colour as a data url."""
    pixels = np.stack([grey * part for part in colour], axis=-1).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=_QUALITY, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
