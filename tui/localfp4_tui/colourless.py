"""A screen without colours: bold, dim, underlined and reversed text in the terminal's own two."""

from functools import lru_cache

from rich.color import Color as RichColor
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter

REVERSED_FROM = 0.5
"""Brightness of a background, 0 to 1, from which on its text is shown reversed."""

DIMMED_BELOW = 0.75
"""Brightness of a text on a dark background below which it is shown dim."""


class Colourless(LineFilter):
    """Puts attributes in the place of colours, for the theme that is white on black."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """Return the segments of a line without any colour."""
        return [
            Segment(text, None if style is None else _without_colour(style), control)
            for text, style, control in segments
        ]


@lru_cache(1024)
def _without_colour(style: Style) -> Style:
    is_reversed = style.bgcolor is not None and _brightness(style.bgcolor) >= REVERSED_FROM
    is_dim = not is_reversed and style.color is not None and _brightness(style.color) < DIMMED_BELOW
    return Style(
        bold=style.bold,
        italic=style.italic,
        underline=style.underline,
        strike=style.strike,
        reverse=is_reversed != bool(style.reverse),
        dim=is_dim,
        meta=style.meta,
    )


def _brightness(color: RichColor) -> float:
    return Color.from_rich_color(color).brightness
