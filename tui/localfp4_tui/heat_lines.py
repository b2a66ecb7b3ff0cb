"""Tokens laid out as lines, so that each place on the screen is known to be of one; no widgets."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.cells import cell_len

LINE_BREAK = "↵"
"""Shown where a token breaks the line."""
_TAB = "    "
_WORD = re.compile(r"\S+[^\S\n]*|[^\S\n]+|\n")

_Cell = tuple[str, int]
"""A character and the number of its token."""


@dataclass(frozen=True, slots=True)
class Part:
    """What stands of a token in a line.

    Attributes:
        number: The token.
        text: What is shown of it.
        column: Where it begins.
    """

    number: int
    text: str
    column: int

    @property
    def end(self) -> int:
        """Where the next one begins."""
        return self.column + cell_len(self.text)


@dataclass(frozen=True, slots=True)
class HeatLine:
    """One line."""

    parts: tuple[Part, ...]

    def number_at(self, column: int, *, nearest: bool = False) -> int | None:
        """Return the token at a place; ``nearest`` takes the last one where there is none."""
        for part in self.parts:
            if part.column <= column < part.end:
                return part.number
        return self.parts[-1].number if nearest and self.parts else None

    def column_of(self, number: int) -> int:
        """Return where a token begins; 0 for one that is elsewhere."""
        return next((part.column for part in self.parts if part.number == number), 0)


def lay_out(texts: Sequence[str], width: int) -> list[HeatLine]:
    """Break the texts of tokens into lines, between words where that is possible.

    Args:
        texts: Of the tokens, in order.
        width: Cells in a line; blanks at its end may stick out.
    """
    cells = [
        (char, number)
        for number, text in enumerate(texts)
        for char in text.replace("\t", _TAB).replace("\n", f"{LINE_BREAK}\n")
    ]
    return [_line(line) for line in _lines(cells, max(width, 2))]


def _lines(cells: list[_Cell], width: int) -> Iterator[list[_Cell]]:
    line: list[_Cell] = []
    column = 0
    for match in _WORD.finditer("".join(char for char, _ in cells)):
        word = match[0]
        if word == "\n":
            yield line
            line, column = [], 0
            continue
        if column and column + cell_len(word.rstrip()) > width:
            yield line
            line, column = [], 0
        for cell in cells[match.start() : match.end()]:
            size = cell_len(cell[0])
            if column + size > width and not cell[0].isspace():
                yield line
                line, column = [], 0
            line.append(cell)
            column += size
    yield line


def _line(cells: list[_Cell]) -> HeatLine:
    parts: list[Part] = []
    column = 0
    for number, group in groupby(cells, key=lambda cell: cell[1]):
        part = Part(number, "".join(char for char, _ in group), column)
        parts.append(part)
        column = part.end
    return HeatLine(tuple(parts))
