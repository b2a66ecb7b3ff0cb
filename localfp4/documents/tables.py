"""Tables in Markdown that also line up, and fit, as plain text in a terminal."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading, a cell for each row, and the side that they stand on."""

    heading: str
    cells: Sequence[str]
    is_text: bool = False

    @property
    def width(self) -> int:
        """Characters of its widest cell."""
        return max(map(len, (self.heading, *self.cells)))


def tables(
    keys: Sequence[Column],
    groups: Sequence[Sequence[Column]],
    remarks: Mapping[int, str],
    width: int,
) -> list[list[str]]:
    """Return the lines of as many tables as the columns need, each with the keys again.

    Args:
        keys: What tells rows apart.
        groups: The rest, those that matter most first. As many as fit stand in a table, and at
            least one; a group that does not fit beside those before it begins another table.
        remarks: What a row has instead of cells, by its number. It stands across the columns of
            the first table, as its only cell (GFM, "Tables", fills up such rows); others leave
            such rows out.
        width: Characters that a table should not exceed.
    """
    found = []
    for number, packed in enumerate(_packed(keys, groups, width)):
        rows = range(len(keys[0].cells))
        shown = rows if number == 0 else [row for row in rows if row not in remarks]
        if shown:
            found.append(_table(keys, packed, remarks, shown))
    return found


def _packed(
    keys: Sequence[Column], groups: Sequence[Sequence[Column]], width: int
) -> Iterator[list[Column]]:
    packed: list[Column] = []
    for group in groups:
        if packed and group and _width([*keys, *packed, *group]) > width:
            yield packed
            packed = []
        for column in group:
            if packed and _width([*keys, *packed, column]) > width:
                yield packed
                packed = []
            packed.append(column)
    yield packed


def _width(columns: Sequence[Column]) -> int:
    return sum(column.width + len("|  ") for column in columns) + len("|")


def _table(
    keys: Sequence[Column],
    columns: Sequence[Column],
    remarks: Mapping[int, str],
    rows: Sequence[int],
) -> list[str]:
    everything = [*keys, *columns]
    lines = [
        _line([_aligned(column, column.heading) for column in everything]),
        _line([_rule(column) for column in everything]),
    ]
    across = _width(columns) - len("|  |")
    for row in rows:
        cells = [_aligned(column, column.cells[row]) for column in keys]
        remark = remarks.get(row)
        if remark is None:
            cells += [_aligned(column, column.cells[row]) for column in columns]
        else:
            cells.append(remark.ljust(across))
        lines.append(_line(cells))
    return lines


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _aligned(column: Column, cell: str) -> str:
    return cell.ljust(column.width) if column.is_text else cell.rjust(column.width)


def _rule(column: Column) -> str:
    dashes = "-" * (column.width - 1)
    return f":{dashes}" if column.is_text else f"{dashes}:"
