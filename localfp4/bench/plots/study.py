"""The figure of a sheet: a column a sweep, a row a quantity, a line a series."""

from typing import TYPE_CHECKING

from localfp4.bench.plots.axes import draw_panel
from localfp4.bench.plots.panels import QUANTITIES, needs_log
from localfp4.bench.plots.sheets import Sheet
from localfp4.bench.plots.signs import keys_of_signs
from localfp4.documents.pictures.legend import Legend, keys_of_series
from localfp4.documents.pictures.look import INK
from localfp4.documents.pictures.page import MARGIN, Page
from localfp4.documents.pictures.words import shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TICKS, _BAR_NAMES = 0.55, 1.9
"""Room to the left of a panel: for values, and for the names of bars."""

_WIDTH, _HEIGHT, _BAR = 4.9, 2.2, 0.25
"""Of the plot of a panel, which is higher where that many bars would touch."""

_MODELS = 42
"""Characters of the title for each column."""

_BEFORE_LEGEND, _HEADING, _BELOW, _BEFORE_NOTES = 0.08, 0.58, 0.68, 0.45
"""Room below the subtitle, above a column's first panel, from a panel to the next (its title and
its ticks), and from the last to the notes."""


def study_figure(sheet: Sheet) -> "Figure":
    """Draw a sheet; call within :func:`~localfp4.documents.pictures.canvas.drawing`."""
    columns = list(dict.fromkeys(panel.column for panel in sheet.panels))
    rows = [one for one in QUANTITIES if any(panel.quantity == one for panel in sheet.panels)]
    swept = columns[0].axis is not None
    height = max(_HEIGHT, 0 if swept else _BAR * max(len(one.lines) for one in sheet.panels))
    left = _TICKS if swept else _BAR_NAMES
    page = Page(2 * MARGIN + len(columns) * (left + _WIDTH))

    page.write(shortened(sheet.title, _MODELS * len(columns)), 14, INK, weight="bold")
    page.write(sheet.device, 11, INK)
    page.write(sheet.subtitle, 9)
    page.skip(_BEFORE_LEGEND)
    labels = {line.number: line.label for panel in sheet.panels for line in panel.lines}
    # Bars have their names beside them.
    series = keys_of_series(labels) if swept else []
    legend = Legend([series, keys_of_signs(sheet.panels)], page.width)
    legend_top = page.skip(legend.height)
    heading_top = page.skip(_HEADING)
    tops = [page.skip(height + _BELOW) for _ in rows]
    page.skip(_BEFORE_NOTES - _BELOW)
    for note in (*sheet.limits, *sheet.notes):
        page.write(note, 9)

    figure = page.figure()
    legend.draw(figure, page, legend_top)
    for panel in sheet.panels:
        x = MARGIN + left + columns.index(panel.column) * (left + _WIDTH)
        row = rows.index(panel.quantity)
        axes = page.axes(figure, x, tops[row], _WIDTH, height)
        draw_panel(axes, panel, is_log=needs_log(panel, sheet.panels))
        if row == 0:
            where = x / page.width, 1 - (heading_top + 0.1) / page.height
            figure.text(*where, panel.column.title, color=INK, weight="bold", va="top")
    return figure
