"""The figures of a run's rows, and their spread over the repeats; arithmetic only."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from statistics import fmean, stdev

from localfp4.bench.cost import Prices, cost_per_million, joules_per_token
from localfp4.bench.device.roofline import Shares, shares
from localfp4.bench.peaks import Limits
from localfp4.bench.records import Figures, Row, Run, Series
from localfp4.bench.workload import Case

FIGURES: tuple[str, ...] = (
    *(field.name for field in fields(Figures)),
    "percent_of_limit_decode",
    "percent_of_limit_prefill",
    "memory_bytes",
    "peak_memory_bytes",
    "watts",
    "joules_per_token",
    "cost_per_million",
)
"""Names of all figures of a row, with their units."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and sample standard deviation of the repeats.

    Attributes:
        mean: Their mean.
        sd: Their deviation; ``None`` of a single one.
        repeats: How many there were.
    """

    mean: float
    sd: float | None
    repeats: int


def summaries(
    run: Run, prices: Prices | None = None
) -> Mapping[tuple[Series, Case], Mapping[str, Spread]]:
    """Return the spread of every figure that the measured rows of a series and a case have.

    Args:
        run: What was measured.
        prices: Of energy and of the device; without them nothing costs anything.
    """
    measured: dict[tuple[Series, Case], list[dict[str, float]]] = {}
    for row in run.rows:
        if row.figures is not None:
            measured.setdefault((row.series, row.case), []).append(
                figures_of(row, run.limits, prices)
            )
    return {key: _spreads(found) for key, found in measured.items()}


def figures_of(row: Row, limits: Limits | None, prices: Prices | None = None) -> dict[str, float]:
    """Return the figures of a row by the names of :data:`FIGURES`, without those it lacks.

    Args:
        row: What was measured; one that was not has no figures.
        limits: Of the device.
        prices: Of energy and of the device.
    """
    if row.figures is None:
        return {}
    found: dict[str, float | None] = asdict(row.figures)
    if (reached := shares_of(row, limits)) is not None:
        found["percent_of_limit_decode"] = reached.decode_percent
        found["percent_of_limit_prefill"] = reached.prefill_percent
    found["memory_bytes"] = row.memory_bytes
    found["peak_memory_bytes"] = row.peak_memory_bytes
    if row.joules is not None:
        found["watts"] = row.joules / row.figures.seconds
    found["joules_per_token"] = joules_per_token(row)
    if prices is not None:
        found["cost_per_million"] = cost_per_million(row, prices)
    return {name: value for name in FIGURES if (value := found.get(name)) is not None}


def shares_of(row: Row, limits: Limits | None) -> Shares | None:
    """Return how near a row came to the limits; ``None`` where they are not known."""
    if row.figures is None or row.work is None or limits is None:
        return None
    return shares(row.work, row.case, row.figures, limits)


def _spreads(found: Sequence[Mapping[str, float]]) -> dict[str, Spread]:
    values = {name: [one[name] for one in found if name in one] for name in FIGURES}
    return {name: spread(seen) for name, seen in values.items() if seen}


def spread(values: Sequence[float]) -> Spread:
    """Return mean and deviation of at least one value."""
    deviation = stdev(values) if len(values) > 1 else None
    return Spread(fmean(values), deviation, len(values))
