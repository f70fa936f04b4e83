"""Pictures of ROIs: the reference and the acquisition, before and after registration.

The whole first, then the part with most edges at full resolution, then, where there are
labels, their outlines there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from fractal_tasks.report.contrast import Contrast, Grey, find_contrast
from fractal_tasks.report.pairs import Pair, Shown, ShownPair, State
from fractal_tasks.report.sampling import Frame, Picture, sample, sample_label

Mask = npt.NDArray[np.bool_]

_SMALLEST_CROP_PX = 16

_DIMMED = 2
"""Pixels below outlines are darker by this factor."""


@dataclass(frozen=True)
class Panel:
    """A picture of the reference, and one of the acquisition to lay over it."""

    title: str
    reference: Grey
    moving: Grey
    width_um: float

    @property
    def bar_um(self) -> float:
        """Length of a scale bar: 1, 2 or 5 times a power of ten."""
        quarter = self.width_um / 4
        power = 10 ** np.floor(np.log10(quarter))
        return float(max(step for step in (1, 2, 5) if step * power <= quarter) * power)


@dataclass(frozen=True)
class Sizes:
    """Longer sides of pictures, in pixels."""

    whole_px: int
    crop_px: int
    """Of full resolution."""


def draw_panels(pair: Pair, shown: ShownPair, sizes: Sizes) -> list[Panel]:
    """Draw ROIs, and a part of them at full resolution.

    Args:
        pair: Has the labels.
        shown: The ROIs.
        sizes: Of the pictures.

    Raises:
        InvalidDataError: Pixels cannot be read.
    """
    size_um = np.subtract(*shown.box_um[::-1])[1:]
    centre_um = shown.box_um.mean(axis=0)
    pixel_um = float(size_um.max()) / sizes.whole_px
    size_px = np.maximum(np.ceil(size_um / pixel_um - 1e-6), 1).astype(int)
    whole = _make_frame(shown, centre_um[1:].tolist(), pixel_um, size_px.tolist())
    pictures = [_sample_both(state, whole) for state in shown.states]
    contrasts = [
        find_contrast(side.image, side.channel, picture)
        for side, picture in zip(shown.states[0].sides, pictures[0], strict=True)
    ]
    place = _find_structure(*pictures[-1], whole)
    limit = np.maximum(np.round(size_um / shown.pixel_um), _SMALLEST_CROP_PX)
    crop_px = np.minimum(limit, sizes.crop_px).astype(int).tolist()
    crop_um = [size * shown.pixel_um for size in crop_px]
    known = np.logical_and(*map(np.isfinite, pictures[-1]))
    centre = move_inwards(place, crop_um, known, whole)
    crop = _make_frame(shown, centre, shown.pixel_um, crop_px)
    panels = [
        _make_panel(state.title, both, contrasts, whole)
        for state, both in zip(shown.states, pictures, strict=True)
    ]
    for state in shown.states:
        both = _sample_both(state, crop)
        title = f"{state.title}, full resolution"
        panels.append(_make_panel(title, both, contrasts, crop))
    return [*panels, *_draw_outlines(pair, shown.states[-1], panels[-1], crop)]


def _make_frame(
    shown: ShownPair,
    centre_um: Sequence[float],
    pixel_um: float,
    size_px: Sequence[int],
) -> Frame:
    y, x = (
        place - size * pixel_um / 2
        for place, size in zip(centre_um, size_px, strict=True)
    )
    first, last = shown.box_um[:, 0].tolist()
    height, width = size_px
    return Frame((y, x), pixel_um, (height, width), (first + last) / 2, last - first)


def _sample_both(state: State, frame: Frame) -> tuple[Picture, Picture]:
    reference, moving = (_sample_one(side, frame) for side in state.sides)
    return reference, moving


def _sample_one(side: Shown, frame: Frame) -> Picture:
    return sample(side.image, side.channel, side.places(frame.points_um()), frame)


def _make_panel(
    title: str,
    pictures: tuple[Picture, Picture],
    contrasts: Sequence[Contrast],
    frame: Frame,
) -> Panel:
    reference, moving = (
        contrast.apply(picture)
        for contrast, picture in zip(contrasts, pictures, strict=True)
    )
    return Panel(title, reference, moving, frame.width_um)


def _find_structure(
    reference: Picture, moving: Picture, frame: Frame
) -> tuple[float, float]:
    """Give the place (y, x in um) about which both have most edges, off the border."""
    edges = [_find_edges(picture) for picture in (reference, moving)]
    both = np.sqrt(edges[0] * edges[1])
    window = min(40, *(max(size // 4, 1) for size in frame.size_px))
    inner = scipy.ndimage.uniform_filter(both, size=window)[
        window:-window, window:-window
    ]
    y, x = np.unravel_index(int(inner.argmax()), inner.shape)
    return (
        frame.start_um[0] + (int(y) + window + 0.5) * frame.pixel_um,
        frame.start_um[1] + (int(x) + window + 0.5) * frame.pixel_um,
    )


def move_inwards(
    centre_um: Sequence[float], size_um: Sequence[float], known: Mask, frame: Frame
) -> list[float]:
    """Move the centre of a crop so that it does not leave what is known in a frame."""
    moved = []
    for axis in (0, 1):
        there = np.flatnonzero(known.any(axis=1 - axis) | ~known.any())
        first = frame.start_um[axis] + there[0] * frame.pixel_um
        last = frame.start_um[axis] + (there[-1] + 1) * frame.pixel_um
        half = min(size_um[axis], last - first) / 2
        moved.append(float(np.clip(centre_um[axis], first + half, last - half)))
    return moved


def _find_edges(picture: Picture) -> Picture:
    known = np.isfinite(picture)
    filled = np.nan_to_num(picture)
    # The border of what is known is no edge of what is shown.
    inside = scipy.ndimage.uniform_filter(known.astype(np.float32), size=7) > 0.999
    return np.asarray(
        scipy.ndimage.gaussian_gradient_magnitude(filled, 1.0) * inside, np.float32
    )


def _draw_outlines(
    pair: Pair, state: State, below: Panel, frame: Frame
) -> Iterator[Panel]:
    """Draw the outlines of labels over darker pixels, if there are labels."""
    names = pair.labels
    if not any(names):
        return
    reference, moving = (
        grey // _DIMMED if name is None else _outline(side, name, grey, frame)
        for side, name, grey in zip(
            state.sides, names, (below.reference, below.moving), strict=True
        )
    )
    shown = " and ".join(dict.fromkeys(repr(name) for name in names if name))
    yield Panel(f"outlines of {shown}", reference, moving, frame.width_um)


def _outline(side: Shown, name: str, grey: Grey, frame: Frame) -> Grey:
    ids = sample_label(side.image, name, side.places(frame.points_um()), frame)
    ids = np.nan_to_num(ids)
    edge = np.zeros(ids.shape, dtype=bool)
    edge[:-1] |= ids[:-1] != ids[1:]
    edge[:, :-1] |= ids[:, :-1] != ids[:, 1:]
    return np.where(edge, np.uint8(255), grey // np.uint8(_DIMMED))
