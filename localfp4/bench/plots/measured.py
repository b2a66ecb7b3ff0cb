"""What is drawn of each series: its spreads, limits and cells that did not fit, over all runs."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from localfp4.bench.plots.labels import device, labels
from localfp4.bench.plots.least import bests
from localfp4.bench.records import Run, Series
from localfp4.bench.report.status import in_words
from localfp4.bench.summary import Spread, summaries
from localfp4.bench.workload import Case
from localfp4.documents.markdown import one_line


@dataclass(frozen=True, slots=True)
class Measured:
    """A series of one run.

    Attributes:
        number: Of its label among all labels: decides the look.
        label: What it is called.
        device: Where it ran.
        series: Who.
        spreads: Of each case that was measured, the figures by name.
        bests: Of each of these cases, the best that the device allows, as far as it is known.
        misfits: Cases that memory or context did not suffice for.
        remarks: What runs in its place, or why some of its cells could not be run.
    """

    number: int
    label: str
    device: str
    series: Series
    spreads: Mapping[Case, Mapping[str, Spread]]
    bests: Mapping[Case, Mapping[str, float]]
    misfits: Set[Case]
    remarks: Sequence[str]


def measured(runs: Sequence[Run]) -> tuple[Measured, ...]:
    """Return every series of every run, in the order of runs, also those without any figure."""
    found = labels(runs)
    numbers = {label: number for number, label in enumerate(dict.fromkeys(found.values()))}
    spreads = [summaries(run) for run in runs]
    return tuple(
        Measured(
            numbers[label],
            label,
            device(runs[at]),
            series,
            {case: figures for (who, case), figures in spreads[at].items() if who == series},
            _bests(runs[at], series),
            _misfits(runs[at], series),
            tuple(_remarks(runs[at], series)),
        )
        for (at, series), label in found.items()
    )


def remarks(everything: Iterable[Measured]) -> list[str]:
    """Return every remark once, after the labels of the series that it is about."""
    labels_of: dict[str, list[str]] = {}
    for one in everything:
        for remark in dict.fromkeys(one.remarks):
            labels_of.setdefault(remark, []).append(one.label)
    return [f"{', '.join(names)}: {remark}" for remark, names in labels_of.items()]


def common_case(everything: Iterable[Measured], figure: str) -> Case | None:
    """Return the case that most series have a figure of; of several the smallest batch.

    Args:
        everything: The series.
        figure: Its name in their spreads.
    """
    counts = Counter(
        case for one in everything for case, figures in one.spreads.items() if figure in figures
    )
    return min(counts, key=lambda case: (-counts[case], case.batch), default=None)


def _bests(run: Run, series: Series) -> dict[Case, Mapping[str, float]]:
    limits = run.limits
    return {
        row.case: bests(row.case, row.work, limits)
        for row in run.rows
        if limits and row.work and row.figures and row.series == series
    }


def _misfits(run: Run, series: Series) -> set[Case]:
    return {row.case for row in run.rows if row.series == series and row.status == "does_not_fit"}


def _remarks(run: Run, series: Series) -> Iterator[str]:
    about = run.abouts.get(series)
    if about and about.runs:
        yield one_line(f"what runs is {about.runs}")
    for row in run.rows:
        if row.series == series and row.status not in ("ok", "does_not_fit"):
            yield in_words(row)
