"""Makes text from models, files and titles safe to show on a terminal.

Everything that could move the cursor, change a title or the clipboard, or reverse what is read
is taken out. Markup that a widget may interpret is not its business.
"""

import re

_BIDI_CONTROLS = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_PLAIN = re.compile(f"[^\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff{_BIDI_CONTROLS}]*")

_GROUND, _ESCAPE, _ESCAPE_TAIL, _CONTROL, _STRING = range(5)
"""Outside; after ESC; after ESC and intermediates; in a CSI; in an OSC, DCS, SOS, PM or APC."""

_SEVEN_BIT = {"[": _CONTROL} | dict.fromkeys("]PX^_", _STRING)
_EIGHT_BIT = {"\x9b": _CONTROL} | dict.fromkeys("\x9d\x90\x98\x9e\x9f", _STRING)
_STRING_ENDS = "\x07\x18\x1a\x9c"
"""BEL, CAN, SUB and ST; the other spelling of ST begins with ESC, which ends anything."""

_LONGEST_SEQUENCE = 4096
"""Characters after which a sequence counts as unterminated and the text goes on."""


class TerminalSanitizer:
    """Strips text that arrives in pieces, the same however it is cut.

    Removes C0 except newline and tab, DEL, C1, escape sequences as a whole, and bidirectional
    controls; surrogates become U+FFFD, since printing them fails. Takes linear time and holds
    no text back.
    """

    def __init__(self) -> None:
        self._state = _GROUND
        self._length = 0

    def add(self, text: str) -> str:
        """Return what of ``text`` may be shown."""
        kept = []
        position = 0
        while position < len(text):
            if self._state == _GROUND and (plain := _PLAIN.match(text, position)):
                kept.append(plain[0])
                position = plain.end()
            if position < len(text):
                kept.append(self._consume(text[position]))
                position += 1
        return "".join(kept)

    def flush(self) -> str:
        """Forget a sequence that was begun; nothing is held back, so this is always empty."""
        self._state = _GROUND
        return ""

    def _consume(self, char: str) -> str:
        """Go on by one character and return it if it is to be shown."""
        self._length += 1
        if char == "\x1b":
            self._begin(_ESCAPE)
        elif self._state == _STRING:
            self._go_on(char not in _STRING_ENDS)
        elif self._state == _CONTROL and "\x20" <= char <= "\x7e":
            self._go_on(char < "\x40")
        elif self._state == _ESCAPE and char in _SEVEN_BIT:
            self._begin(_SEVEN_BIT[char])
        elif self._state in (_ESCAPE, _ESCAPE_TAIL) and "\x20" <= char <= "\x7e":
            self._state = _ESCAPE_TAIL
            self._go_on(char < "\x30")
        else:
            return self._in_ground(char)
        return ""

    def _in_ground(self, char: str) -> str:
        self._begin(_EIGHT_BIT.get(char, _GROUND))
        if "\ud800" <= char <= "\udfff":
            return "\ufffd"
        return char if _PLAIN.fullmatch(char) else ""

    def _begin(self, state: int) -> None:
        self._state = state
        self._length = 0

    def _go_on(self, unfinished: bool) -> None:
        if not unfinished or self._length >= _LONGEST_SEQUENCE:
            self._state = _GROUND


def sanitize(text: str) -> str:
    """Return what of a whole text may be shown on a terminal; see :class:`TerminalSanitizer`."""
    return TerminalSanitizer().add(text)
