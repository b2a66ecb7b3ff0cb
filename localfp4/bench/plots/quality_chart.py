"""Quality against speed in matplotlib: a panel a metric, a point a series."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from localfp4.bench.plots.sheets import Sheet
from localfp4.bench.plots.trades import Trade
from localfp4.documents.markdown import one_line
from localfp4.documents.pictures.legend import Legend, keys_of_series
from localfp4.documents.pictures.look import GREY, INK, RULES, look
from localfp4.documents.pictures.page import MARGIN, Page
from localfp4.documents.pictures.words import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TICKS, _WIDTH, _HEIGHT = 0.75, 4.7, 3.4
_ABOVE, _BELOW = 0.45, 0.6
"""Room for a panel's title, and for its ticks and what they are."""

_PER_ROW = 2
_MODELS, _TITLE = 42, 36
"""Characters of the page's title for each column, and of a panel's."""


def quality_figure(sheet: Sheet, trades: Sequence[Trade]) -> "Figure":
    """Draw the charts of a device; call within :func:`~localfp4.documents.pictures.canvas.drawing`.

    Args:
        sheet: What stands above them.
        trades: The charts, at least one.
    """
    columns = min(_PER_ROW, len(trades))
    page = Page(2 * MARGIN + columns * (_TICKS + _WIDTH))
    page.write(shortened(sheet.title, _MODELS * columns), 14, INK, weight="bold")
    page.write(f"quality against speed · {sheet.device}", 11, INK)
    page.write(sheet.subtitle, 9)
    page.skip(0.08)
    labels = {spot.number: spot.label for trade in trades for spot in trade.spots}
    legend = Legend([keys_of_series(labels, joined=False)], page.width)
    legend_top = page.skip(legend.height)
    tops = [page.skip(_ABOVE + _HEIGHT + _BELOW) + _ABOVE for _ in range(0, len(trades), _PER_ROW)]
    figure = page.figure()
    legend.draw(figure, page, legend_top)
    for number, trade in enumerate(trades):
        row, column = divmod(number, _PER_ROW)
        left = MARGIN + _TICKS + column * (_TICKS + _WIDTH)
        _panel(page.axes(figure, left, tops[row], _WIDTH, _HEIGHT), trade)
    return figure


def _panel(axes: "Axes", trade: Trade) -> None:
    title = shortened(one_line(f"{trade.metric} of {trade.task}"), _TITLE)
    better = "lower is better" if trade.less_is_better else "higher is better"
    axes.set_title(f"{title} · {better}", loc="left", fontsize=10, color=INK)
    for spot in trade.spots:
        colour, marker = look(spot.number)
        axes.errorbar(
            spot.speed, spot.value, xerr=spot.speed_sd, yerr=spot.stderr, color=colour,
            marker=marker, markersize=8, markeredgecolor="white", linewidth=1.2, zorder=3,
        )  # fmt: skip
    case = trade.case
    axes.set_xlabel(
        f"decode tok/s at batch {case.batch} · input {case.input_tokens}", fontsize=9, color=GREY
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(colors=GREY, labelsize=9, length=3)
    axes.ticklabel_format(useOffset=False, style="plain")
    axes.set_axisbelow(True)
    axes.grid(color=RULES, linewidth=0.7)
    axes.set_xlim(left=0)
    axes.margins(0.12)
