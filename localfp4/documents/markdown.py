"""Tables and lines in Markdown that are as readable as plain text."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from localfp4.text.sanitize import sanitize

WIDTH = 120
"""Characters of a wide terminal."""


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table, numbers and all else to the right."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = [headings, [f"{'-' * (width - 1)}:" for width in widths], *rows]
    return [
        "| " + " | ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)) + " |"
        for line in lines
    ]


def broken(parts: Iterable[str], width: int) -> Iterator[str]:
    """Yield lines of as many facts as fit; two spaces break a line in Markdown."""
    line = ""
    for part in map(one_line, parts):
        longer = f"{line} · {part}" if line else part
        if line and len(longer) > width:
            yield f"{line}  "
            longer = part
        line = longer
    yield f"{line}  "


def item(text: str, width: int, mark: str = "- ") -> list[str]:
    """Return the lines of an item of a list, or of a paragraph where the mark is empty."""
    return textwrap.wrap(
        text,
        width,
        initial_indent=mark,
        subsequent_indent=" " * len(mark),
        break_long_words=False,
        break_on_hyphens=False,
    )


def one_line(text: str) -> str:
    """Return foreign text as printable words on one line."""
    return " ".join(sanitize(text).split())


def cell(text: str) -> str:
    """Return foreign text that cannot break a table."""
    return one_line(text).replace("|", "\\|")


def counted(number: int, thing: str) -> str:
    """Return a number with its noun."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def short(number: float) -> str:
    """Return a number with about three digits."""
    digits = 0 if number >= 1000 else 1 if number >= 10 else 2
    return f"{number:.{digits}f}"
