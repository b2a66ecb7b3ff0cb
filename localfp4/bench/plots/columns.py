"""Which sweeps a run has: cases that differ in one size only; knows nothing of what they took."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from localfp4.bench.workload import Case

Axis = Literal["batch", "input_tokens", "output_tokens", "depth"]

AXES: dict[Axis, str] = {
    "batch": "batch",
    "input_tokens": "input",
    "output_tokens": "output",
    "depth": "depth",
}
"""Short names of sizes, in the order of columns."""

_OVER: dict[Axis, str] = {
    "batch": "batch size",
    "input_tokens": "input length",
    "output_tokens": "output length",
    "depth": "depth of the context",
}

_MOST = 4
"""Columns of one figure; more cannot be read on a screen."""


@dataclass(frozen=True, slots=True)
class Column:
    """Cases that are drawn along one axis, or a single one.

    Attributes:
        axis: What differs; ``None`` of a single case.
        base: The case, its size along the axis being 0.
        sizes: Along the axis, ascending; empty of a single case.
    """

    axis: Axis | None
    base: Case
    sizes: tuple[int, ...] = ()

    def place(self, case: Case) -> int | None:
        """Return the size of a case along the axis; ``None`` where it is not of this column."""
        if self.axis is None:
            return 0 if case == self.base else None
        size: int = getattr(case, self.axis)
        return size if replace(case, **{self.axis: 0}) == self.base else None

    @property
    def title(self) -> str:
        """What the panels below share, such as ``over batch size · input 1024 · output 128``."""
        fixed = [
            f"{name} {size}"
            for axis, name in AXES.items()
            if axis != self.axis and ((size := getattr(self.base, axis)) or axis != "depth")
        ]
        over = [f"over {_OVER[self.axis]}"] if self.axis else []
        return " · ".join([*over, *fixed])


def columns(cases: Iterable[Case]) -> tuple[Column, ...]:
    """Return what to draw, the longest sweeps of each axis first chosen, axes in a fixed order.

    Of each axis there is one sweep before any has a second; single cases have a column only where
    nothing was swept. At most four are returned: :func:`left_out` counts the cases of no column.
    """
    kept = tuple(dict.fromkeys(cases))
    by_axis = [_sweeps(axis, kept) for axis in AXES]
    swept = [
        sweeps[rank]
        for rank in range(max(map(len, by_axis)))
        for sweeps in by_axis
        if len(sweeps) > rank
    ]
    if not swept:
        return tuple(Column(None, case) for case in kept[:_MOST])
    chosen = swept[:_MOST]
    order = list(AXES)
    return tuple(sorted(chosen, key=lambda column: order.index(column.axis or "batch")))


def left_out(cases: Iterable[Case], drawn: Iterable[Column]) -> int:
    """Return how many cases stand in no column."""
    columns_drawn = tuple(drawn)
    return sum(
        all(column.place(case) is None for column in columns_drawn) for case in dict.fromkeys(cases)
    )


def _sweeps(axis: Axis, cases: Iterable[Case]) -> list[Column]:
    sizes: dict[Case, set[int]] = {}
    for case in cases:
        sizes.setdefault(replace(case, **{axis: 0}), set()).add(getattr(case, axis))
    found = [Column(axis, base, tuple(sorted(seen))) for base, seen in sizes.items()]
    return sorted(
        (column for column in found if len(column.sizes) > 1),
        key=lambda column: -len(column.sizes),
    )
