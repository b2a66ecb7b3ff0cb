"""The data behind pictures, worked out of runs; draws nothing and needs no library."""

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass

from localfp4.bench.plots.columns import Column, columns
from localfp4.bench.plots.measured import Measured, measured
from localfp4.bench.records import Run
from localfp4.bench.workload import Case
from localfp4.documents.pictures.scales import is_wide
from localfp4.errors import UserError


@dataclass(frozen=True, slots=True)
class Quantity:
    """What is drawn upwards.

    Attributes:
        name: A field of ``Figures``.
        title: What it is called.
        unit: What it is counted in.
    """

    name: str
    title: str
    unit: str


QUANTITIES = (
    Quantity("ttft_ms", "Time to first token", "ms"),
    Quantity("tpot_ms", "Time per output token", "ms"),
    Quantity("output_tokens_per_s", "Throughput", "tok/s"),
)
"""Of the panels of a column, from the top."""


@dataclass(frozen=True, slots=True)
class Point:
    """A cell that was measured.

    Attributes:
        size: Along the axis; 0 where there is none.
        mean: Of the repeats.
        sd: Sample standard deviation; ``None`` of a single one.
        limit: The best that the device allows; ``None`` where that is not known.
    """

    size: int
    mean: float
    sd: float | None = None
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A series in a panel.

    Attributes:
        number: Of its label among all that are drawn, the same in every panel: decides its look.
        label: What it is called.
        points: Ascending along the axis.
        misfits: Sizes that memory or context did not suffice for, ascending.
    """

    number: int
    label: str
    points: tuple[Point, ...]
    misfits: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Panel:
    """A chart: one quantity over one sweep on one device.

    Attributes:
        device: Where it was measured.
        quantity: Upwards.
        column: Along.
        lines: In the order of their series; those that nothing is known of are not there.
    """

    device: str
    quantity: Quantity
    column: Column
    lines: tuple[Line, ...]


def panels(runs: Sequence[Run]) -> tuple[Panel, ...]:
    """Return the panels of all devices: by device, then by column, then by quantity.

    Quantities that nothing in a column has, such as the TPOT of answers of one token, are not
    there.

    Raises:
        UserError: There is not a single figure.
    """
    everything = measured(runs)
    found = tuple(
        panel
        for where in dict.fromkeys(one.device for one in everything)
        for panel in _panels_of([one for one in everything if one.device == where])
    )
    if not found:
        raise UserError("Nothing was measured in this run; there is nothing to draw.")
    return found


def needs_log(panel: Panel, others: Sequence[Panel]) -> bool:
    """Say whether the values of a quantity need a logarithmic axis, which all its panels share."""
    return is_wide(
        point.mean
        for other in others
        if other.quantity == panel.quantity
        for line in other.lines
        for point in line.points
    )


def cases(everything: Sequence[Measured]) -> list[Case]:
    """Return the cases of these series that have figures, then those that did not fit."""
    with_figures = [case for one in everything for case in one.spreads]
    misfits = [case for one in everything for case in sorted(one.misfits, key=astuple)]
    return list(dict.fromkeys([*with_figures, *misfits]))


def _panels_of(here: Sequence[Measured]) -> Iterator[Panel]:
    for column in columns(cases(here)):
        for quantity in QUANTITIES:
            lines = tuple(_lines(here, column, quantity.name))
            if any(line.points for line in lines):
                yield Panel(here[0].device, quantity, column, lines)


def _lines(here: Sequence[Measured], column: Column, quantity: str) -> Iterator[Line]:
    for one in here:
        points = [
            _point(one, size, case, quantity)
            for case, figures in one.spreads.items()
            if quantity in figures and (size := column.place(case)) is not None
        ]
        misfits = [size for case in one.misfits if (size := column.place(case)) is not None]
        if points or misfits:
            ascending = sorted(points, key=lambda point: point.size)
            yield Line(one.number, one.label, tuple(ascending), tuple(sorted(misfits)))


def _point(one: Measured, size: int, case: Case, quantity: str) -> Point:
    spread = one.spreads[case][quantity]
    return Point(size, spread.mean, spread.sd, one.bests.get(case, {}).get(quantity))
