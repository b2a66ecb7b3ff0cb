"""Marks characters that a user wrote, so that they are known again in a rendered prompt.

Each character of a chosen few is replaced by one of a private-use area, one for one. Templates may
trim, split, slice and join what they are given; lengths and white space stay, and every character
tells where it comes from.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_FIRST, _LAST = 0x100000, 0x10FFFD
"""Unicode's Supplementary Private Use Area B, which hardly any text uses."""


@dataclass(frozen=True, slots=True)
class MarkedText:
    """A text and where it came from.

    Attributes:
        text: As it reads.
        places: The places in it of marked characters.
    """

    text: str
    places: frozenset[int]


class Marking:
    """A choice of private-use characters that occur in none of the texts at hand."""

    def __init__(self, characters: Iterable[str], texts: Any) -> None:
        """Choose.

        Args:
            characters: What to mark.
            texts: JSON-like values, the keys of dicts included, in which the choice must not
                occur.
        """
        marked = sorted(set(characters))
        taken = set[str]().union(*map(set, strings_in(texts)))
        free = (chr(code) for code in range(_FIRST, _LAST + 1) if chr(code) not in taken)
        self._to_mark = {ord(char): mark for char, mark in zip(marked, free, strict=False)}
        self._from_mark = {ord(mark): char for char, mark in self._to_mark.items()}
        self._any_mark = re.compile("|".join(self._to_mark.values()) or "(?!)")

    def mark(self, value: Any) -> Any:
        """Return a copy of a JSON-like value with the characters marked in every string."""
        match value:
            case str():
                return value.translate(self._to_mark)
            case dict():
                return {self.mark(key): self.mark(item) for key, item in value.items()}
            case list():
                return [self.mark(item) for item in value]
        return value

    def unmark(self, text: str) -> MarkedText:
        """Return a text as it reads, and where it was marked."""
        places = frozenset(match.start() for match in self._any_mark.finditer(text))
        return MarkedText(text.translate(self._from_mark), places)


def strings_in(value: Any) -> Iterable[str]:
    """Yield every string of a JSON-like value, the keys of dicts included."""
    match value:
        case str():
            yield value
        case dict():
            for key, item in value.items():
                yield from strings_in(key)
                yield from strings_in(item)
        case list() | tuple():
            for item in value:
                yield from strings_in(item)
