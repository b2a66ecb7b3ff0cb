"""One panel in matplotlib: lines over a sweep, or bars of a single case."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from localfp4.bench.plots.panels import Line, Panel, Point
from localfp4.documents.markdown import short
from localfp4.documents.pictures.look import GREY, INK, RULES, look
from localfp4.documents.pictures.scales import labelled, place, steps
from localfp4.documents.pictures.words import plain, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZES_WRITTEN, _VALUES_WRITTEN = 9, 7
"""Labels of ticks that have room."""

_CROSS, _CROSSES = 0.06, 0.6
"""Height of a cross below others, and of all of them at most, as shares of a panel's."""

_BAR_LABEL = 24
"""Characters of a series' name that have room beside its bar."""


def draw_panel(axes: "Axes", panel: Panel, is_log: bool) -> None:
    """Draw a panel.

    Args:
        axes: Empty.
        panel: What to draw.
        is_log: Whether values have a logarithmic axis.
    """
    axes.set_title(
        f"{panel.quantity.title} ({panel.quantity.unit})", loc="left", fontsize=10, color=INK
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(colors=GREY, labelsize=9, length=3)
    axes.set_axisbelow(True)
    if panel.column.axis is None:
        _bars(axes, panel.lines)
    else:
        _lines(axes, panel.lines, is_log)


def _lines(axes: "Axes", lines: Sequence[Line], is_log: bool) -> None:
    sizes = sorted({size for line in lines for size in _sizes(line)})
    for line in lines:
        _line(axes, line, sizes)
    low, high = _range(lines, is_log)
    if is_log:
        axes.set_yscale("log")
    axes.set_ylim(low, high)
    axes.set_yticks(ticks := steps(low, high, is_log, _VALUES_WRITTEN), list(map(plain, ticks)))
    axes.set_yticks([], minor=True)
    axes.grid(axis="y", color=RULES, linewidth=0.7)
    written = labelled(sizes, _SIZES_WRITTEN)
    axes.set_xticks([place(size, sizes) for size in written], list(map(str, written)))
    axes.margins(x=0.04)
    _misfits(axes, lines, sizes)


def _line(axes: "Axes", line: Line, sizes: Sequence[int]) -> None:
    colour, marker = look(line.number)
    along = [place(point.size, sizes) for point in line.points]
    means = [point.mean for point in line.points]
    deviations = [point.sd or 0.0 for point in line.points]
    axes.fill_between(
        along,
        [max(mean - sd, mean / 100) for mean, sd in zip(means, deviations, strict=True)],
        [mean + sd for mean, sd in zip(means, deviations, strict=True)],
        color=colour,
        alpha=0.18,
        linewidth=0,
    )
    axes.plot(
        along, means, color=colour, marker=marker, markersize=4.5, linewidth=1.6,
        markeredgecolor="white", markeredgewidth=0.5, zorder=3,
    )  # fmt: skip
    limits = [(place(point.size, sizes), point.limit) for point in line.points if point.limit]
    if limits:
        axes.plot(*zip(*limits, strict=True), color=colour, linewidth=0.8, dashes=(4, 3), alpha=0.8)


def _misfits(axes: "Axes", lines: Sequence[Line], sizes: Sequence[int]) -> None:
    """Mark cells that did not fit at the top of the panel, one below the other."""
    for size in sorted({size for line in lines for size in line.misfits}):
        hanging = [line for line in lines if size in line.misfits]
        step = min(_CROSS, _CROSSES / len(hanging))
        for row, line in enumerate(hanging):
            axes.plot(
                place(size, sizes), 0.97 - row * step, marker="x", markersize=5,
                color=look(line.number)[0], transform=axes.get_xaxis_transform(), clip_on=False,
            )  # fmt: skip


def _bars(axes: "Axes", lines: Sequence[Line]) -> None:
    """Draw a bar a series, the first on top, with its value at the right."""
    highest = max(value for line in lines for value in _values(line))
    for row, line in enumerate(lines):
        colour, _ = look(line.number)
        for point in line.points:
            axes.barh(row, point.mean, height=0.7, color=colour, xerr=point.sd, ecolor=INK)
            if point.limit:
                across = ([point.limit] * 2, [row - 0.42, row + 0.42])
                axes.plot(*across, color="white", linewidth=3.4)
                axes.plot(*across, color=INK, linewidth=1.4)
        value = short(line.points[0].mean) if line.points else "did not fit"
        axes.text(highest * 1.2, row, value, va="center", ha="right", color=INK, fontsize=9)
    axes.set_xlim(0, highest * 1.2)
    axes.set_yticks(range(len(lines)), [shortened(line.label, _BAR_LABEL) for line in lines])
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.set_xticks(ticks := steps(0, highest, False, _VALUES_WRITTEN), list(map(plain, ticks)))
    axes.grid(axis="x", color=RULES, linewidth=0.7)


def _range(lines: Sequence[Line], is_log: bool) -> tuple[float, float]:
    """Return the ends of the value axis, with everything inside."""
    values = [value for line in lines for value in _values(line)]
    crosses = Counter(size for line in lines for size in line.misfits)
    # Crosses hang from the top, where no point of the same size may be.
    shares = {size: 0.93 - min(number * _CROSS, _CROSSES) for size, number in crosses.items()}
    points = [(shares.get(point.size, 1.0), point) for line in lines for point in line.points]
    if is_log:
        low = min(values) / 1.25
        tops = [low * (_highest(point) / low) ** (1 / share) for share, point in points]
        return low, max(*tops, max(values) * 1.25)
    return 0.0, max(*(_highest(point) / share for share, point in points), max(values) * 1.08)


def _highest(point: Point) -> float:
    return max(point.mean + (point.sd or 0), point.limit or 0)


def _values(line: Line) -> Iterator[float]:
    for point in line.points:
        yield point.mean + (point.sd or 0)
        if point.limit:
            yield point.limit


def _sizes(line: Line) -> Iterator[int]:
    yield from (point.size for point in line.points)
    yield from line.misfits
