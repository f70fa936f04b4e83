"""Overlays of a well as one picture: a row per acquisition."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fractal_tasks.report.pairs import Pair
from fractal_tasks.report.panels import Sizes, draw_panels
from fractal_tasks.storage.plate.wells import is_in_plate, read_acquisition

if TYPE_CHECKING:
    from PIL.Image import Image

_SIZES = Sizes(whole_px=400, crop_px=200)
"""Crops are drawn twice as large."""


def draw_pairs(pairs: Sequence[Pair], roi: str | None = None) -> "Image":
    """Draw overlays of acquisitions of one well, a row for each."""
    # Pillow is loaded by nothing else.
    from fractal_tasks.report.figure import FigureRow, draw_figure

    rows = []
    for pair in pairs:
        shown = pair.show(roi)
        number = read_acquisition(pair.image.url)
        name = pair.image.url.image_path if number is None else f"acquisition {number}"
        title = f"{name} on {pair.reference.url.seen_from(pair.image.url)}"
        note = "; ".join(filter(None, (_describe(pair, roi), shown.note)))
        rows.append(FigureRow(title, note, draw_panels(pair, shown, _SIZES)))
    first = pairs[0].image.url
    place = (
        f"{first.plate_url.rpartition('/')[2]}, {first.row}/{first.column}"
        if is_in_plate(first)
        else first.image_path
    )
    return draw_figure(place if roi is None else f"{place}, {roi}", rows)


def _describe(pair: Pair, roi: str | None) -> str:
    """Say what became of the ROIs that are shown."""
    rows = [pair.rows[roi]] if roi is not None else list(pair.rows.values())
    if roi is None:
        words = [row.status or "estimated" for row in rows if row.candidates]
        counts = {word: words.count(word) for word in dict.fromkeys(words)}
        return ", ".join(f"{count} {word}" for word, count in counts.items())
    (row,) = rows
    if not row.candidates:
        return ""
    _, y, x = row.displacement_um
    moved = f"{row.status or 'estimated'}; moved by y={y:+.2f}, x={x:+.2f} µm"
    return f"{moved}; {row.reason}" if row.reason else moved
