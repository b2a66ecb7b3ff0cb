"""A line of text around what a search has found, and where in it the words stand."""

import re
from collections.abc import Iterable

FOUND_OPENS, FOUND_CLOSES = "\ufdd0", "\ufdd1"
"""Code points that stand for no character: they mark what the index has found."""

_MARKS = re.compile(f"[{FOUND_OPENS}{FOUND_CLOSES}]")
UNSEEN = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""What a terminal must not get; without it, sanitising a line leaves its positions right."""

_BEFORE, _LENGTH = 40, 160
"""Characters shown before the first word, and altogether."""

Excerpt = tuple[str, tuple[tuple[int, int], ...]]


def marked_excerpt(snippet: str) -> Excerpt:
    """Return the text of a snippet of the index as one line, and where its marks stood."""
    parts = _MARKS.split(one_line(snippet))
    line, found = "", []
    for number, part in enumerate(parts):
        if number % 2 and part:
            found.append((len(line), len(line) + len(part)))
        line += part
    return line, tuple(found)


def plain_excerpt(text: str, words: Iterable[str]) -> Excerpt:
    """Return a line of ``text`` around the first of some words, and where they stand in it."""
    any_word = re.compile("|".join(re.escape(word) for word in words), re.IGNORECASE)
    first = any_word.search(text)
    at = first.start() if first else 0
    start, end = max(at - _BEFORE, 0), max(at - _BEFORE, 0) + _LENGTH
    line = "…" * (start > 0) + one_line(text[start:end]) + "…" * (end < len(text))
    return line, tuple(match.span() for match in any_word.finditer(line))


def one_line(text: str) -> str:
    """Return text without control characters, each run of space a blank."""
    return " ".join(UNSEEN.sub("", text).split())
