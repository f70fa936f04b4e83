"""The picture of overlays, by the colours of single pixels."""

import numpy as np

from fractal_tasks.report.figure import FigureRow, draw_figure
from fractal_tasks.report.lettering import load_font, wrap, write_plainly
from fractal_tasks.report.panels import Panel

WHITE, GREEN, MAGENTA, BLACK = (255,) * 3, (0, 255, 0), (255, 0, 255), (0, 0, 0)


def square(x: int, size_px: int = 80) -> np.ndarray:
    """A black picture with a bright square."""
    picture = np.zeros((size_px, size_px), np.uint8)
    picture[10:24, x : x + 14] = 255
    return picture


def panel(size_px: int = 80) -> Panel:
    return Panel("before", square(10, size_px), square(17, size_px), float(size_px))


def test_what_both_show_is_white_and_the_rest_green_or_magenta() -> None:
    picture = draw_figure("well", [FigureRow("acquisition 1", "", [panel()])])
    pixels = np.asarray(picture)
    top, left = np.argwhere((pixels == WHITE).all(axis=2) & _has_neighbours(pixels))[0]
    found = {
        "reference only": tuple(pixels[top + 3, left - 3]),
        "both": tuple(pixels[top + 3, left + 3]),
        "acquisition only": tuple(pixels[top + 3, left + 9]),
        "neither": tuple(pixels[top + 3, left + 20]),
    }
    assert found == {
        "reference only": GREEN,
        "both": WHITE,
        "acquisition only": MAGENTA,
        "neither": BLACK,
    }


def _has_neighbours(pixels: np.ndarray) -> np.ndarray:
    """Which pixels have a green one at their left, as in pictures and in no text."""
    left = np.roll(pixels, 1, axis=1)
    return np.asarray((left == GREEN).all(axis=2))


def test_crops_are_magnified_to_the_height_of_the_whole() -> None:
    whole = draw_figure("well", [FigureRow("1", "", [panel(), panel()])])
    crop = draw_figure("well", [FigureRow("1", "", [panel(), panel(40)])])
    assert crop.size == whole.size


def test_scale_bars_are_round_and_at_most_a_quarter() -> None:
    found = [panel(size).bar_um for size in (40, 79, 80, 400, 1000)]
    assert found == [10, 10, 20, 100, 200]


def test_rows_stand_below_each_other_and_names_are_drawn_as_they_are() -> None:
    row = FigureRow("</b>", "moved by 3 µm", [panel()])
    one, two = (draw_figure("a <b>", [row] * count) for count in (1, 2))
    assert two.width == one.width
    assert two.height > one.height + 80


def test_captions_break_between_words_and_keep_to_the_width_of_a_picture() -> None:
    font = load_font(13)
    lines = wrap("before: moved back by the transform, " + "x" * 90, 120, font)
    assert len(lines) > 3
    assert all(font.getlength(line.rstrip()) <= 120 for line in lines)
    assert "".join(lines) == "before: moved back by the transform, " + "x" * 90
    assert lines[0].rstrip() in {"before: moved", "before: moved back"}


def test_letters_with_accents_are_drawn_and_what_the_font_lacks_is_escaped() -> None:
    drawn = "Zellkörper é ő ß 5 µm λ Ж"
    assert write_plainly(drawn) == drawn
    assert write_plainly("e\N{COMBINING ACUTE ACCENT}") == "é"
    assert write_plainly("FOV \u7d30\n") == r"FOV \u7d30\n"
    marks = [bytes(load_font(20).getmask(one)) for one in "eéèëê"]
    assert len(set(marks)) == len(marks)
