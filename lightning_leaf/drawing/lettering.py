"""Text in pictures, in the font of Pillow, which has no arrows, minus signs or fractions."""

from __future__ import annotations

from typing import Any

from PIL import ImageDraw, ImageFont

ARROW = "→"
_SUBSTITUTES = str.maketrans({"−": "-", "½": "1/2", "–": "-"})
ELLIPSIS = "…"

Colour = tuple[int, int, int]


def text_width(text: str, size: int) -> int:
    """Return the width of one line of text, in pixels.

    Args:
        text: The text.
        size: Size of the font, in pixels.
    """
    font: Any = ImageFont.load_default(size)
    pieces = text.translate(_SUBSTITUTES).split(ARROW)
    widths = [float(font.getlength(piece)) for piece in pieces]
    return round(sum(widths)) + size * (len(pieces) - 1)


def write_line(
    draw: ImageDraw.ImageDraw, left: float, top: float, text: str, size: int, colour: Colour
) -> None:
    """Write one line of text; arrows are drawn.

    Args:
        draw: What to draw on.
        left: Left edge of the text, in pixels.
        top: Upper edge of the text, in pixels.
        text: The text.
        size: Size of the font, in pixels.
        colour: Colour of the text.
    """
    font: Any = ImageFont.load_default(size)
    for i, piece in enumerate(text.translate(_SUBSTITUTES).split(ARROW)):
        if i:
            _draw_arrow(draw, left, top, size, colour)
            left += size
        draw.text((left, top), piece, colour, font)
        left += font.getlength(piece)


def _draw_arrow(
    draw: ImageDraw.ImageDraw, left: float, top: float, size: int, colour: Colour
) -> None:
    right, middle, head = left + size - 2, top + 0.62 * size, 0.25 * size
    draw.line([(left + 1, middle), (right, middle)], colour)
    for side in (-1, 1):
        draw.line([(right - head, middle + side * head), (right, middle)], colour)


def fitted(before: str, name: str, after: str, size: int, width: int) -> str:
    """Return ``before + name + after`` with the name shortened until the text fits.

    Args:
        before: Text in front of the name.
        name: The name.
        after: Text behind the name.
        size: Size of the font, in pixels.
        width: Largest width of the text, in pixels.

    Example:
        >>> fitted("p(", "3", ") = 0.39", 12, 96), fitted("p(", "automobile", ") = 0.39", 12, 96)
        ('p(3) = 0.39', 'p(auto…) = 0.39')
    """
    kept = name
    while len(kept) > 1 and text_width(before + kept + after, size) > width:
        kept = f"{kept.removesuffix(ELLIPSIS)[:-1]}{ELLIPSIS}" if len(kept) > 2 else ELLIPSIS
    return before + kept + after
