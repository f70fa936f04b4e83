"""One picture of overlays: a row per acquisition, with legend and scale bars."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fractal_tasks.report.panels import Panel

_GAP_PX = 16
_LINE_PX = 20
_BACKGROUND, _INK, _DIM = (24, 24, 27), (244, 244, 245), (161, 161, 170)
_GREEN, _MAGENTA = (0, 255, 0), (255, 0, 255)
_BAR_PX = 4


@dataclass(frozen=True)
class FigureRow:
    """The pictures of an acquisition."""

    title: str
    note: str
    panels: Sequence[Panel]


def draw_figure(title: str, rows: Sequence[FigureRow]) -> Image.Image:
    """Draw overlays side by side, a row below the other.

    Where reference and acquisition show the same, green and magenta add up to white.

    Args:
        title: What is shown.
        rows: All with pictures.
    """
    sizes = [[_size_of(panel, row.panels) for panel in row.panels] for row in rows]
    width = max(sum(w for _, w in row) + _GAP_PX * (len(row) + 1) for row in sizes)
    heights = [max(h for h, _ in row) + 3 * _LINE_PX + _GAP_PX for row in sizes]
    top = _GAP_PX + 3 * _LINE_PX
    canvas = Image.new("RGB", (width, top + sum(heights)), _BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    draw.text((_GAP_PX, _GAP_PX // 2), _plain(title), fill=_INK, font=_font(18))
    _draw_legend(draw, (_GAP_PX, _GAP_PX // 2 + _LINE_PX + 8))
    for row, row_sizes, height in zip(rows, sizes, heights, strict=True):
        _draw_row(canvas, row, row_sizes, top)
        top += height
    return canvas


def _draw_row(
    canvas: Image.Image, row: FigureRow, sizes: Sequence[tuple[int, int]], top: int
) -> None:
    draw = ImageDraw.Draw(canvas)
    draw.text((_GAP_PX, top), _plain(row.title), fill=_INK, font=_font(15))
    draw.text((_GAP_PX, top + _LINE_PX), _plain(row.note), fill=_DIM, font=_font(13))
    left, top = _GAP_PX, top + 2 * _LINE_PX
    for panel, (height, width) in zip(row.panels, sizes, strict=True):
        overlay = np.stack([panel.moving, panel.reference, panel.moving], axis=-1)
        picture = Image.fromarray(overlay).resize(
            (width, height), Image.Resampling.NEAREST
        )
        canvas.paste(picture, (left, top))
        _draw_bar(draw, panel, (left, top, width, height))
        draw.text((left, top + height + 3), panel.title, fill=_DIM, font=_font(13))
        left += width + _GAP_PX


def _draw_bar(
    draw: ImageDraw.ImageDraw, panel: Panel, box: tuple[int, int, int, int]
) -> None:
    """Draw a scale bar at the lower right, on black, as pixels may be white."""
    left, top, width, height = box
    length = round(panel.bar_um / panel.width_um * width)
    text, font = f"{panel.bar_um:g} um", _font(13)
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
        draw.text((left + 16, top), text, fill=_INK, font=_font(13))
        left += 16 + round(draw.textlength(text, font=_font(13))) + _GAP_PX


def _size_of(panel: Panel, panels: Sequence[Panel]) -> tuple[int, int]:
    """Give height and width: pixels are magnified by a whole factor to fit the rest."""
    tallest = max(one.reference.shape[0] for one in panels)
    height, width = panel.reference.shape
    factor = max(round(tallest / height), 1)
    return height * factor, width * factor


def _plain(text: str) -> str:
    """Write micrometres in letters that the font of pillow has."""
    return text.replace("µ", "u")


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)
