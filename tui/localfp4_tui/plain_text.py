"""Text from outside the program as plain text; or the finding that it is none."""

import re

from localfp4.text.sanitize import sanitize

MOST_UNPRINTABLE = 0.1
"""Share of characters that no text has, above which it is taken for binary data."""

_LINE_END = re.compile("\r\n?")
_UNPRINTABLE = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x9f\ud800-\udfff\ufffd-\uffff]")


def is_binary(text: str) -> bool:
    """Say whether characters are the bytes of something else than text.

    ESC does not count, as it is what the colours of a terminal are made of.
    """
    return "\x00" in text or len(_UNPRINTABLE.findall(text)) > MOST_UNPRINTABLE * len(text)


def plain(text: str) -> str:
    """Return text without control characters, its lines ended by line feeds.

    Terminals send the line ends of what is pasted as carriage returns.
    """
    return sanitize(_LINE_END.sub("\n", text))
