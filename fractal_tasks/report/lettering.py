"""Text of pictures: in letters that the font has, and in lines."""

import re
import unicodedata
from functools import cache
from pathlib import Path

from PIL import ImageFont

# That of pillow has no µ and no accents.
_FONT = Path(__file__).parent / "fonts" / "DejaVuSans.ttf"
"""DejaVu Sans 2.37 as it was released: Latin, Greek, Cyrillic and more (ADR 0017)."""


@cache
def load_font(size_px: int) -> ImageFont.FreeTypeFont:
    """Load the font of all pictures."""
    # Letter by letter: the engine for other scripts refuses some of what names hold.
    basic = ImageFont.Layout.BASIC
    return ImageFont.truetype(_FONT, size_px, layout_engine=basic)


def write_plainly(text: str) -> str:
    r"""Write what the font lacks as Python escapes it.

    Example:
        >>> write_plainly("A \u7d30")
        'A \\u7d30'
    """
    whole = unicodedata.normalize("NFC", text)
    return "".join(one if _has_letter(one) else _escape(one) for one in whole)


def wrap(text: str, width_px: float, font: ImageFont.FreeTypeFont) -> list[str]:
    """Break text into lines, within a word only where it is wider than a line."""
    lines = [""]
    for word in re.findall(r"\S*\s*", write_plainly(text)):
        if lines[-1] and font.getlength(lines[-1] + word.rstrip()) > width_px:
            lines.append("")
        for letter in word:
            if not letter.isspace() and font.getlength(lines[-1] + letter) > width_px:
                lines.append("")
            lines[-1] += letter
    return lines


@cache
def _has_letter(letter: str) -> bool:
    """Tell whether a letter is drawn as itself, and not as the box of what is not."""
    if not letter.isprintable():
        return False
    shape, box = (load_font(20).getmask(one) for one in (letter, "\uffff"))
    return shape.size != box.size or bytes(shape) != bytes(box)


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape").decode()
