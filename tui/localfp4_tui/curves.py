"""Curves out of block characters, which every terminal's font has; no widgets."""

from collections.abc import Sequence

_BARS = " ▁▂▃▄▅▆▇█"
_LEVELS = len(_BARS) - 1
_MARK = "┈"


def sparkline(values: Sequence[float], top: float = 0.0) -> str:
    """Return a bar for each value, which is 0 or more.

    Args:
        values: What to show.
        top: The highest bar stands for this, or for the largest value if that is more.
    """
    most = max(top, max(values, default=0.0))
    levels = (_level(value, most, _LEVELS) for value in values)
    return "".join(_BARS[max(level, 1)] for level in levels)


def area(
    values: Sequence[float | None], height: int, *, top: float, mark: float | None = None
) -> list[str]:
    """Return rows of characters, the top one first, filled up to the values.

    Args:
        values: A figure for each column; ``None`` leaves a gap.
        height: Number of rows.
        top: The value that reaches the upper edge.
        mark: A value at which a line is drawn across what is not filled.
    """
    most = height * _LEVELS
    levels = [_level(value or 0.0, top, most) for value in values]
    marked = None if mark is None else (_level(mark, top, most) - 1) // _LEVELS
    return [_row(levels, row, is_marked=row == marked) for row in reversed(range(height))]


def _level(value: float, top: float, most: int) -> int:
    """How high a value is; anything above nothing is 1 at least."""
    if value <= 0 or top <= 0:
        return 0
    return min(max(round(value / top * most), 1), most)


def _row(levels: Sequence[int], row: int, *, is_marked: bool) -> str:
    """Draw a row, counted from below."""
    filled = (min(max(level - row * _LEVELS, 0), _LEVELS) for level in levels)
    return "".join(_BARS[fill] if fill or not is_marked else _MARK for fill in filled)
