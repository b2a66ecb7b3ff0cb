"""The text of the help: keys or commands on the left, what they do on the right."""

from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content
from textual.events import Resize
from textual.widgets import Static

NAMES_WIDTH = 18
"""Cells for the left column, at most; what is longer has its right side below it."""

INDENT = "  "


@dataclass(frozen=True, slots=True)
class HelpRow:
    """A key or a command, what it does, and a remark in grey."""

    name: str
    description: str
    remark: str = ""

    def holds(self, words: Sequence[str]) -> bool:
        """Say whether all words, in small letters, stand in it."""
        text = f"{self.name} {self.description} {self.remark}".lower()
        return all(word in text for word in words)

    def lines(self, width: int) -> list[Content]:
        """Return it in lines of a width."""
        room = max(width - len(INDENT) - NAMES_WIDTH, 8)
        said = Content.assemble(self.description, "  ", (self.remark, "$text-muted"))
        right = said.rstrip().wrap(room)
        name = Content.styled(self.name, "$text-accent")
        below = name.cell_length >= NAMES_WIDTH
        left = [Content("") if below else name]
        left += [Content("")] * (len(right) - 1)
        beside = [
            Content.assemble(INDENT, cell.pad_right(NAMES_WIDTH - cell.cell_length), line)
            for cell, line in zip(left, right, strict=True)
        ]
        return [Content.assemble(INDENT, name), *beside] if below else beside


class HelpText(Static):
    """Rows under headings in one widget: a widget for each would take half a second to open."""

    def __init__(self, sections: Sequence[tuple[str, list[HelpRow]]]) -> None:
        super().__init__(markup=False)
        self._sections = sections
        self._words: list[str] = []

    def search(self, words: str) -> None:
        """Show only the rows that hold all words."""
        self._words = words.lower().split()
        self._redraw()

    def on_resize(self, event: Resize) -> None:
        """Wrap anew."""
        self._redraw()

    def _redraw(self) -> None:
        lines: list[Content] = []
        for heading, rows in self._sections:
            if found := [row for row in rows if row.holds(self._words)]:
                lines.append(Content.styled(heading, "bold $text-primary"))
                for row in found:
                    lines += row.lines(self.size.width)
                lines.append(Content(""))
        self.update(Content("\n").join(lines))
