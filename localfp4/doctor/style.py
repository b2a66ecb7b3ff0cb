"""What marks and colours a report is written with, by what the console can show."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from localfp4.doctor.finding import Level

_SIGNS: Mapping[Level, str] = {"ok": "✓", "note": "·", "warning": "!", "problem": "✗"}
_PLAIN_SIGNS: Mapping[Level, str] = {"ok": "ok", "note": "--", "warning": "!!", "problem": "XX"}
_COLOURS: Mapping[Level, str] = {"ok": "32", "note": "36", "warning": "33", "problem": "31"}
"""Of SGR (ECMA-48): green, cyan, yellow, red, as the terminal's theme has them."""


@dataclass(frozen=True, slots=True)
class Style:
    """How a report is written.

    Attributes:
        signs: What stands before a finding of each level; all have one width.
        arrow: What stands before a remedy.
        has_colours: Whether colours and bold are used.
    """

    signs: Mapping[Level, str] = field(default_factory=lambda: _SIGNS)
    arrow: str = "→"
    has_colours: bool = False

    def sign(self, level: Level) -> str:
        """Return the mark of a level."""
        return self._in(_COLOURS[level], self.signs[level])

    def heading(self, text: str) -> str:
        """Return a heading."""
        return self._in("1", text)

    def aside(self, text: str) -> str:
        """Return what is less important."""
        return self._in("2", text)

    def command(self, text: str) -> str:
        """Return a command to be copied."""
        return self._in("1", text)

    def _in(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.has_colours and text else text


def style_for(encoding: str, *, has_colours: bool) -> Style:
    """Return the style of a console that writes text in ``encoding``."""
    try:
        "✓·✗→".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return Style(_PLAIN_SIGNS, "->", has_colours)
    return Style(has_colours=has_colours)
