"""What a document is made of, from top to bottom: leaves, which lay themselves out as lines."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from textual.content import Content
from textual.strip import Strip

LEAST_TEXT_WIDTH = 8
"""Cells that prefixes leave to the text, however deep the quotes and lists are nested."""


@dataclass(slots=True)
class Line:
    """One line of a leaf, no wider than it was laid out for.

    Attributes:
        content: What is drawn.
        start: Where in it the text begins, after bullets and frames.
        end: Where the text ends.
        joint: What follows it in the text: nothing or a blank where only the width broke it.
        strip: What was drawn last; belongs to whoever draws.
    """

    content: Content
    start: int
    end: int
    joint: str = "\n"
    strip: Strip | None = None


@dataclass(frozen=True, slots=True)
class Prefix:
    """What stands at the left of a leaf: bullets, bars, space.

    Attributes:
        first: Before its first line.
        rest: Before the others.
        above: In the blank line that separates it from what comes before.
    """

    first: Content = field(default_factory=Content)
    rest: Content = field(default_factory=Content)
    above: Content = field(default_factory=Content)

    def fitted(self, width: int) -> "Prefix":
        """Return it cut so that text of some width fits beside it."""
        room = max(0, width - LEAST_TEXT_WIDTH)
        if max(self.first.cell_length, self.rest.cell_length) <= room:
            return self
        return Prefix(*(part.truncate(room) for part in (self.first, self.rest, self.above)))


class Leaf(ABC):
    """A piece of a document that no other piece is part of.

    Attributes:
        prefix: What stands before its lines.
        gap: Whether a blank line separates it from what comes before.
    """

    def __init__(self, prefix: Prefix, gap: bool) -> None:
        self.prefix = prefix
        self.gap = gap
        self._lines: list[Line] | None = None
        self._width = 0
        self._height = 0

    @abstractmethod
    def key(self) -> object:
        """Return something that is equal for leaves that look the same."""

    @abstractmethod
    def rows(self, width: int) -> list[Line]:
        """Return the lines without prefix, laid out for a width of at least one cell."""

    def height(self, width: int) -> int:
        """Return the number of lines, which is remembered when the lines are not."""
        if self._width != width:
            self.lines(width)
        return self._height

    def lines(self, width: int) -> list[Line]:
        """Return the lines with their prefix, no wider than ``width`` cells."""
        if self._lines is None or self._width != width:
            self._lines = self._laid_out(width)
            self._width, self._height = width, len(self._lines)
        return self._lines

    def release(self) -> None:
        """Forget the lines, of a leaf that is far from what is seen."""
        self._lines = None

    def _laid_out(self, width: int) -> list[Line]:
        prefix = self.prefix.fitted(width)
        room = max(1, width - max(prefix.first.cell_length, prefix.rest.cell_length))
        lines = [
            _prefixed(prefix.rest if number else prefix.first, line)
            for number, line in enumerate(self.rows(room))
        ]
        if self.gap:
            blank = prefix.above.rstrip()
            lines.insert(0, Line(blank, len(blank), len(blank)))
        return lines


def _prefixed(prefix: Content, line: Line) -> Line:
    if not prefix:
        return line
    indent = len(prefix)
    return Line(prefix + line.content, line.start + indent, line.end + indent, line.joint)


def wrapped(content: Content, width: int) -> list[Line]:
    """Return text as lines, broken between words where that is possible."""
    lines: list[Line] = []
    passing = Content(
        content.plain, list(content.spans)
    )  # content remembers all that it was cut into
    for paragraph in passing.split("\n", allow_blank=True):
        parts = paragraph.wrap(width) or [paragraph]
        lines += [Line(part, 0, len(part), " ") for part in parts]
        lines[-1].joint = "\n"
    return lines
