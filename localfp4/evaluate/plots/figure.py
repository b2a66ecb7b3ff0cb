"""An evaluation in matplotlib: a panel a figure, in two columns."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from localfp4.documents.markdown import one_line
from localfp4.documents.pictures.legend import Legend, keys_of_series
from localfp4.documents.pictures.look import GREY, INK, RULES, look
from localfp4.documents.pictures.page import MARGIN, Page
from localfp4.documents.pictures.scales import steps
from localfp4.documents.pictures.words import shortened
from localfp4.evaluate.plots.panels import Bars, Curves, panels
from localfp4.evaluate.records import Evaluation
from localfp4.evaluate.report.labels import labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TICKS, _WIDTH = 0.7, 4.6
_CURVES, _BAR, _LEAST = 2.7, 0.27, 0.5
"""Height of a panel of curves, of a bar, and of a panel of bars at least."""

_ABOVE, _BELOW = 0.4, 0.4
"""Room for a panel's title, and for its ticks and what they are."""

_VALUES_WRITTEN = 6
"""Labels of ticks that have room."""

_COLUMNS = 2
_TITLE, _PAGE_TITLE = 56, 80
"""Characters of titles."""


def evaluation_figure(evaluation: Evaluation) -> "Figure":
    """Draw an evaluation; call within :func:`~localfp4.documents.pictures.canvas.drawing`.

    Args:
        evaluation: With at least one panel to draw.
    """
    shown = panels(evaluation)
    columns = min(_COLUMNS, len(shown))
    page = Page(2 * MARGIN + columns * (_TICKS + _WIDTH))
    models = ", ".join(map(one_line, evaluation.models))
    page.write(shortened(models, _PAGE_TITLE // (3 - columns)), 14, INK, weight="bold")
    if evaluation.reference is not None:
        page.write(
            f"against {one_line(evaluation.reference.model)} as "
            f"{one_line(evaluation.reference.format)}; whiskers are one standard error",
            9,
        )
    page.skip(0.08)
    names = labels(evaluation.subjects)
    drawn = {number for panel in shown for number in _numbers(panel)}
    legend = Legend(
        [
            keys_of_series(
                {n: names[one] for n, one in enumerate(evaluation.subjects) if n in drawn}
            )
        ],
        page.width,
    )
    legend_top = page.skip(legend.height)
    places, height = _packed(shown, columns)
    top = page.skip(height)
    figure = page.figure()
    legend.draw(figure, page, legend_top)
    for panel, (column, down) in zip(shown, places, strict=True):
        left = MARGIN + _TICKS + column * (_TICKS + _WIDTH)
        axes = page.axes(figure, left, top + down + _ABOVE, _WIDTH - 0.1, _height(panel))
        _draw(axes, panel)
    return figure


def _packed(shown: Sequence[Bars | Curves], columns: int) -> tuple[list[tuple[int, float]], float]:
    """Return the column of each panel and its distance from the top, and the height of all.

    Each goes into the column that is shorter so far.
    """
    ends = [0.0] * columns
    places = []
    for panel in shown:
        column = ends.index(min(ends))
        places.append((column, ends[column]))
        ends[column] += _ABOVE + _height(panel) + _BELOW
    return places, max(ends)


def _numbers(panel: Bars | Curves) -> Sequence[int]:
    if isinstance(panel, Curves):
        return [*panel.lines]
    return [bar.number for bar in panel.bars]


def _height(panel: Bars | Curves) -> float:
    return _CURVES if isinstance(panel, Curves) else max(_LEAST, _BAR * len(panel.bars))


def _draw(axes: "Axes", panel: Bars | Curves) -> None:
    axes.set_title(shortened(one_line(panel.title), _TITLE), loc="left", fontsize=10, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(colors=GREY, labelsize=9, length=3)
    axes.set_axisbelow(True)
    if isinstance(panel, Curves):
        _curves(axes, panel.lines)
    else:
        _bars(axes, panel)


def _curves(axes: "Axes", lines: Mapping[int, Sequence[tuple[float, float]]]) -> None:
    """Draw divergence over the share of tokens, whose last thousandth has as much room as most."""
    shares = sorted({share for line in lines.values() for share, _ in line})
    for number, line in lines.items():
        colour, marker = look(number)
        axes.plot(
            [_place(share) for share, _ in line], [value for _, value in line], color=colour,
            marker=marker, markersize=5, linewidth=1.6, markeredgecolor="white",
            markeredgewidth=0.5, zorder=3,
        )  # fmt: skip
    values = [value for line in lines.values() for _, value in line]
    low, high = min(values) / 1.5, max(values) * 1.5
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    ticks = steps(low, high, True, _VALUES_WRITTEN)
    axes.set_yticks(ticks, [f"{tick:.1g}" for tick in ticks])
    axes.set_yticks([], minor=True)
    axes.grid(color=RULES, linewidth=0.7)
    axes.set_xticks([_place(share) for share in shares], [f"{100 * one:g}%" for one in shares])
    axes.set_xlabel("of all tokens diverge by no more", fontsize=9, color=GREY)
    axes.margins(x=0.05)


def _place(share: float) -> float:
    return -math.log10(1 - share)


def _bars(axes: "Axes", panel: Bars) -> None:
    """Draw a bar a model, the first on top, with its value behind it."""
    ends = [bar.value + (bar.stderr or 0.0) for bar in panel.bars]
    low, high = min(0.0, *(bar.value - (bar.stderr or 0.0) for bar in panel.bars)), max(0.0, *ends)
    room = (high - low) or 1.0
    for row, bar in enumerate(panel.bars):
        colour, _ = look(bar.number)
        axes.barh(
            row, bar.value, height=0.7, color=colour, xerr=bar.stderr, ecolor=INK,
            error_kw={"elinewidth": 1.0},
        )  # fmt: skip
        axes.text(high + 0.03 * room, row, f"{bar.value:.3g}", va="center", color=INK, fontsize=9)
    axes.set_xlim(low - (0.03 * room if low else 0.0), high + 0.16 * room)
    axes.set_ylim(len(panel.bars) - 0.4, -0.6)
    axes.set_yticks([])
    axes.grid(axis="x", color=RULES, linewidth=0.7)
    if low:
        axes.axvline(0.0, color=GREY, linewidth=0.9)
