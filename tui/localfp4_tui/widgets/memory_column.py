"""The memory of the device as a tall bar, with the figures of its parts beside it."""

from collections.abc import Sequence

from textual.content import Content
from textual.events import Resize
from textual.widgets import Static

from localfp4_tui.formatting import format_changing_gib
from localfp4_tui.memory_split import MemoryPart, cells

BAR_WIDTH = 5


def column_content(parts: Sequence[MemoryPart], width: int, height: int) -> Content:
    """Return the bar, what is free uppermost, and a line for each part."""
    upwards = list(reversed(parts))
    total = sum(part.nbytes for part in parts)
    bars = [
        (part.glyph * BAR_WIDTH, part.style)
        for part, count in zip(upwards, cells(upwards, height), strict=True)
        for _ in range(count)
    ]
    name_width = max((len(part.name) for part in parts), default=0)
    lines = []
    for row, bar in enumerate(bars):
        line = Content.assemble(bar)
        if row < len(upwards):
            part = upwards[row]
            share = f"{part.nbytes / total:.0%}"
            gib = format_changing_gib(part.nbytes)
            words = f" {part.name:{name_width}} {gib:>5} GiB {share:>4}"
            line = Content.assemble(bar, "  ", (part.glyph, part.style), words)
        lines.append(line.truncate(width, ellipsis=True))
    return Content("\n").join(lines)


class MemoryColumn(Static):
    """Shows a split of the memory."""

    def __init__(self) -> None:
        super().__init__(markup=False)
        self._parts: Sequence[MemoryPart] = ()

    def show(self, parts: Sequence[MemoryPart]) -> None:
        """Show what the memory holds; nothing where that is not known."""
        self._parts = parts
        self._redraw()

    def on_resize(self, event: Resize) -> None:
        """Draw anew, in the new size."""
        self._redraw()

    def _redraw(self) -> None:
        self.update(column_content(self._parts, *self.content_size), layout=False)
