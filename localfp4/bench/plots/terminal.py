"""The panels as text, for a terminal: letters stand where something was measured.

Own code, since plotext 6 is a compiled library with a drawing program inside, and this is a hundred
lines. There are only characters that every monospaced font has, and no colours to tell apart.
"""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from string import ascii_lowercase, ascii_uppercase
from textwrap import wrap

from localfp4.bench.plots.panels import Line, Panel, needs_log
from localfp4.bench.plots.sheets import Sheet, sheets
from localfp4.bench.plots.text_chart import TextChart
from localfp4.bench.records import Run
from localfp4.documents.markdown import short
from localfp4.documents.pictures.words import shortened

_NARROWEST, _WIDEST = 40, 76
"""Columns of one chart."""

_LOWEST, _HIGHEST = 8, 14
"""Lines of one chart, without its title and its ticks."""

_LETTERS = ascii_uppercase + ascii_lowercase
_GAP = 2
_MOST_LABEL = 28


def terminal(run: Run, columns: int, rows: int) -> str:
    """Return the charts of a run as lines of text, in pairs where two stand beside each other.

    Args:
        run: What to draw.
        columns: Width of the terminal; below 40 lines are longer than it.
        rows: Its height: the three charts of a sweep fill about one screen.

    Raises:
        UserError: There is not a single figure.
    """
    return "\n\n".join(_sheet(sheet, columns, rows) for sheet in sheets([run]))


def _sheet(sheet: Sheet, columns: int, rows: int) -> str:
    pair = columns >= 2 * _NARROWEST + _GAP and len({one.column for one in sheet.panels}) > 1
    width = min(max((columns - _GAP) // 2 if pair else columns, _NARROWEST), _WIDEST)
    height = min(max(rows // 3 - 4, _LOWEST), _HIGHEST)
    full = 2 * width + _GAP if pair else width
    labels = {line.number: line.label for panel in sheet.panels for line in panel.lines}
    letters = {number: _LETTERS[at % len(_LETTERS)] for at, number in enumerate(sorted(labels))}
    charts = [_chart(panel, sheet.panels, letters, width, height) for panel in sheet.panels]
    head = [*wrap(f"{sheet.title} · {sheet.device}", full), *wrap(sheet.subtitle, full)]
    if any(panel.column.axis for panel in sheet.panels):
        head += _legend(sheet, {letters[number]: label for number, label in labels.items()}, full)
    body = _beside(sheet.panels, charts, width) if pair else ["", *_below(charts)]
    notes = [line for note in sheet.notes for line in wrap(note, full)]
    return "\n".join(line.rstrip() for line in [*head, *body, *notes])


def _legend(sheet: Sheet, labels: dict[str, str], width: int) -> list[str]:
    """Return the keys, as many to a line as fit."""
    keys = [f"{letter} {shortened(label, _MOST_LABEL)}" for letter, label in labels.items()]
    if any(line.misfits for panel in sheet.panels for line in panel.lines):
        keys.append("x did not fit")
    lines = [""]
    for key in keys:
        joined = f"{lines[-1]}   {key}" if lines[-1] else key
        if len(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(key)
    return lines


def _below(charts: Sequence[Sequence[str]]) -> list[str]:
    return [line for chart in charts for line in [*chart, ""]]


def _beside(panels: Sequence[Panel], charts: Sequence[list[str]], width: int) -> list[str]:
    """Return the charts of every two columns side by side, quantities next to each other."""
    by_column: dict[object, list[list[str]]] = {}
    for panel, chart in zip(panels, charts, strict=True):
        by_column.setdefault(panel.column, []).append(chart)
    stacks = list(by_column.values())
    lines = [""]
    for at in range(0, len(stacks), 2):
        left, right = stacks[at], stacks[at + 1] if at + 1 < len(stacks) else []
        for row in range(max(len(left), len(right))):
            pair = (stack[row] if row < len(stack) else [] for stack in (left, right))
            lines += [f"{a:<{width + _GAP}}{b}" for a, b in zip_longest(*pair, fillvalue="")]
            lines.append("")
    return lines


def _chart(
    panel: Panel, others: Sequence[Panel], letters: dict[int, str], width: int, height: int
) -> list[str]:
    over = shortened(panel.column.title, width)
    title = f"{panel.quantity.title} ({panel.quantity.unit})"
    if panel.column.axis is None:
        return [title, over, *_bars(panel.lines, width)]
    chart = TextChart(panel.lines, width, height, needs_log(panel, others))
    return [title, over, *chart.rows(letters)]


def _bars(lines: Sequence[Line], width: int) -> Iterator[str]:
    names = [shortened(line.label, width // 3) for line in lines]
    values = [short(line.points[0].mean) if line.points else "did not fit" for line in lines]
    wide, far = max(map(len, names)), max(map(len, values))
    highest = max(point.mean for line in lines for point in line.points)
    for name, value, line in zip(names, values, lines, strict=True):
        share = line.points[0].mean / highest if line.points else 0
        bar = "█" * round(share * (width - wide - far - 2))
        yield f"{name:<{wide}} {value:>{far}} {bar}"
