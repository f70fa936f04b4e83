"""One picture of overlays: a row per acquisition, with legend and scale bars."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from fractal_tasks.report.lettering import load_font, wrap
from fractal_tasks.report.panels import Panel

_GAP_PX = 16
_LINE_PX = 20
_BACKGROUND, _INK, _DIM = (24, 24, 27), (244, 244, 245), (161, 161, 170)
_GREEN, _MAGENTA = (0, 255, 0), (255, 0, 255)
_BAR_PX = 4
_NARROWEST_PX = 320
"""Has room for the legend."""

_NARROWEST_CAPTION_PX = 120


@dataclass(frozen=True)
class FigureRow:
    """The pictures of an acquisition."""

    title: str
    note: str
    panels: Sequence[Panel]


class _Text:
    """Lines of at most some width."""

    def __init__(
        self, text: str, width_px: int, size_px: int, fill: tuple[int, int, int]
    ) -> None:
        self._font, self._fill = load_font(size_px), fill
        self._lines = wrap(text, width_px, self._font)
        self.height_px = len(self._lines) * max(_LINE_PX, size_px + 6)

    def draw(self, draw: ImageDraw.ImageDraw, place: tuple[int, int]) -> None:
        left, top = place
        for line in self._lines:
            draw.text((left, top), line, fill=self._fill, font=self._font)
            top += self.height_px // len(self._lines)


def draw_figure(title: str, rows: Sequence[FigureRow]) -> Image.Image:
    """Draw overlays side by side, a row below the other.

    Where reference and acquisition show the same, green and magenta add up to white.

    Args:
        title: What is shown.
        rows: All with pictures.
    """
    inner = max(_NARROWEST_PX, *(_width_of(row) for row in rows))
    drawn = [_draw_row(row, inner) for row in rows]
    heading = _Text(title, inner, 18, _INK)
    top = heading.height_px + 2 * _GAP_PX + _LINE_PX
    height = top + sum(row.height + _GAP_PX for row in drawn)
    canvas = Image.new("RGB", (inner + 2 * _GAP_PX, height), _BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    heading.draw(draw, (_GAP_PX, _GAP_PX // 2))
    _draw_legend(draw, (_GAP_PX, _GAP_PX // 2 + heading.height_px + 8))
    for row in drawn:
        canvas.paste(row, (_GAP_PX, top))
        top += row.height + _GAP_PX
    return canvas


def _draw_row(row: FigureRow, width: int) -> Image.Image:
    """Draw a row; captions are as wide as what they stand below."""
    sizes = [_size_of(panel, row.panels) for panel in row.panels]
    title, note = _Text(row.title, width, 15, _INK), _Text(row.note, width, 13, _DIM)
    captions = [
        _Text(panel.title, _slot(wide), 13, _DIM)
        for panel, (_, wide) in zip(row.panels, sizes, strict=True)
    ]
    left, top = 0, title.height_px + note.height_px
    below = max(
        size[0] + 3 + caption.height_px
        for size, caption in zip(sizes, captions, strict=True)
    )
    canvas = Image.new("RGB", (width, top + below), _BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    title.draw(draw, (0, 0))
    note.draw(draw, (0, title.height_px))
    for panel, caption, size in zip(row.panels, captions, sizes, strict=True):
        overlay = np.stack([panel.moving, panel.reference, panel.moving], axis=-1)
        picture = Image.fromarray(overlay).resize(size[::-1], Image.Resampling.NEAREST)
        canvas.paste(picture, (left, top))
        _draw_bar(draw, panel, (left, top, *size[::-1]))
        caption.draw(draw, (left, top + size[0] + 3))
        left += _slot(size[1]) + _GAP_PX
    return canvas


def _width_of(row: FigureRow) -> int:
    slots = [_slot(_size_of(panel, row.panels)[1]) for panel in row.panels]
    return sum(slots) + _GAP_PX * (len(slots) - 1)


def _slot(width_px: int) -> int:
    """Give how wide a picture and its caption are together."""
    return max(width_px, _NARROWEST_CAPTION_PX)


def _draw_bar(
    draw: ImageDraw.ImageDraw, panel: Panel, box: tuple[int, int, int, int]
) -> None:
    """Draw a scale bar at the lower right, on black, as pixels may be white."""
    left, top, width, height = box
    length = round(panel.bar_um / panel.width_um * width)
    text, font = f"{panel.bar_um:g} µm", load_font(13)
    wide = max(length, round(draw.textlength(text, font=font)))
    right, bottom = left + width - 8, top + height - 8
    draw.rectangle((right - wide - 6, bottom - 24, right + 6, bottom + 6), fill="black")
    middle = right - wide / 2
    draw.rectangle(
        (middle - length / 2, bottom - _BAR_PX, middle + length / 2, bottom),
        fill=_INK,
    )
    draw.text((middle, bottom - 22), text, fill=_INK, font=font, anchor="ma")


def _draw_legend(draw: ImageDraw.ImageDraw, place: tuple[int, int]) -> None:
    left, top = place
    parts = (
        ("reference", _GREEN),
        ("acquisition", _MAGENTA),
        ("both alike", (255, 255, 255)),
    )
    for text, colour in parts:
        draw.rectangle((left, top + 3, left + 10, top + 13), fill=colour)
        draw.text((left + 16, top), text, fill=_INK, font=load_font(13))
        left += 16 + round(draw.textlength(text, font=load_font(13))) + _GAP_PX


def _size_of(panel: Panel, panels: Sequence[Panel]) -> tuple[int, int]:
    """Give height and width: pixels are magnified by a whole factor to fit the rest."""
    tallest = max(one.reference.shape[0] for one in panels)
    height, width = panel.reference.shape
    factor = max(round(tallest / height), 1)
    return height * factor, width * factor
