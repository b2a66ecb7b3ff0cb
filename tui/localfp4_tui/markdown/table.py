"""Tables that fit: columns shrink, their cells wrap, and the narrowest tables become lists."""

from collections.abc import Sequence

from textual.content import Content

from localfp4_tui.markdown.leaf import Leaf, Line, Prefix, wrapped

Row = Sequence[Content]

LINE_STYLE = "$foreground 30%"
HEADER_STYLE = "bold $text-primary"
SEPARATOR = Content.styled(" │ ", LINE_STYLE)
LEAST_COLUMN_WIDTH = 5


class TableLeaf(Leaf):
    """A table.

    Args:
        header: A cell for each column.
        rows: Cells of each row, as many as there are columns.
        alignments: ``left``, ``center`` or ``right`` for each column.
    """

    def __init__(
        self,
        header: Row,
        rows: Sequence[Row],
        alignments: Sequence[str],
        prefix: Prefix,
        gap: bool,
    ) -> None:
        super().__init__(prefix, gap)
        self._header = [cell.stylize_before(HEADER_STYLE) for cell in header]
        self._rows = rows
        self._alignments = alignments

    def key(self) -> object:
        """Return its cells."""
        cells = [cell for row in (self._header, *self._rows) for cell in row]
        plain = tuple((cell.plain, *cell.spans) for cell in cells)
        return (plain, len(self._header), self.prefix.first.plain, self.gap)

    def rows(self, width: int) -> list[Line]:
        """Draw it as a table, or row by row where its columns would be too narrow."""
        room = width - (len(self._header) - 1) * SEPARATOR.cell_length
        if room < LEAST_COLUMN_WIDTH * len(self._header):
            return self._as_records(width)
        natural = [
            max(1, *(row[column].cell_length for row in (self._header, *self._rows)))
            for column in range(len(self._header))
        ]
        return self._as_table(column_widths(natural, room))

    def _as_table(self, widths: list[int]) -> list[Line]:
        rule = Content.styled("─┼─".join("─" * width for width in widths), LINE_STYLE)
        drawn = [self._drawn(row, widths) for row in self._rows]
        apart = any(len(lines) > 1 for lines in drawn)
        lines = [*self._drawn(self._header, widths), Line(rule, 0, 0)]
        for number, row_lines in enumerate(drawn):
            if apart and number:
                lines.append(Line(rule, 0, 0))
            lines += row_lines
        return lines

    def _drawn(self, row: Row, widths: list[int]) -> list[Line]:
        cells = [
            [line.content for line in wrapped(cell, width)]
            for cell, width in zip(row, widths, strict=True)
        ]
        lines: list[Line] = []
        for number in range(max(len(cell) for cell in cells)):
            parts: list[Content] = []
            for cell, width, alignment in zip(cells, widths, self._alignments, strict=True):
                part = cell[number] if number < len(cell) else Content()
                parts += [_aligned(part, width, alignment), SEPARATOR]
            content = Content.assemble(*parts[:-1])
            lines.append(Line(content, 0, len(content)))
        return lines

    def _as_records(self, width: int) -> list[Line]:
        lines: list[Line] = []
        for number, row in enumerate(self._rows):
            if number:
                lines.append(Line(Content(), 0, 0))
            for name, cell in zip(self._header, row, strict=True):
                lines += wrapped(Content.assemble(name, ": ", cell), width)
        return lines or [line for name in self._header for line in wrapped(name, width)]


def column_widths(natural: Sequence[int], room: int) -> list[int]:
    """Return widths that fill at most ``room`` cells: the widest columns give way first."""
    widths = [0] * len(natural)
    left = room
    by_width = sorted(range(len(natural)), key=lambda column: natural[column])
    for position, column in enumerate(by_width):
        widths[column] = min(natural[column], left // (len(natural) - position))
        left -= widths[column]
    return widths


def _aligned(cell: Content, width: int, alignment: str) -> Content:
    missing = max(0, width - cell.cell_length)
    left = {"right": missing, "center": missing // 2}.get(alignment, 0)
    return cell.pad(left, missing - left)
