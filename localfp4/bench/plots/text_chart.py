"""One chart of characters; knows letters and numbers, not what they mean."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from math import log

from localfp4.bench.plots.panels import Line
from localfp4.documents.pictures.scales import labelled, place, steps
from localfp4.documents.pictures.words import plain


class TextChart:
    """Lines over a sweep, with an axis to the left and one below.

    Args:
        lines: What to draw, with at least one point.
        width: Characters of a row, the labels of the axis included.
        height: Rows above the lower axis.
        is_log: Whether values have a logarithmic axis.
    """

    def __init__(self, lines: Sequence[Line], width: int, height: int, is_log: bool) -> None:
        means = [point.mean for line in lines for point in line.points]
        self._lines = lines
        self._is_log = is_log
        self._low = min(means) / 1.1 if self._is_log else 0.0
        self._high = max(means) * 1.05
        self._ticks = steps(self._low, self._high, self._is_log, max(height // 2, 2))
        self._margin = max((len(plain(tick)) for tick in self._ticks), default=0) + 1
        self._sizes = sorted({size for one in lines for size in (*one.misfits, *_sizes(one))})
        self._height = height
        # Letters that would stand on others move to the right, which takes room at the end.
        self._spread = min(len(lines), 6)
        self._width = width - self._margin - 1
        self._grid = [[" "] * self._width for _ in range(height)]

    def rows(self, letters: Mapping[int, str]) -> list[str]:
        """Return the chart, from its highest row to the labels below it."""
        for line in self._lines:
            self._dots(line)
        for line in self._lines:
            for point in line.points:
                self._put(self._row(point.mean), self._column(point.size), letters[line.number])
        for size in self._sizes:
            for row, _ in enumerate(one for one in self._lines if size in one.misfits):
                self._put(min(row, self._height - 1), self._column(size), "x")
        names = {self._row(tick): plain(tick) for tick in self._ticks}
        rows = [
            f"{names.get(row, ''):>{self._margin}}{'┤' if row in names else '│'}{''.join(cells)}"
            for row, cells in enumerate(self._grid)
        ]
        return [*rows, f"{'':{self._margin}}└{'─' * self._width}", self._labels()]

    def _dots(self, line: Line) -> None:
        """Lead from each point to the next."""
        for one, other in pairwise(line.points):
            began, ended = self._column(one.size), self._column(other.size)
            first, last = self._share(one.mean), self._share(other.mean)
            for column in range(began, ended + 1):
                part = (column - began) / max(ended - began, 1)
                row = round((1 - first - part * (last - first)) * (self._height - 1))
                self._grid[row][column] = "·"

    def _put(self, row: int, column: int, character: str) -> None:
        """Write a character, to the right of others that stand there."""
        free = [" ", "·"]
        places = range(column, min(column + self._spread, self._width))
        at = next((one for one in places if self._grid[row][one] in free), None)
        if at is not None:
            self._grid[row][at] = character

    def _labels(self) -> str:
        """Return the sizes below the axis, as many as do not touch."""
        longest = max(len(str(size)) for size in self._sizes)
        line = [" "] * (self._width + longest)
        for size in labelled(self._sizes, max(self._width // (longest + 2), 1)):
            for at, digit in enumerate(str(size)):
                line[self._column(size) + at] = digit
        return f"{'':{self._margin + 1}}{''.join(line)}"[: self._margin + 1 + self._width]

    def _share(self, value: float) -> float:
        """Return how far up a value stands, 0 to 1."""
        if self._is_log:
            return log(value / self._low) / log(self._high / self._low)
        return (value - self._low) / (self._high - self._low)

    def _row(self, value: float) -> int:
        return round((1 - self._share(value)) * (self._height - 1))

    def _column(self, size: int) -> int:
        places = [place(one, self._sizes) for one in self._sizes]
        across = (place(size, self._sizes) - places[0]) / ((places[-1] - places[0]) or 1)
        return round(across * (self._width - 1 - self._spread))


def _sizes(line: Line) -> Iterator[int]:
    yield from (point.size for point in line.points)
