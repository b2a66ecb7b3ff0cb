"""Two runs side by side: what became faster, by how much, and how sure that is.

Cells that both runs have are compared pair by pair: repeat by repeat, which had the same prompts
where the seed was the same. Of the logarithms of the ratios the mean and its interval are taken, so
that means are geometric, and twice as fast and half as fast cancel out.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from localfp4.bench.comparing.compare_runs import Cells, differences, matched, nothing_in_common
from localfp4.bench.comparing.intervals import interval
from localfp4.bench.records import Run
from localfp4.bench.workload import Case
from localfp4.errors import UserError

Verdict = Literal["better", "worse", "no difference shown", "one repeat"]
"""A single pair of repeats shows nothing, since there is no telling how much they vary."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure that is compared.

    Attributes:
        name: Of the figure, as :data:`localfp4.bench.summary.FIGURES` has it.
        title: What it is called in a table.
        more_is_better: Whether a higher figure is the better one.
        better: What is said of a figure that became better.
        worse: What is said of one that became worse.
    """

    name: str
    title: str
    more_is_better: bool
    better: str = "faster"
    worse: str = "slower"


METRICS: Mapping[str, Metric] = {
    "throughput": Metric("output_tokens_per_s", "out tok/s", more_is_better=True),
    "decode": Metric("decode_tokens_per_s", "decode tok/s", more_is_better=True),
    "prefill": Metric("prefill_tokens_per_s", "prefill tok/s", more_is_better=True),
    "ttft": Metric("ttft_ms", "TTFT ms", more_is_better=False),
    "tpot": Metric("tpot_ms", "TPOT ms", more_is_better=False),
    "memory": Metric("peak_memory_bytes", "peak MiB", False, better="less", worse="more"),
}
"""What can be compared, by the names that a user gives."""


@dataclass(frozen=True, slots=True)
class Change:
    """How a figure changed from A to B; ratios are B over A.

    Attributes:
        metric: Which figure.
        ratio: Geometric mean over the repeats.
        low: Lower end of its interval; ``None`` of a single repeat.
        high: Upper end of its interval; ``None`` of a single repeat.
        verdict: Whether the interval lies on one side of 1.
        fails: Whether it is worse, by more than the threshold.
    """

    metric: Metric
    ratio: float
    low: float | None
    high: float | None
    verdict: Verdict
    fails: bool


@dataclass(frozen=True, slots=True)
class CellChange:
    """How a figure of a cell changed.

    Attributes:
        label: Of the series.
        case: What was run.
        repeats: How many pairs there were.
        a: Geometric mean of A.
        b: Geometric mean of B.
        change: From A to B.
    """

    label: str
    case: Case
    repeats: int
    a: float
    b: float
    change: Change


@dataclass(frozen=True, slots=True)
class Lost:
    """A cell that A measured, and that B could not: why not is a sentence."""

    label: str
    case: Case
    reason: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """What became of every cell that both runs have.

    Attributes:
        names: What the runs are called.
        threshold: Share by which a figure may become worse, such as 0.05.
        cells: By metric, and then by case.
        over_all: Of each metric, the geometric mean over the cells.
        lost: What only A could measure of what B tried.
        only_a: How many other cells only A has.
        only_b: How many cells only B has.
        warnings: What makes the runs less comparable, a sentence each.
        notes: What else differs between them, a sentence each.
    """

    names: tuple[str, str]
    threshold: float
    cells: tuple[CellChange, ...]
    over_all: tuple[Change, ...]
    lost: tuple[Lost, ...]
    only_a: int
    only_b: int
    warnings: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def fails(self) -> bool:
        """Whether anything became worse by more than the threshold, or cannot be run any more."""
        changes = [*(cell.change for cell in self.cells), *self.over_all]
        return bool(self.lost) or any(change.fails for change in changes)


def compare(
    a: Run,
    b: Run,
    threshold: float = 0.05,
    metrics: Sequence[str] = tuple(METRICS),
    names: tuple[str, str] = ("A", "B"),
) -> Comparison:
    """Compare what two runs have in common.

    Args:
        a: Before.
        b: After.
        threshold: Share by which a figure may become worse before the comparison fails, such as
            0.05; an interval that says no less is needed for that.
        metrics: Names of :data:`METRICS`.
        names: What to call the runs.

    Raises:
        UserError: They have no cell in common, or none that has any of the metrics.
    """
    pairs = matched(a, b)
    if not pairs.both:
        raise nothing_in_common(a, b, names)
    chosen = [METRICS[name] for name in metrics]
    found = (_cell_change(pair, metric, threshold) for metric in chosen for pair in pairs.both)
    cells = tuple(change for change in found if change is not None)
    if not cells:
        titles = " or ".join(metric.title for metric in chosen)
        raise UserError(f"No cell that both runs have tells {titles}; compare another metric.")
    over_all = [_over_all(pairs.both, metric, threshold) for metric in chosen]
    warnings, notes = differences(a, b, names)
    return Comparison(
        names=names,
        threshold=threshold,
        cells=cells,
        over_all=tuple(one for one in over_all if one is not None),
        lost=tuple(Lost(one.label, one.case, one.reason) for one in pairs.lost),
        only_a=pairs.only_a,
        only_b=pairs.only_b,
        warnings=warnings,
        notes=notes,
    )


def _cell_change(pair: Cells, metric: Metric, threshold: float) -> CellChange | None:
    ratios = _log_ratios(pair, metric)
    if not ratios:
        return None
    return CellChange(
        label=pair.label,
        case=pair.case,
        repeats=len(ratios),
        a=_geometric_mean([pair.a[repeat][metric.name] for repeat in ratios]),
        b=_geometric_mean([pair.b[repeat][metric.name] for repeat in ratios]),
        change=_change([*ratios.values()], metric, threshold),
    )


def _over_all(pairs: Sequence[Cells], metric: Metric, threshold: float) -> Change | None:
    """Return the mean over the cells; what hit a repeat of all of them counts once."""
    cells = [ratios for pair in pairs if (ratios := _log_ratios(pair, metric))]
    if not cells:
        return None
    complete = set.intersection(*map(set, cells))
    if not complete:
        means = [sum(ratios.values()) / len(ratios) for ratios in cells]
        return _change([sum(means) / len(means)], metric, threshold)
    by_repeat = [sum(ratios[repeat] for ratios in cells) / len(cells) for repeat in complete]
    return _change(by_repeat, metric, threshold)


def _log_ratios(pair: Cells, metric: Metric) -> dict[int, float]:
    return {
        repeat: math.log(pair.b[repeat][metric.name] / pair.a[repeat][metric.name])
        for repeat in sorted(pair.a.keys() & pair.b.keys())
        if pair.a[repeat].get(metric.name) and pair.b[repeat].get(metric.name)
    }


def _change(log_ratios: Sequence[float], metric: Metric, threshold: float) -> Change:
    found = interval(log_ratios)
    is_up = found.mean > 0
    verdict: Verdict = "one repeat" if found.low is None else "no difference shown"
    if found.excludes(0.0):
        verdict = "better" if is_up == metric.more_is_better else "worse"
    # A speed may fall to 1 - threshold of what it was, and a time rise to 1 + threshold.
    ratio = math.exp(found.mean)
    loss = 1 - ratio if metric.more_is_better else ratio - 1
    return Change(
        metric=metric,
        ratio=ratio,
        low=None if found.low is None else math.exp(found.low),
        high=None if found.high is None else math.exp(found.high),
        verdict=verdict,
        fails=verdict == "worse" and loss > threshold,
    )


def _geometric_mean(values: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))
